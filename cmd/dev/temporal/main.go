// Command temporal runs a Temporal server for development, where the temporal program is not installed. It accepts the
// part of that program's command line that cmd/dev needs, so that cmd/dev can use either:
//
//	temporal server start-dev --ip 127.0.0.1 --port 7233 --headless
//
// It is a module of its own and nothing imports it, because the server takes minutes to compile.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"chatfeed/cmd/dev/temporal/internal/temporaldev"
)

type startDev struct {
	IP         string     `help:"Address to listen on." name:"ip" enum:"127.0.0.1" default:"127.0.0.1"`
	Port       int        `help:"Port of the frontend; 0 is any free one." default:"7233"`
	Namespace  string     `help:"Namespace that exists from the start." default:"default"`
	DBFilename string     `help:"File to keep the state in; without it nothing is kept." name:"db-filename" placeholder:"FILE"`
	LogLevel   slog.Level `help:"Lowest level to log: warn or error." default:"warn"`
	Headless   bool       `help:"Accepted and ignored: there is no web interface."`
	UntilEOF   bool       `help:"End when standard input ends." hidden:""`
}

type cli struct {
	Server struct {
		StartDev startDev `cmd:"" help:"Run a server for development."`
	} `cmd:"" help:"Run a server."`
}

func main() {
	var flags cli
	kong.Parse(&flags, kong.Name("temporal"))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := flags.Server.StartDev.run(ctx); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "temporal:", err)
		os.Exit(1)
	}
}

func (c *startDev) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if c.UntilEOF {
		go func() { defer cancel(); _, _ = io.Copy(io.Discard, os.Stdin) }()
	}
	server, err := temporaldev.Start(ctx, temporaldev.Config{
		Port: c.Port, Namespace: c.Namespace, File: c.DBFilename,
		Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: c.LogLevel})),
	})
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintln(os.Stdout, "msg=serving address="+server.Address())
	<-ctx.Done()
	return server.Stop()
}
