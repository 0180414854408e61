package rpc

import (
	"context"
	"time"

	"chatfeed/feed"
)

// pump follows what a request asks for and hands on each batch, those without items as heartbeats, until the viewer
// expires, ctx ends, send fails or the feed drains; the error says which. Every transport's stream is one: begin answers the
// request, which is in order as far as anyone can tell, and returns what sends a batch.
func (s *feedService) pump(ctx context.Context, q request, f form, begin func() (send func(feed.Batch) error, err error)) error {
	leave, err := occupy(ctx)
	if err != nil {
		return err
	}
	defer leave()
	hidden := q.hide(s.viewer(ctx))
	if err := s.refuseAhead(ctx, q, f); err != nil {
		return err
	}
	send, err := begin()
	if err != nil {
		return err
	}
	subscription, err := s.Feed.Subscribe(ctx, q.options(s.Heartbeat))
	if err != nil {
		return err
	}
	defer subscription.Close()
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
		at := feed.Start{Position: feed.Position{WorkflowID: s.workflowID, Cursor: s.cursor()}, Last: s.last}
		switch {
		case s.workflowID != nowhere:
			options.From = append(options.From, at)
		case hidden < 0:
			hidden = len(options.From)
			options.From = append(options.From, feed.Start{Position: at.Position})
		default:
			options.From[hidden].Cursor = max(options.From[hidden].Cursor, at.Cursor)
		}
	}
	return options
}
