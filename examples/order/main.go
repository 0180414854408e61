// Command order is a worker with a workflow that clients start, signal, update and query through ChatService. docs/workflows.md
// quotes it.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os/signal"
	"syscall"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"chatfeed/activities"
)

// order is what is ordered.
type order struct {
	Item     string `json:"item"`
	Quantity int    `json:"quantity"`
	Shipped  bool   `json:"shipped"`
}

// run runs an order until it is shipped. What clients should see, it records.
func run(ctx workflow.Context, o order) error {
	// The words of an application error that must not be retried reach the client; those of any other error do not.
	change := func(ctx workflow.Context, quantity int) (order, error) {
		if quantity < 1 || quantity > 10 {
			return o, temporal.NewNonRetryableApplicationError(fmt.Sprintf("1 to 10 can be ordered, not %d", quantity), "Quantity", nil)
		}
		o.Quantity = quantity
		return o, record(ctx, activities.RecordLog, activities.Log{Message: fmt.Sprintf("%d are ordered.", quantity)})
	}
	state := func() (order, error) { return o, nil }
	err := errors.Join(workflow.SetUpdateHandler(ctx, "change", change), workflow.SetQueryHandler(ctx, "state", state))
	if err != nil {
		return err
	}
	if err := record(ctx, activities.RecordProgress, activities.Progress{Status: "ordered"}); err != nil {
		return err
	}
	var by string
	workflow.GetSignalChannel(ctx, "ship").Receive(ctx, &by)
	o.Shipped = true
	if err := workflow.Await(ctx, func() bool { return workflow.AllHandlersFinished(ctx) }); err != nil {
		return err
	}
	return record(ctx, activities.RecordProgress, activities.Progress{Progress: 100, Status: "shipped by " + by})
}

// record records an item. "chatfeed worker" serves the activities.
func record(ctx workflow.Context, activity string, item any) error {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{TaskQueue: activities.TaskQueue, StartToCloseTimeout: 10 * time.Second})
	return workflow.ExecuteActivity(ctx, activity, item).Get(ctx, nil)
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := serve(ctx); err != nil {
		log.Fatal(err)
	}
}

// serve serves orders until ctx ends.
func serve(ctx context.Context) error {
	options, err := envconfig.LoadDefaultClientOptions() // TEMPORAL_ADDRESS and so on
	if err != nil {
		return err
	}
	options.DataConverter = activities.DataConverter()
	c, err := client.DialContext(ctx, options)
	if err != nil {
		return err
	}
	defer c.Close()
	w := worker.New(c, "orders", worker.Options{})
	w.RegisterWorkflowWithOptions(run, workflow.RegisterOptions{Name: "Order"})
	if err := w.Start(); err != nil {
		return err
	}
	defer w.Stop()
	log.Print("serving orders")
	<-ctx.Done()
	return nil
}
