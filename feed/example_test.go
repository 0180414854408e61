package feed_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"

	"chatfeed/feed"
)

// history is the smallest source for a feed: one workflow whose items never change. The one for PostgreSQL is
// db.Source.
type history struct{ items []*feed.Item }

func (h history) Listen(ctx context.Context, connected func(), _ func(string, feed.Cursor)) error {
	connected()
	<-ctx.Done()
	return ctx.Err()
}

func (h history) After(_ context.Context, at []feed.Position, _ feed.Window) ([]feed.Page, error) {
	pages := make([]feed.Page, len(at))
	for i, position := range at {
		for _, item := range h.items {
			if item.WorkflowID == position.WorkflowID && item.CreatedAt > position.Cursor {
				pages[i].Items = append(pages[i].Items, item)
			}
		}
	}
	return pages, nil
}

func (h history) Before(ctx context.Context, at []feed.Position, window feed.Window) ([]feed.Page, error) {
	return h.After(ctx, []feed.Position{{WorkflowID: at[0].WorkflowID}}, window)
}

func (h history) Heads(context.Context, []string) (map[string]feed.Head, error) {
	return map[string]feed.Head{"wf_1": {At: h.items[len(h.items)-1].CreatedAt}}, nil
}

func (h history) Erased(context.Context, string, int64, int) ([]feed.Gone, error) { return nil, nil }

// A client that has seen the first item gets the ones after it, and learns when it has them all.
func ExampleFeed_Subscribe() {
	source := history{[]*feed.Item{
		{WorkflowID: "wf_1", ID: "msg_1", Type: "message", CreatedAt: 1000, Body: []byte(`{"message": "Hello"}`)},
		{WorkflowID: "wf_1", ID: "log_1", Type: "log", CreatedAt: 2000, Body: []byte(`{"message": "thinking"}`)},
		{WorkflowID: "wf_1", ID: "msg_2", Type: "message", CreatedAt: 3000, Body: []byte(`{"message": "Hi"}`)},
	}}
	f, err := feed.New(source, source, feed.Config{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = f.Run(ctx) }()
	defer func() { cancel(); <-ended }()

	s, err := f.Subscribe(ctx, feed.Options{From: []feed.Start{feed.After("wf_1", 1000)}})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	for {
		batch, err := s.Next()
		if err != nil {
			log.Fatal(err)
		}
		for _, item := range batch.Items {
			fmt.Println(item.ID, string(item.Body))
		}
		if batch.UpToDate {
			break
		}
	}
	// Output:
	// log_1 {"message": "thinking"}
	// msg_2 {"message": "Hi"}
}

// A subscription follows one more workflow while it is read, and says where each would be resumed.
func ExampleSubscription_Add() {
	source := history{[]*feed.Item{
		{WorkflowID: "wf_1", ID: "msg_1", Type: "message", CreatedAt: 1000, Body: []byte(`{"message": "Hello"}`)},
		{WorkflowID: "wf_1", ID: "msg_2", Type: "message", CreatedAt: 2000, Body: []byte(`{"message": "Hi"}`)},
	}}
	f, err := feed.New(source, source, feed.Config{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = f.Run(ctx) }()
	defer func() { cancel(); <-ended }()

	s, err := f.Subscribe(ctx, feed.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	if err := s.Add(feed.After("wf_1", 1000)); err != nil {
		log.Fatal(err)
	}
	for batch, err := range s.All() {
		if err != nil {
			log.Fatal(err)
		}
		for _, item := range batch.Items {
			fmt.Println(item.ID)
		}
		if batch.UpToDate {
			break
		}
	}
	for _, at := range s.Positions() {
		fmt.Println(at.WorkflowID, at.Cursor)
	}
	// Output:
	// msg_2
	// wf_1 2000
}
