// Feed is a workflow that records its progress in the feed, and a watcher that follows it there.
//
// It needs the stack of "go run ./cmd/dev", whose worker has the activities:
//
//	go run ./examples/feed
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net/http"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"chatfeed/activities"
	"chatfeed/activities/progress"
	v1 "chatfeed/rpc/chatfeedv1"
	"chatfeed/rpc/chatfeedv1/chatfeedv1connect"
)

// Bake is a workflow that says how far it has come.
func Bake(ctx workflow.Context, loaves int) (err error) {
	tracker := progress.Track(ctx, progress.Feed{TaskQueue: activities.TaskQueue, Final: true})
	defer func() { err = tracker.End(ctx, err) }() // the last item says how it has ended

	for i := range loaves {
		tracker.Set(100*float64(i)/float64(loaves), fmt.Sprintf("baking loaf %d of %d", i+1, loaves))
		if err := workflow.Sleep(ctx, time.Second); err != nil {
			return err
		}
	}
	return nil
}

// watch prints the progress of a workflow until it is closed. Any number of watchers costs the workflow nothing.
func watch(ctx context.Context, server, workflowID string) error {
	feed := chatfeedv1connect.NewFeedServiceClient(http.DefaultClient, server)
	stream, err := feed.Subscribe(ctx, &v1.SubscribeRequest{Cursors: []*v1.Cursor{{WorkflowId: workflowID}}, Types: []string{"progress"}})
	if err != nil {
		return err
	}
	for stream.Receive() {
		for _, item := range stream.Msg().GetItems() {
			log.Printf("%3.0f %% %s", item.GetProgress().GetProgress(), item.GetProgress().GetStatus())
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
	w := worker.New(c, "example-feed", worker.Options{})
	w.RegisterWorkflow(Bake)
	if err := w.Start(); err != nil {
		return err
	}
	defer w.Stop()
	bake, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{TaskQueue: "example-feed"}, Bake, 4)
	if err != nil {
		return err
	}
	return watch(ctx, server, bake.GetID())
}
