package rpc_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"

	"chatfeed/feed"
	"chatfeed/rpc"
)

// source is a feed.Source and rpc.Workflows of functions. What is nil finds nothing.
type source struct {
	hangs     bool // no read comes back before its context ends
	after     func(feed.Position, feed.Window) (feed.Page, error)
	before    func(feed.Position, feed.Window) (feed.Page, error)
	workflows func(after feed.Workflow, limit int) ([]feed.Workflow, error)
	head      func(workflowID string) feed.Head
	erased    func(after int64) []feed.Gone
	wake      chan string // workflows of which something was erased
}

// errInternal stands for what a database might say.
var errInternal = errors.New(`dial tcp 10.1.2.3:5432: SELECT secret FROM chatfeed.items: connection refused`)

// failing is a source that is unavailable.
func failing() *source {
	fail := func(feed.Position, feed.Window) (feed.Page, error) { return feed.Page{}, errInternal }
	return &source{after: fail, before: fail, workflows: func(feed.Workflow, int) ([]feed.Workflow, error) {
		return nil, errInternal
	}}
}

func (s *source) Listen(ctx context.Context, connected func(), wake func(string, feed.Cursor)) error {
	connected()
	for {
		select {
		case id := <-s.wake:
			wake(id, 0)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *source) After(ctx context.Context, at []feed.Position, window feed.Window) ([]feed.Page, error) {
	if err := s.hang(ctx); err != nil {
		return nil, err
	}
	return pages(s.after, at, window)
}

func (s *source) Before(ctx context.Context, at []feed.Position, window feed.Window) ([]feed.Page, error) {
	if err := s.hang(ctx); err != nil {
		return nil, err
	}
	return pages(s.before, at, window)
}

// Heads are those of what before finds, unless the source has heads of its own.
func (s *source) Heads(ctx context.Context, workflowIDs []string) (map[string]feed.Head, error) {
	if err := s.hang(ctx); err != nil {
		return nil, err
	}
	found := map[string]feed.Head{}
	for _, id := range workflowIDs {
		if s.head != nil {
			found[id] = s.head(id)
			continue
		}
		at := []feed.Position{{WorkflowID: id, Cursor: feed.End}}
		newest, err := pages(s.before, at, feed.Window{Items: 1, Bytes: 1})
		if err != nil {
			return nil, err
		}
		if n := len(newest[0].Items); n > 0 {
			found[id] = feed.Head{At: newest[0].Items[n-1].CreatedAt, Born: 1}
		}
	}
	return found, nil
}

func (s *source) hang(ctx context.Context) error {
	if !s.hangs {
		return nil
	}
	<-ctx.Done()
	return ctx.Err()
}

func (s *source) Erased(_ context.Context, _ string, after int64, _ int) ([]feed.Gone, error) {
	if s.erased == nil {
		return nil, nil
	}
	return s.erased(after), nil
}

func (s *source) Workflows(_ context.Context, after feed.Workflow, limit int) ([]feed.Workflow, error) {
	if s.workflows == nil {
		return nil, nil
	}
	return s.workflows(after, limit)
}

func pages(
	read func(feed.Position, feed.Window) (feed.Page, error), at []feed.Position, window feed.Window,
) ([]feed.Page, error) {
	found := make([]feed.Page, len(at))
	for i, position := range at {
		if read == nil {
			continue
		}
		page, err := read(position, window)
		if err != nil {
			return nil, err
		}
		found[i] = page
	}
	return found, nil
}

// fixed is a source with one workflow's items that never change.
func fixed(items ...*feed.Item) *source {
	return &source{
		after: func(at feed.Position, window feed.Window) (feed.Page, error) {
			page := feed.Page{}
			for _, item := range items {
				if item.WorkflowID == at.WorkflowID && item.CreatedAt > at.Cursor && takes(window, item) {
					page.Items = append(page.Items, item)
				}
			}
			page.More = len(page.Items) >= window.Items
			page.Items = page.Items[:min(len(page.Items), window.Items)]
			return page, nil
		},
		before: func(at feed.Position, window feed.Window) (feed.Page, error) {
			page := feed.Page{}
			for _, item := range items {
				if item.WorkflowID == at.WorkflowID && item.CreatedAt < at.Cursor && takes(window, item) {
					page.Items = append(page.Items, item)
				}
			}
			page.More = len(page.Items) >= window.Items
			page.Items = page.Items[max(0, len(page.Items)-window.Items):]
			return page, nil
		},
	}
}

func takes(window feed.Window, item *feed.Item) bool {
	return window.Types == nil || slices.Contains(window.Types, item.Type)
}

// chat is an rpc.Chat of functions.
type chat struct {
	send   func(workflowID string, message rpc.ChatMessage) (rpc.Sent, error)
	cancel func(workflowID string) error
	// told is called for a stop, whose approval is empty, and for an approval.
	told func(workflowID string, approval rpc.Approval) error
	// called is called for a start, a signal, an update, a query and a termination, whose name is the reason.
	called func(ctx context.Context, kind, workflowID string, call rpc.Call) (string, error)
}

func (c *chat) Send(_ context.Context, workflowID string, message rpc.ChatMessage) (rpc.Sent, error) {
	return c.send(workflowID, message)
}

func (c *chat) Stop(_ context.Context, workflowID string) error {
	return c.told(workflowID, rpc.Approval{})
}

func (c *chat) Approve(_ context.Context, workflowID string, approval rpc.Approval) error {
	return c.told(workflowID, approval)
}

func (c *chat) Cancel(_ context.Context, workflowID string) error { return c.cancel(workflowID) }

func (c *chat) Start(ctx context.Context, workflowID string, call rpc.Call) (string, error) {
	return c.called(ctx, "start", workflowID, call)
}

func (c *chat) Signal(ctx context.Context, workflowID string, call rpc.Call) (string, error) {
	return c.called(ctx, "signal", workflowID, call)
}

func (c *chat) Update(ctx context.Context, workflowID string, call rpc.Call) (json.RawMessage, error) {
	text, err := c.called(ctx, "update", workflowID, call)
	return json.RawMessage(text), err
}

func (c *chat) Query(ctx context.Context, workflowID string, call rpc.Call) (json.RawMessage, error) {
	text, err := c.called(ctx, "query", workflowID, call)
	return json.RawMessage(text), err
}

func (c *chat) Terminate(ctx context.Context, workflowID, reason string) error {
	_, err := c.called(ctx, "terminate", workflowID, rpc.Call{Name: reason})
	return err
}

// recorder is an rpc.Recorder of a function.
type recorder func(workflowID string, items []rpc.NewItem) ([]rpc.Recorded, error)

func (r recorder) Record(_ context.Context, workflowID string, items []rpc.NewItem) ([]rpc.Recorded, error) {
	return r(workflowID, items)
}

// buffer is a log that may be read while it is written.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
