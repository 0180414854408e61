package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"go.temporal.io/sdk/activity"
	sdk "go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"chatfeed/activities"
	"chatfeed/activities/webhook"
	"chatfeed/db"
)

// worker is the command that runs the workload's workflow and its activities.
type worker struct {
	DatabaseURL string `required:"" env:"-"`
	Temporal    string `required:""`
	TaskQueue   string `required:""`
}

// Run serves until ctx ends. At its address, it says when changes were made, and which calls to Temporal.
func (c *worker) Run(ctx context.Context, log *slog.Logger) error {
	pool, err := db.Open(ctx, c.DatabaseURL)
	if err != nil {
		return fmt.Errorf("--database-url: %w", err)
	}
	defer pool.Close()
	writer := db.NewWriter(pool)
	defer writer.Close()
	hooks, err := webhook.New(webhook.Config{Secrets: []string{secret()}, AllowPrivate: []string{"127.0.0.1"}}, pool, writer)
	if err != nil {
		return err
	}
	defer hooks.Close()
	calls := newCalls()
	temporal, err := calls.connect(ctx, c.Temporal)
	if err != nil {
		return err
	}
	defer temporal.Close()
	load := &workload{made: make(map[string][]int64)}
	w := sdk.New(temporal, c.TaskQueue, sdk.Options{})
	w.RegisterWorkflowWithOptions(load.run, workflow.RegisterOptions{Name: workloadName})
	w.RegisterActivityWithOptions(tell, activity.RegisterOptions{Name: tellActivity})
	activities.Register(w, writer)
	hooks.Register(w)
	if err := w.Start(); err != nil {
		return fmt.Errorf("start the worker: %w", err)
	}
	defer w.Stop()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /made", load.times)
	return calls.serve(ctx, log, mux)
}

// secret returns a new one to sign the webhooks with; nobody checks the signatures.
func secret() string {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // it never fails
	return "whsec_" + base64.StdEncoding.EncodeToString(key)
}

// serve serves HTTP on a free port until ctx ends, together with what the process has called.
func (c *calls) serve(ctx context.Context, log *slog.Logger, mux *http.ServeMux) error {
	mux.HandleFunc("GET /readyz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /calls", func(w http.ResponseWriter, _ *http.Request) {
		c.mu.Lock()
		defer c.mu.Unlock()
		_ = json.NewEncoder(w).Encode(c)
	})
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	log.InfoContext(ctx, "serving", "address", listener.Addr().String())
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	_ = server.Close()
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
