// Hybrid is a workflow that tells its subscribers of changes, and a watcher that subscribes and asks when it is told.
//
// It needs a Temporal server, such as that of "go run ./cmd/dev", and neither the feed nor its database:
//
//	go run ./examples/hybrid
package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"chatfeed/activities/progress"
)

// Bake is a workflow that tells its subscribers, by the activity Notify. Its second half is another run, which has the subscribers too.
func Bake(ctx workflow.Context, loaves, baked int, state progress.State) (err error) {
	tracker := progress.Track(ctx, progress.Hybrid{Notify: "Notify"}, progress.Resume(state))
	defer func() { err = tracker.End(ctx, err) }() // the subscribers are told first

	for i := baked; i < loaves; i++ {
		if i == loaves/2 && baked == 0 {
			return workflow.NewContinueAsNewError(ctx, Bake, loaves, i, tracker.Suspend(ctx))
		}
		tracker.Set(100*float64(i)/float64(loaves), fmt.Sprintf("baking loaf %d of %d", i+1, loaves))
		if err := workflow.Sleep(ctx, time.Second); err != nil {
			return err
		}
	}
	return nil
}

// Notify is the activity that tells the subscribers: here, their addresses are URLs, to which it sends nothing but a request.
func Notify(ctx context.Context, n progress.Notification) error {
	for _, subscriber := range n.Subscribers {
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, subscriber.Address, http.NoBody)
		if err != nil {
			return err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		if err := response.Body.Close(); err != nil {
			return err
		}
	}
	return nil
}

// watch prints the progress of a workflow until its end: it subscribes, and asks at first and whenever it is told of a change.
func watch(ctx context.Context, c client.Client, workflowID string) error {
	news := make(chan struct{}, 1)
	inbox := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		select {
		case news <- struct{}{}:
		default: // there is news already
		}
	}))
	defer inbox.Close()
	self := progress.Subscriber{ID: "example", Address: inbox.URL}
	if err := c.SignalWorkflow(ctx, workflowID, "", progress.SubscribeSignal, self); err != nil {
		return err
	}
	for known := (&progress.Snapshot{}); !known.Done; {
		value, err := c.QueryWorkflow(ctx, workflowID, "", progress.ChangedQuery, known.Version)
		if err != nil {
			return err
		}
		var changed *progress.Snapshot // nil if nothing has
		if err := value.Get(&changed); err != nil {
			return err
		}
		if changed != nil {
			known = changed
			log.Printf("%3.0f %% %s", known.Progress, known.Status)
			continue
		}
		select {
		case <-news:
		case <-ctx.Done():
			return ctx.Err()
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
	w := worker.New(c, "example-hybrid", worker.Options{})
	w.RegisterWorkflow(Bake)
	w.RegisterActivity(Notify)
	if err := w.Start(); err != nil {
		return err
	}
	defer w.Stop()
	bake, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{TaskQueue: "example-hybrid"}, Bake, 4, 0, progress.State{})
	if err != nil {
		return err
	}
	return watch(ctx, c, bake.GetID())
}
