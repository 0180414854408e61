// Update is a workflow whose progress is asked for with an Update that is answered when there is news, and a watcher that asks.
//
// It needs a Temporal server, such as that of "go run ./cmd/dev", and neither the feed nor its database:
//
//	go run ./examples/update
package main

import (
	"context"
	"fmt"
	"log"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"chatfeed/activities/progress"
)

// Bake is a workflow that answers whoever waits for its progress.
func Bake(ctx workflow.Context, loaves int) (err error) {
	tracker := progress.Track(ctx, progress.LongPoll{})
	defer func() { err = tracker.End(ctx, err) }() // all who wait are answered first

	for i := range loaves {
		tracker.Set(100*float64(i)/float64(loaves), fmt.Sprintf("baking loaf %d of %d", i+1, loaves))
		if err := workflow.Sleep(ctx, time.Second); err != nil {
			return err
		}
	}
	return nil
}

// watch prints the progress of a workflow until its end. Each answer comes at a change, or after 30 seconds.
func watch(ctx context.Context, c client.Client, workflowID string) error {
	var known progress.Snapshot
	for !known.Done {
		answer, err := c.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
			WorkflowID: workflowID, UpdateName: progress.WaitUpdate, Args: []any{known.Version},
			WaitForStage: client.WorkflowUpdateStageCompleted,
		})
		if err != nil {
			return err
		}
		before := known.Version
		if err := answer.Get(ctx, &known); err != nil {
			return err
		}
		if known.Version != before {
			log.Printf("%3.0f %% %s", known.Progress, known.Status)
		}
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
		return err
	}
	defer c.Close()
	w := worker.New(c, "example-update", worker.Options{})
	w.RegisterWorkflow(Bake)
	if err := w.Start(); err != nil {
		return err
	}
	defer w.Stop()
	bake, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{TaskQueue: "example-update"}, Bake, 4)
	if err != nil {
		return err
	}
	return watch(ctx, c, bake.GetID())
}
