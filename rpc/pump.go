package rpc

import (
	"context"
	"slices"
	"time"

	"chatfeed/feed"
)

// pump follows a request's workflows and sends each batch, with empty batches as heartbeats, until the viewer expires, ctx
// ends, send fails or the feed drains; the error says which. It returns nil when all the workflows are closed and everything
// has been sent. All streams but sockets use it. pump calls begin once the request is valid; begin starts the response and returns the function that sends a batch. Its argument returns the client's
// positions after everything sent so far, in the order of the request; it may be called within send.
func (s *feedService) pump(
	ctx context.Context, q request, f form, begin func(positions func() []start) (send func(feed.Batch) error, err error),
) error {
	leave, err := countStream(ctx)
	if err != nil {
		return err
	}
	defer leave()
	q.hide(s.viewer(ctx))
	if err := s.refuseFutureCursors(ctx, q, f); err != nil {
		return err
	}
	subscription, err := s.Feed.Subscribe(ctx, q.options(s.Heartbeat))
	if err != nil {
		return err
	}
	defer subscription.Close()
	send, err := begin(func() []start { return q.withPositions(subscription.Positions()) })
	if err != nil {
		return err
	}
	for {
		batch, err := subscription.Next()
		if err != nil {
			return err
		}
		reveal(&batch)
		if err := send(batch); err != nil || batch.Final {
			return err
		}
	}
}

// options returns the options of the request's subscription.
func (q *request) options(idle time.Duration) feed.Options {
	options := feed.Options{From: make([]feed.Start, len(q.from)), Types: q.types, Idle: idle}
	for i := range q.from {
		options.From[i] = q.from[i].feedStart()
	}
	return options
}

// withPositions returns the request's starts, moved to the subscription's positions.
func (q *request) withPositions(positions []feed.Start) []start {
	at := slices.Clone(q.from)
	for _, p := range positions {
		if _, last := p.Last(); last {
			continue // where the last items begin is not known yet
		}
		for i := range at {
			if at[i].workflowID == p.WorkflowID {
				at[i].after = &p.Cursor
			}
		}
	}
	return at
}
