package program

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"

	"chatfeed/activities"
	"chatfeed/db"
)

// Worker is the command that serves the activities. It waits for Temporal; if the database is unavailable, the
// activities are retried.
type Worker struct {
	Database
	Temporal
	WebhookFlags
	TaskQueue string `help:"Task queue to serve." default:"chatfeed"`
}

// Run serves until ctx ends, then lets running activities finish.
func (c *Worker) Run(ctx context.Context, log *slog.Logger) error {
	pool, err := c.open(ctx, 0)
	if err != nil {
		return err
	}
	defer pool.Close()
	writer := db.NewWriter(pool)
	defer writer.Close()
	webhooks, err := c.deliverer(pool, writer)
	if err != nil {
		return err
	}
	defer webhooks.Close()
	temporal, err := c.dial(ctx, log)
	if err != nil {
		return err
	}
	defer temporal.Close()
	failed, unfit := make(chan error, 1), make(chan error, 1)
	checking, stopChecking := context.WithCancel(ctx)
	var checked sync.WaitGroup
	defer checked.Wait()
	defer stopChecking()
	checked.Go(func() {
		if err := awaitDatabase(checking, pool, log, db.CheckWriter); err != nil {
			unfit <- err
		}
	})
	w := worker.New(temporal, c.TaskQueue, worker.Options{
		WorkerStopTimeout: 10 * time.Second,
		OnFatalError:      func(err error) { failed <- err },
	})
	activities.Register(w, writer)
	webhooks.Register(w)
	if err := w.Start(); err != nil {
		return fmt.Errorf("start the worker: %w", err)
	}
	log.InfoContext(ctx, "serving activities", "task_queue", c.TaskQueue)
	select {
	case <-ctx.Done():
		w.Stop()
		return nil
	case err := <-unfit:
		w.Stop()
		return err
	case err := <-failed: // the SDK has stopped the worker
		return fmt.Errorf("serve activities: %w", err)
	}
}

// dial connects to Temporal, and waits until it is available.
func (c Temporal) dial(ctx context.Context, log *slog.Logger) (client.Client, error) {
	options, err := c.ClientOptions(log)
	if err != nil {
		return nil, err
	}
	for {
		temporal, err := client.DialContext(ctx, options)
		if err == nil {
			return temporal, nil
		}
		log.WarnContext(ctx, "Temporal is unavailable; retrying", "address", options.HostPort, "error", err)
		if pause(ctx, time.Second); ctx.Err() != nil {
			return nil, fmt.Errorf("--temporal-address %s: %w", options.HostPort, err)
		}
	}
}
