// Push is a workflow that calls a webhook with its progress, and the receiver.
//
// It needs the stack of "go run ./cmd/dev":
//
//	go run ./examples/push
//
// A receiver has to check the signatures, and may miss a delivery: examples/webhook has one that does and notices.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"chatfeed/activities/progress"
	"chatfeed/activities/webhook"
	"chatfeed/db"
)

// Bake is a workflow that calls a webhook when its progress has changed, but only every two seconds, with the latest.
func Bake(ctx workflow.Context, loaves int, endpoint string) (err error) {
	tracker := progress.Track(ctx, progress.Push{URL: endpoint, Every: 2 * time.Second})
	defer func() { err = tracker.End(ctx, err) }() // the last change is delivered at once

	for i := range loaves {
		tracker.Set(100*float64(i)/float64(loaves), fmt.Sprintf("baking loaf %d of %d", i+1, loaves))
		if err := workflow.Sleep(ctx, time.Second); err != nil {
			return err
		}
	}
	return nil
}

// receive prints what a delivery says.
func receive(w http.ResponseWriter, r *http.Request) {
	var delivery webhook.Payload
	if err := json.NewDecoder(r.Body).Decode(&delivery); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	for _, event := range delivery.Data.Events {
		log.Printf("%3.0f %% %s", event.Progress, event.Status)
	}
}

func main() {
	database := flag.String("database-url", "postgres://postgres@127.0.0.1:54329/chatfeed", "PostgreSQL")
	flag.Parse()
	if err := run(context.Background(), *database); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, database string) error {
	c, err := client.DialContext(ctx, envconfig.MustLoadDefaultClientOptions())
	if err != nil {
		return err
	}
	defer c.Close()
	pool, err := pgxpool.New(ctx, database)
	if err != nil {
		return err
	}
	defer pool.Close()
	writer := db.NewWriter(pool)
	defer writer.Close()
	// Its secrets and networks are the worker's, so that no workflow can have it call what is private.
	deliverer, err := webhook.New(webhook.Config{
		Secrets:      []string{"whsec_aXQgaXMgb25seSBmb3IgYW4gZXhhbXBsZSE="},
		AllowPrivate: []string{"127.0.0.1"},
	}, pool, writer)
	if err != nil {
		return err
	}
	defer deliverer.Close()

	w := worker.New(c, "example-push", worker.Options{})
	w.RegisterWorkflow(Bake)
	deliverer.Register(w)
	if err := w.Start(); err != nil {
		return err
	}
	defer w.Stop()
	receiver := httptest.NewServer(http.HandlerFunc(receive))
	defer receiver.Close()
	bake, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{TaskQueue: "example-push"}, Bake, 4, receiver.URL)
	if err != nil {
		return err
	}
	return bake.Get(ctx, nil) // which is when the last delivery was accepted
}
