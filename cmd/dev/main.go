// Command dev runs the whole of chatfeed on one machine, with nothing installed but Go (and Node, where PostgreSQL is not):
// PostgreSQL, a Temporal dev server, the schema, the feed server, the activities and a demo workflow.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"chatfeed/cmd/dev/internal/stack"
	"chatfeed/cmd/internal/program"
)

type cli struct {
	stack.Stack
	LogLevel slog.Level `help:"Log this and worse: debug, info, warn or error." default:"warn"`
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
	if strings.Contains(os.Args[0], "go-build") {
		go endWithParent(ctx, cancel)
	}
	_, _ = fmt.Fprintln(os.Stderr, "starting PostgreSQL, Temporal and chatfeed ...")
	log := program.NewLog(os.Stderr, flags.LogLevel, "text")
	if err := flags.Run(ctx, log, func(at stack.Running) { introduce(at) }); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "dev:", err)
		os.Exit(1)
	}
}

func introduce(at stack.Running) {
	server := ""
	if at.Server != "http://127.0.0.1:8080" {
		server = " --server " + at.Server
	}
	_, _ = fmt.Fprintf(os.Stdout, `chatfeed is ready. Ctrl-C ends it.

  feed        %s
  PostgreSQL  %s
  Temporal    %s

Try it in other terminals:

  go run ./cmd/chatfeed tail wf_1%s
  go run ./cmd/chatfeed send wf_1 "$(cat README.md)"%s

`, at.Server, strings.TrimSuffix(at.DatabaseURL, "?sslmode=disable"), at.Temporal, server, server)
}

// endWithParent ends the stack when "go run", which has started it, has been killed: that does not tell its child.
func endWithParent(ctx context.Context, end context.CancelFunc) {
	parent := os.Getppid()
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for os.Getppid() == parent {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
	end()
}
