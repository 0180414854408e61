// Package stack runs chatfeed and everything it needs, in one process with PostgreSQL and Temporal as children.
package stack

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx" of database/sql
	"go.temporal.io/sdk/client"
	"golang.org/x/sync/errgroup"

	"chatfeed/activities"
	"chatfeed/cmd/dev/internal/demo"
	"chatfeed/cmd/internal/program"
	"chatfeed/db"
	"chatfeed/internal/embedded"
	"chatfeed/migrations"
)

// Stack configures the ports and folders of the parts. Port 0 is any free port.
type Stack struct {
	Listen          string `help:"Address of the feed server." default:"127.0.0.1:8080"`
	PostgresPort    int    `help:"Port of PostgreSQL on 127.0.0.1." default:"54329"`
	TemporalAddress string `help:"Temporal server to use; without it, one is started." env:"TEMPORAL_ADDRESS,CHATFEED_DEV_TEMPORAL_ADDRESS" placeholder:"HOST:PORT"`
	TemporalPort    int    `help:"Port of Temporal's frontend on 127.0.0.1, if it is started." default:"7233"`
	Data            string `help:"Folder to keep the data in; without it nothing is kept." placeholder:"DIR" type:"path"`
	PgBin           string `help:"Folder with the programs of PostgreSQL." placeholder:"DIR" type:"path"`
	NoWorker        bool   `help:"Do not serve chatfeed's activities; run \"chatfeed worker\" beside it."`
	NoDemo          bool   `help:"Do not begin a conversation when nobody has sent a message for ten seconds."`

	// Programs is the folder to build the Temporal server into, if the temporal program is not installed.
	Programs string `kong:"-"`
	// Pace is the time that a word of the demo's answers takes; zero is [demo.Pace], at which people can follow.
	Pace time.Duration `kong:"-"`
}

// Running is the addresses of the parts.
type Running struct {
	Server      string // URL of the feed server
	DatabaseURL string
	Temporal    string // host and port of Temporal's frontend
	Postgres    *embedded.Server
}

// Events are the callbacks of a stack; all are required.
type Events struct {
	Ready    func(Running)         // PostgreSQL and the feed server answer
	Building func(begun, most int) // how many packages of the Temporal server have been begun, of at most how many
	Temporal func(Running)         // Temporal answers, and the workers for the demo workflow and the activities run
}

// Run starts the parts, reports when they are ready, and runs until ctx ends or a part fails. It returns when all have ended,
// each before the parts that it depends on. Only the workers wait for Temporal.
func (s *Stack) Run(ctx context.Context, log *slog.Logger, events Events) (err error) {
	var postgresData string
	if s.Data != "" {
		if err := os.MkdirAll(s.Data, 0o755); err != nil {
			return fmt.Errorf("--data: %w", err)
		}
		postgresData = filepath.Join(s.Data, "postgres")
	}
	temporal, err := s.newTemporal(s.Data)
	if err != nil {
		return err
	}
	group, groupCtx := errgroup.WithContext(ctx)
	serving, stopTemporal := context.WithCancel(context.WithoutCancel(ctx)) // it ends after the parts that need it
	temporalEnded := make(chan error, 1)
	go func() { temporalEnded <- temporal.run(serving, s.Programs, events.Building) }()
	defer func() {
		stopTemporal()
		err = errors.Join(err, <-temporalEnded)
	}()
	postgres, err := embedded.Start(groupCtx, embedded.Config{Bin: s.PgBin, Data: postgresData, Port: s.PostgresPort})
	if err != nil {
		return ended(ctx, "PostgreSQL", err)
	}
	defer func() { err = errors.Join(err, postgres.Stop()) }()
	if err := migrate(groupCtx, postgres.URL()); err != nil { // before the programs, which would warn that there is no schema yet
		return ended(ctx, "migrate", err)
	}
	group.Go(func() error {
		select {
		case <-groupCtx.Done():
		case err := <-temporalEnded:
			temporalEnded <- nil
			return err
		}
		return nil
	})
	s.runPrograms(groupCtx, group, log, temporal, Running{DatabaseURL: postgres.URL(), Temporal: temporal.address, Postgres: postgres}, events)
	return group.Wait()
}

// runPrograms runs the programs that connect to PostgreSQL and Temporal.
func (s *Stack) runPrograms(
	ctx context.Context, group *errgroup.Group, log *slog.Logger, temporal *temporal, at Running, events Events,
) {
	database := program.Database{DatabaseURL: at.DatabaseURL}
	flags := temporal.flags()
	served := make(chan Running, 1)
	group.Go(func() error {
		select {
		case <-ctx.Done():
			return nil
		case <-at.Postgres.Done():
			return errors.New("PostgreSQL has ended unexpectedly")
		}
	})
	group.Go(func() error {
		if there, err := temporal.await(ctx); !there {
			return err
		}
		if !s.NoWorker {
			group.Go(func() error {
				return (&program.Worker{Database: database, Temporal: flags, TaskQueue: activities.TaskQueue}).Run(ctx, log)
			})
		}
		return runDemo(ctx, at.DatabaseURL, flags, cmp.Or(s.Pace, demo.Pace), log, func() {
			temporal.setWaiting("")
			select {
			case at := <-served:
				events.Temporal(at)
				if !s.NoDemo {
					group.Go(func() error { startDemo(ctx, at, log); return nil })
				}
			case <-ctx.Done():
			}
		})
	})
	group.Go(func() error {
		return (&program.Serve{
			Database:           database,
			Temporal:           flags,
			Listen:             s.Listen,
			AllowOrigin:        []string{"http://localhost:*", "http://127.0.0.1:*"},
			ChatWorkflow:       demo.WorkflowName,
			ChatTaskQueue:      demo.TaskQueue,
			ChatSignal:         demo.SignalName,
			ChatStopSignal:     demo.StopSignal,
			ChatApprovalSignal: demo.ApprovalSignal,
			ChatAway:           func() string { return *temporal.waitingFor.Load() },
			ShownDatabaseURL:   strings.TrimSuffix(at.DatabaseURL, "?sslmode=disable"), // it has no password
			Started: func(address net.Addr) {
				at.Server = "http://" + address.String()
				group.Go(func() error {
					if waitReady(ctx, at.Server) {
						events.Ready(at)
						served <- at
					}
					return nil
				})
			},
		}).Run(ctx, log)
	})
}

// migrate brings the schema up to date.
func migrate(ctx context.Context, databaseURL string) (err error) {
	database, err := sql.Open("pgx", databaseURL)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, database.Close()) }()
	return migrations.Up(ctx, database)
}

// runDemo runs a worker for the demo workflow until ctx ends. It calls ready when the worker runs.
func runDemo(
	ctx context.Context, databaseURL string, temporal program.Temporal, pace time.Duration, log *slog.Logger, ready func(),
) error {
	pool, err := pgxpool.New(ctx, databaseURL)
	if err != nil {
		return fmt.Errorf("connect the demo workflow: %w", err)
	}
	defer pool.Close()
	writer := db.NewWriter(pool)
	defer writer.Close()
	options, err := temporal.ClientOptions(log)
	if err != nil {
		return err
	}
	c, err := client.DialContext(ctx, options)
	if err != nil {
		return fmt.Errorf("connect the demo workflow: %w", err)
	}
	defer c.Close()
	w := demo.NewWorker(c, writer, pace)
	if err := w.Start(); err != nil {
		return fmt.Errorf("start the demo workflow: %w", err)
	}
	ready()
	<-ctx.Done()
	w.Stop()
	return nil
}

// waitReady polls the server until it is ready, and reports whether it is.
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
