package rpc_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	_ "github.com/jackc/pgx/v5/stdlib"

	"chatfeed/db"
	"chatfeed/feed"
	"chatfeed/internal/embedded"
	"chatfeed/migrations"
	"chatfeed/rpc"
	v1 "chatfeed/rpc/chatfeedv1"
	"chatfeed/rpc/chatfeedv1/chatfeedv1connect"
)

// A client follows a workflow with Connect. After an error it subscribes again from the created_at of the last item that
// it has, and neither misses anything nor sees anything twice.
func ExampleNewHandler() {
	ctx := context.Background()
	server, writer, stop := exampleServer(ctx)
	defer stop()
	client := chatfeedv1connect.NewFeedServiceClient(http.DefaultClient, server)

	cursor := &v1.Cursor{WorkflowId: "wf_1"}
	for _, text := range []string{"Hello.", "Still there?"} {
		if _, err := writer.Write(ctx, db.Message{WorkflowID: "wf_1", Role: "user", Message: text}); err != nil {
			log.Fatal(err)
		}
		stream, err := client.Subscribe(ctx, &v1.SubscribeRequest{Cursors: []*v1.Cursor{cursor}})
		if err != nil {
			log.Fatal(err)
		}
		for stream.Receive() && len(stream.Msg().GetItems()) == 0 {
			continue // a heartbeat
		}
		for _, item := range stream.Msg().GetItems() {
			fmt.Println(item.GetMessage().GetRole()+":", item.GetMessage().GetMessage())
			cursor.Start = &v1.Cursor_After{After: item.GetCreatedAt()}
		}
		_ = stream.Close() // as a lost connection would
	}
	// Output:
	// user: Hello.
	// user: Still there?
}

// exampleServer serves a feed on a database of its own.
func exampleServer(ctx context.Context) (url string, writer *db.Writer, stop func()) {
	postgres, err := embedded.Start(ctx, embedded.Config{})
	if err != nil {
		log.Fatal(err)
	}
	migrate(ctx, postgres.URL())
	pool, err := db.Open(ctx, postgres.URL())
	if err != nil {
		log.Fatal(err)
	}
	source, err := db.NewSource(pool, db.SourceConfig{})
	if err != nil {
		log.Fatal(err)
	}
	f, err := feed.New(source, source, feed.Config{})
	if err != nil {
		log.Fatal(err)
	}
	handler, err := rpc.NewHandler(rpc.Config{Feed: f, Workflows: source})
	if err != nil {
		log.Fatal(err)
	}
	server := httptest.NewServer(handler)
	running, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() { defer close(ended); _ = f.Run(running) }()
	writer = db.NewWriter(pool)
	return server.URL, writer, func() {
		f.Drain()
		http.DefaultClient.CloseIdleConnections()
		server.Close()
		cancel()
		<-ended
		writer.Close()
		pool.Close()
		_ = postgres.Stop()
	}
}

func migrate(ctx context.Context, url string) {
	conn, err := sql.Open("pgx", url)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := migrations.Up(ctx, conn); err != nil {
		log.Fatal(err)
	}
}
