package program

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"

	"chatfeed/activities"
	"chatfeed/db"
)

// Worker is the command that serves the activities. It waits for Temporal; the database may be away, and the activities
// are then retried.
type Worker struct {
	Database
	Temporal
	TaskQueue string `help:"Task queue to serve." default:"chatfeed"`
}

// Run serves until ctx ends, then lets running activities finish.
func (c *Worker) Run(ctx context.Context, log *slog.Logger) error {
	pool, err := db.Open(ctx, c.DatabaseURL)
	if err != nil {
		return usagef("--database-url: %v", err)
	}
	defer pool.Close()
	temporal, err := c.dial(ctx, log)
	if err != nil {
		return err
	}
	defer temporal.Close()
	writer := db.NewWriter(pool)
	defer writer.Close()
	failed := make(chan error, 1)
	w := worker.New(temporal, c.TaskQueue, worker.Options{
		WorkerStopTimeout: 10 * time.Second,
		OnFatalError:      func(err error) { failed <- err },
	})
	activities.Register(w, writer)
	if err := w.Start(); err != nil {
		return fmt.Errorf("start the worker: %w", err)
	}
	log.InfoContext(ctx, "serving activities", "task_queue", c.TaskQueue)
	select {
	case <-ctx.Done():
		w.Stop()
		return nil
	case err := <-failed: // the SDK has stopped the worker
		return fmt.Errorf("serve activities: %w", err)
	}
}

// dial connects to Temporal, waiting for it while it is away.
func (c Temporal) dial(ctx context.Context, log *slog.Logger) (client.Client, error) {
	for {
		temporal, err := client.DialContext(ctx, c.options(log))
		if err == nil {
			return temporal, nil
		}
		log.WarnContext(ctx, "Temporal is away; trying again", "address", c.TemporalAddress, "error", err)
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("--temporal-address %s: %w", c.TemporalAddress, err)
		case <-time.After(time.Second):
		}
	}
}
