// Interceptor is a worker whose workflows are in the feed without a line in them, and a watcher that follows one.
//
// It needs the stack of "go run ./cmd/dev", whose worker has the activities:
//
//	go run ./examples/interceptor
package main

import (
	"context"
	"flag"
	"log"
	"net/http"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"chatfeed/activities"
	"chatfeed/activities/progress"
	v1 "chatfeed/rpc/chatfeedv1"
	"chatfeed/rpc/chatfeedv1/chatfeedv1connect"
)

// Bake is a workflow that knows nothing of a feed.
func Bake(ctx workflow.Context) error {
	if err := workflow.Sleep(ctx, 3*time.Second); err != nil {
		return err
	}
	return temporal.NewApplicationError("The oven is cold.", "Cold")
}

// newWorker makes a worker whose workflows are all in the feed.
func newWorker(c client.Client) worker.Worker {
	feed := progress.Feed{TaskQueue: activities.TaskQueue}
	w := worker.New(c, "example-interceptor", worker.Options{
		Interceptors: []interceptor.WorkerInterceptor{progress.NewInterceptor(feed)},
	})
	w.RegisterWorkflow(Bake)
	return w
}

// watch prints the progress of a workflow until it has failed.
func watch(ctx context.Context, server, workflowID string) error {
	feed := chatfeedv1connect.NewFeedServiceClient(http.DefaultClient, server)
	stream, err := feed.Subscribe(ctx, &v1.SubscribeRequest{Cursors: []*v1.Cursor{{WorkflowId: workflowID}}, Types: []string{"progress"}})
	if err != nil {
		return err
	}
	defer func() { _ = stream.Close() }() // how it has ended does not matter any more
	for stream.Receive() {
		for _, item := range stream.Msg().GetItems() {
			p := item.GetProgress()
			log.Printf("%3.0f %% %s %s", p.GetProgress(), p.GetStatus(), p.GetResult())
			if p.GetStatus() == progress.Failed {
				return nil
			}
		}
	}
	return stream.Err()
}

func main() {
	server := flag.String("feed", "http://127.0.0.1:8080", "feed server")
	flag.Parse()
	if err := run(context.Background(), *server); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, server string) error {
	c, err := client.DialContext(ctx, envconfig.MustLoadDefaultClientOptions())
	if err != nil {
		return err
	}
	defer c.Close()
	w := newWorker(c)
	if err := w.Start(); err != nil {
		return err
	}
	defer w.Stop()
	bake, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{TaskQueue: "example-interceptor"}, Bake)
	if err != nil {
		return err
	}
	return watch(ctx, server, bake.GetID())
}
