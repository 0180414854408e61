// Command watcher runs a workflow that knows nothing of chatfeed: it records nothing, and only answers a query. What a server with
// --watch-temporal makes of it, also when it is terminated, is in docs/watching.md.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

const (
	taskQueue = "example-watcher"
	steps     = 20
)

// Import imports something, in steps of two seconds.
func Import(ctx workflow.Context) error {
	done := 0
	err := workflow.SetQueryHandler(ctx, "progress", func() (map[string]any, error) {
		return map[string]any{"progress": 100 * done / steps, "status": "importing"}, nil
	})
	if err != nil {
		return err
	}
	for done < steps {
		if err := workflow.Sleep(ctx, 2*time.Second); err != nil {
			return err
		}
		done++
	}
	return nil
}

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	c, err := client.DialContext(ctx, envconfig.MustLoadDefaultClientOptions())
	if err != nil {
		return fmt.Errorf("connect to Temporal: %w", err)
	}
	defer c.Close()
	w := worker.New(c, taskQueue, worker.Options{})
	w.RegisterWorkflow(Import)
	if err := w.Start(); err != nil {
		return fmt.Errorf("start the worker: %w", err)
	}
	defer w.Stop()
	id := "import-1"
	if len(os.Args) > 1 {
		id = os.Args[1]
	}
	started, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: id, TaskQueue: taskQueue}, Import)
	if err != nil {
		return fmt.Errorf("start the workflow: %w", err)
	}
	fmt.Fprintf(os.Stderr, "The workflow %s is running.\n", id)
	return started.Get(ctx, nil)
}
