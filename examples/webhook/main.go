// Webhook runs a workflow that calls a webhook with its progress, and a receiver that misses a delivery, notices it by the cursors
// and reads it from the feed. It needs the stack of "go run ./cmd/dev":
//
//	go run ./examples/webhook
package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"flag"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync/atomic"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	temporallog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"chatfeed/activities/webhook"
	"chatfeed/db"
)

// count is a workflow that calls the webhook at each step.
func count(ctx workflow.Context, endpoint string) error {
	var before webhook.Cursor
	for step := range 5 {
		event := webhook.Event{Progress: float64(25 * step), Status: "counting"}
		done, err := webhook.Send(ctx, webhook.Request{URL: endpoint, Before: before, Events: []webhook.Event{event}})
		if err != nil {
			return err
		}
		before = done.After // also where the delivery has become a dead letter
	}
	return nil
}

func main() {
	database := flag.String("database-url", "postgres://postgres@127.0.0.1:54329/chatfeed", "PostgreSQL")
	feed := flag.String("feed", "http://127.0.0.1:8080", "feed server")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *database, *feed); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, database, feed string) error {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // it never fails
	secret := "whsec_" + base64.StdEncoding.EncodeToString(key)

	// The receiver, which refuses its third delivery.
	hook, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		return err
	}
	show := func(workflowID string, e webhook.Event) {
		log.Printf("%s: %3.0f %% %s", workflowID, e.Progress, e.Status)
	}
	r := &receiver{hook: hook, feed: feed, show: show, at: make(map[string]webhook.Cursor)}
	var n atomic.Int32
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		if n.Add(1) == 3 {
			log.Print("a delivery is refused, and becomes a dead letter: see chatfeed webhooks list")
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		r.ServeHTTP(w, request)
	})}
	go func() { _ = server.Serve(listener) }()
	defer func() { _ = server.Close() }()

	// The worker, which has the secret. "chatfeed worker" is one, too.
	pool, err := db.Open(ctx, database)
	if err != nil {
		return err
	}
	defer pool.Close()
	writer := db.NewWriter(pool)
	defer writer.Close()
	deliverer, err := webhook.New(webhook.Config{Secrets: []string{secret}, AllowPrivate: []string{"127.0.0.1"}}, pool, writer)
	if err != nil {
		return err
	}
	defer deliverer.Close()
	options, err := envconfig.LoadDefaultClientOptions() // such as TEMPORAL_ADDRESS
	if err != nil {
		return err
	}
	options.Logger = temporallog.NewStructuredLogger(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))
	c, err := client.DialContext(ctx, options)
	if err != nil {
		return err
	}
	defer c.Close()
	const queue = "example-webhook"
	w := worker.New(c, queue, worker.Options{})
	w.RegisterWorkflow(count)
	deliverer.Register(w)
	if err := w.Start(); err != nil {
		return err
	}
	defer w.Stop()

	id := fmt.Sprintf("webhook_%d", time.Now().Unix())
	execution, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: id, TaskQueue: queue}, count, "http://"+listener.Addr().String())
	if err != nil {
		return err
	}
	return execution.Get(ctx, nil)
}
