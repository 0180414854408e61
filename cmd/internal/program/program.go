// Package program is the commands of chatfeed, each a struct whose fields are its flags and whose Run does its work. The
// chatfeed command parses them from a command line; cmd/dev and the end-to-end tests fill them in themselves.
package program

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"chatfeed/cmd/internal/bench"
)

// CLI is the command line of chatfeed.
type CLI struct {
	LogLevel  slog.Level `help:"Lowest level to log: debug, info, warn or error." default:"info"`
	LogFormat string     `help:"Log as text or json." enum:"text,json" default:"text"`

	Serve     Serve          `cmd:"" help:"Serve the feed to clients."`
	Worker    Worker         `cmd:"" help:"Serve the Temporal activities that record items."`
	Migrate   Migrate        `cmd:"" help:"Create or change the schema."`
	Tail      Tail           `cmd:"" help:"Follow workflows in the terminal."`
	Send      Send           `cmd:"" help:"Send a message to a workflow, and start the workflow if it is not running."`
	Stop      Stop           `cmd:"" help:"Stop the answer that a workflow is giving."`
	Approve   Approve        `cmd:"" help:"Allow or refuse a call that a workflow asks approval for."`
	Start     Start          `cmd:"" help:"Start a workflow."`
	Signal    Signal         `cmd:"" help:"Send a signal to a workflow."`
	Update    Update         `cmd:"" help:"Call an update handler of a workflow."`
	Query     Query          `cmd:"" help:"Ask a workflow a question."`
	Cancel    Cancel         `cmd:"" help:"Ask a workflow to end."`
	Terminate Terminate      `cmd:"" help:"End a workflow at once."`
	Webhooks  Webhooks       `cmd:"" help:"List, replay and drop the deliveries of webhooks that failed for good."`
	Audit     Audit          `cmd:"" help:"Follow workflows on every transport and compare with the table."`
	Compare   Compare        `cmd:"" help:"Compare with a server of the polling design, before clients change over."`
	Baseline  bench.Baseline `cmd:"" hidden:"" help:"What bench compares a feed server with."`
	Bench     Bench          `cmd:"" help:"Measure chatfeed against baselines on this machine."`
}

const description = `Streams the items that Temporal workflows record in PostgreSQL to browsers and terminals, live.

Every flag may also be given as an environment variable: --listen as CHATFEED_LISTEN, and so on; --database-url also as
DATABASE_URL.

Examples:
  chatfeed migrate up --database-url postgres://localhost/app
  chatfeed serve --database-url postgres://localhost/app
  chatfeed worker --database-url postgres://localhost/app
  chatfeed send wf_1 "What is new?"
  chatfeed tail wf_1`

// Main runs a command line and returns the exit code: 0 for success, 1 for failure, 2 for an invalid command line.
// The first SIGINT or SIGTERM asks the command to end, the second ends the process.
func Main(args []string) int {
	var cli CLI
	exit := -1
	parser, err := kong.New(&cli, kong.Name("chatfeed"), kong.Description(description), kong.DefaultEnvars("CHATFEED"),
		kong.Exit(func(code int) { exit = code }), kong.UsageOnError(), kong.ConfigureHelp(kong.HelpOptions{Compact: true}))
	if err != nil {
		return report(os.Stderr, err)
	}
	parsed, err := parser.Parse(args)
	switch {
	case exit >= 0: // help has been shown
		return exit
	case err != nil:
		_ = report(os.Stderr, err)
		_, _ = fmt.Fprintln(os.Stderr, "Run \"chatfeed --help\" or \"chatfeed COMMAND --help\" for what is accepted.")
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	parsed.BindTo(ctx, (*context.Context)(nil))
	parsed.Bind(NewLog(os.Stderr, cli.LogLevel, cli.LogFormat))
	return report(os.Stderr, parsed.Run())
}

func report(w io.Writer, err error) int {
	var usage usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage):
		_, _ = fmt.Fprintf(w, "chatfeed: %v\n", err)
		return 2
	}
	_, _ = fmt.Fprintf(w, "chatfeed: %v\n", err)
	return 1
}

// usageError is an invalid flag or argument that is detected only when the command runs.
type usageError struct{ message string }

func (e usageError) Error() string { return e.message }

func usagef(format string, args ...any) error { return usageError{fmt.Sprintf(format, args...)} }

// NewLog makes a logger that writes to w as text or JSON.
func NewLog(w io.Writer, level slog.Level, format string) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if strings.EqualFold(format, "json") {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
