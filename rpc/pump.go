package rpc

import (
	"context"
	"slices"
	"time"

	"chatfeed/feed"
)

// pump follows what a request asks for and hands on each batch, those without items as heartbeats, until the viewer
// expires, ctx ends, send fails or the feed drains; the error says which. Every transport's stream is one: begin answers the
// request, which is in order as far as anyone can tell, and returns what sends a batch. What it is given says where the
// client stands with what has been sent, in the order of the request; it may be called within send.
func (s *feedService) pump(
	ctx context.Context, q request, f form, begin func(stand func() []start) (send func(feed.Batch) error, err error),
) error {
	leave, err := occupy(ctx)
	if err != nil {
		return err
	}
	defer leave()
	hidden := q.hide(s.viewer(ctx))
	if err := s.refuseAhead(ctx, q, f); err != nil {
		return err
	}
	subscription, err := s.Feed.Subscribe(ctx, q.options(s.Heartbeat))
	if err != nil {
		return err
	}
	defer subscription.Close()
	send, err := begin(func() []start { return q.stand(subscription.Positions()) })
	if err != nil {
		return err
	}
	for {
		batch, err := subscription.Next()
		if err != nil {
			return err
		}
		if ctx.Err() != nil { // where there is always a next batch, Next does not look
			return context.Cause(ctx)
		}
		if hidden != nil {
			q.reveal(&batch, hidden)
		}
		if err := send(batch); err != nil {
			return err
		}
	}
}

// options are those of a subscription to what the request asks for. Workflows that are hidden are followed as one, from the
// latest of their cursors.
func (q *request) options(idle time.Duration) feed.Options {
	options := feed.Options{From: make([]feed.Start, 0, len(q.from)), Types: q.types, Idle: idle}
	hidden := -1
	for _, s := range q.from {
		switch {
		case s.workflowID == nowhere && hidden >= 0:
			options.From[hidden].Cursor = max(options.From[hidden].Cursor, s.cursor())
			continue
		case s.workflowID == nowhere:
			hidden = len(options.From)
		case s.last != nil:
			options.From = append(options.From, feed.Last(s.workflowID, *s.last))
			continue
		}
		options.From = append(options.From, feed.After(s.workflowID, s.cursor()))
	}
	return options
}

// stand returns the request's starts as the subscription's positions have them.
func (q *request) stand(positions []feed.Start) []start {
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
