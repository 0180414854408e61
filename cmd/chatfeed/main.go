// Command chatfeed serves and follows feeds of Temporal workflows; see "chatfeed --help".
package main

import (
	"os"

	"chatfeed/cmd/internal/program"
)

func main() { os.Exit(program.Main(os.Args[1:])) }
