// Command approaches measures the ways by which the watchers of a workflow can learn of its progress against each other: the same
// workload with a real Temporal server, a real PostgreSQL and every program in a process of its own, all on this machine.
//
// The workload is a workflow whose progress changes every 50 ms for ten seconds, then a hundred times at once, and then not at all.
// The report says for each approach and number of watchers how soon a change arrives, what is missed, what a change costs, and which
// limit has been met.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"chatfeed/cmd/internal/bench"
	"chatfeed/cmd/internal/program"
)

// cli is the command line. The command starts its own binary with the hidden commands.
type cli struct {
	LogFormat string `enum:"text,json" default:"text" hidden:""`

	Compare  compare        `cmd:"" default:"withargs" help:"Measure all approaches."`
	Worker   worker         `cmd:"" hidden:""`
	Service  service        `cmd:"" hidden:""`
	Serve    program.Serve  `cmd:"" hidden:""`
	Baseline bench.Baseline `cmd:"" hidden:""`
}

func main() { os.Exit(execute(os.Args[1:])) }

// execute runs a command line and returns the exit code: 0 for success, 1 for failure, 2 for an invalid command line.
func execute(args []string) int {
	var flags cli
	exit := -1
	parser, err := kong.New(&flags, kong.Name("approaches"), kong.Exit(func(code int) { exit = code }),
		kong.Description("Measures how watchers learn of a workflow's progress: polling, updates, queries, webhooks and the feed."))
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "approaches:", err)
		return 1
	}
	parsed, err := parser.Parse(args)
	switch {
	case exit >= 0: // help has been shown
		return exit
	case err != nil:
		_, _ = fmt.Fprintln(os.Stderr, "approaches:", err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the process at once
	parsed.BindTo(ctx, (*context.Context)(nil))
	parsed.Bind(program.NewLog(os.Stderr, slog.LevelInfo, flags.LogFormat))
	if err := parsed.Run(); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "approaches:", err)
		return 1
	}
	return 0
}
