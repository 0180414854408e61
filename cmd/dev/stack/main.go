// Command stack is the program that cmd/dev compiles and executes.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"chatfeed/cmd/dev/internal/parent"
	"chatfeed/cmd/dev/internal/stack"
	"chatfeed/cmd/internal/program"
)

type cli struct {
	stack.Stack
	LogLevel slog.Level `help:"Lowest level to log: debug, info, warn or error." default:"warn"`
}

func main() {
	var flags cli
	kong.Parse(&flags, kong.Name("dev"), kong.DefaultEnvars("CHATFEED_DEV"),
		kong.Description("Runs the whole of chatfeed on this machine until Ctrl-C."))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the process at once
	go parent.Watch(ctx, cancel)
	self, err := os.Executable()
	if err == nil {
		flags.Programs = filepath.Dir(self)
		_, _ = fmt.Fprintln(os.Stderr, "starting PostgreSQL and chatfeed ...")
		var last time.Time
		err = flags.Run(ctx, program.NewLog(os.Stderr, flags.LogLevel, "text"), stack.Events{
			Ready: introduce,
			Building: func(begun, most int) {
				if time.Since(last) > 5*time.Second {
					last = time.Now()
					_, _ = fmt.Fprintf(os.Stderr, "building Temporal: package %d of at most %d\n", begun, most)
				}
			},
			Temporal: func(at stack.Running) {
				_, _ = fmt.Fprintf(os.Stdout, "Temporal is ready: %s\n\n  go run ./cmd/chatfeed send wf_1 \"$(cat README.md)\"%s\n\n",
					at.Temporal, serverFlag(at))
			},
		})
	}
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "dev:", err)
		os.Exit(1)
	}
}

func serverFlag(at stack.Running) string {
	if at.Server == "http://127.0.0.1:8080" {
		return ""
	}
	return " --server " + at.Server
}

func introduce(at stack.Running) {
	database := strings.TrimSuffix(at.DatabaseURL, "?sslmode=disable")
	_, _ = fmt.Fprintf(os.Stdout, `chatfeed is ready. Ctrl-C ends it.

  feed        %s
  PostgreSQL  %s
  Temporal    follows (%s)

Try it in other terminals:

  go run ./cmd/chatfeed tail wf_1%s
  psql "%s" -c "insert into chatfeed.messages (workflow_id, message) values ('wf_1', 'by hand')"

`, at.Server, database, at.Temporal, serverFlag(at), database)
}
