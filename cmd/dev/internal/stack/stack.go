// Package stack runs everything that chatfeed needs, and chatfeed, in one process and its PostgreSQL child.
package stack

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"golang.org/x/sync/errgroup"

	"chatfeed/activities"
	"chatfeed/cmd/dev/internal/demo"
	"chatfeed/cmd/dev/internal/temporaldev"
	"chatfeed/cmd/internal/program"
	"chatfeed/internal/embedded"
)

// Stack is which ports and folders the parts use. Port 0 is any free port.
type Stack struct {
	Listen       string `help:"Address of the feed server." default:"127.0.0.1:8080"`
	PostgresPort int    `help:"Port of PostgreSQL on 127.0.0.1." default:"54329"`
	TemporalPort int    `help:"Port of Temporal's frontend on 127.0.0.1." default:"7233"`
	Data         string `help:"Folder to keep the data in; without it nothing is kept." placeholder:"DIR" type:"path"`
	PgBin        string `help:"Folder with the programs of PostgreSQL." placeholder:"DIR" type:"path"`
	NoWorker     bool   `help:"Do not serve chatfeed's activities; run \"chatfeed worker\" beside it."`
}

// Running is a stack whose parts all answer.
type Running struct {
	Server      string // URL of the feed server
	DatabaseURL string
	Temporal    string // host and port of Temporal's frontend
	Postgres    *embedded.Server
}

// Run starts the parts, calls ready, and runs until ctx ends or a part fails; it returns when all have ended, in the
// order in which they need each other.
func (s *Stack) Run(ctx context.Context, log *slog.Logger, ready func(Running)) (err error) {
	var temporalData, postgresData string
	if s.Data != "" {
		if err := os.MkdirAll(s.Data, 0o755); err != nil {
			return fmt.Errorf("--data: %w", err)
		}
		temporalData, postgresData = filepath.Join(s.Data, "temporal"), filepath.Join(s.Data, "postgres")
	}
	var postgres *embedded.Server
	var temporal *temporaldev.Server
	starting, startCtx := errgroup.WithContext(ctx)
	starting.Go(func() (err error) {
		postgres, err = embedded.Start(startCtx, embedded.Config{Bin: s.PgBin, Data: postgresData, Port: s.PostgresPort})
		return err
	})
	starting.Go(func() (err error) {
		temporal, err = temporaldev.Start(startCtx, temporaldev.Config{Port: s.TemporalPort, Data: temporalData, Log: log})
		return err
	})
	err = starting.Wait()
	if postgres != nil {
		defer func() { err = errors.Join(err, postgres.Stop()) }()
	}
	if temporal != nil {
		defer func() { err = errors.Join(err, temporal.Stop()) }()
	}
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	return s.runPrograms(ctx, log, Running{DatabaseURL: postgres.URL(), Temporal: temporal.Address(), Postgres: postgres}, ready)
}

// runPrograms runs what connects to PostgreSQL and Temporal.
func (s *Stack) runPrograms(ctx context.Context, log *slog.Logger, at Running, ready func(Running)) error {
	database := program.Database{DatabaseURL: at.DatabaseURL}
	temporal := program.Temporal{TemporalAddress: at.Temporal, TemporalNamespace: "default"}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		select {
		case <-ctx.Done():
			return nil
		case <-at.Postgres.Done():
			return errors.New("PostgreSQL has ended by itself")
		}
	})
	if !s.NoWorker {
		group.Go(func() error {
			return (&program.Worker{Database: database, Temporal: temporal, TaskQueue: activities.TaskQueue}).Run(ctx, log)
		})
	}
	group.Go(func() error { return runDemo(ctx, at.Temporal, log) })
	group.Go(func() error {
		return (&program.Serve{
			Database:      database,
			Temporal:      temporal,
			Listen:        s.Listen,
			Migrate:       true,
			AllowOrigin:   []string{"http://localhost:*", "http://127.0.0.1:*"},
			ChatWorkflow:  demo.WorkflowName,
			ChatTaskQueue: demo.TaskQueue,
			ChatSignal:    demo.SignalName,
			Started: func(address net.Addr) {
				at.Server = "http://" + address.String()
				group.Go(func() error {
					if waitReady(ctx, at.Server) {
						ready(at)
					}
					return nil
				})
			},
		}).Run(ctx, log)
	})
	return group.Wait()
}

// runDemo serves the demo workflow until ctx ends.
func runDemo(ctx context.Context, address string, log *slog.Logger) error {
	c, err := client.DialContext(ctx, program.Temporal{TemporalAddress: address}.ClientOptions(log))
	if err != nil {
		return fmt.Errorf("connect the demo workflow: %w", err)
	}
	defer c.Close()
	w := worker.New(c, demo.TaskQueue, worker.Options{WorkerStopTimeout: 5 * time.Second})
	demo.Register(w)
	if err := w.Start(); err != nil {
		return fmt.Errorf("start the demo workflow: %w", err)
	}
	<-ctx.Done()
	w.Stop()
	return nil
}

// waitReady asks the server until it says that it is ready, and reports whether it has.
func waitReady(ctx context.Context, server string) bool {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, server+"/readyz", nil)
		if err != nil {
			return false
		}
		if response, err := http.DefaultClient.Do(request); err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return true
			}
		}
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
}
