package feed_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"chatfeed/feed"
)

// errUnavailable is what a source returns while it is unavailable.
var errUnavailable = errors.New("the source is unavailable")

// op is one of the source's reading methods.
type op string

const (
	opAfter  op = "After"
	opBefore op = "Before"
	opHeads  op = "Heads"
	opErased op = "Erased"
)

// query is one call of a reading method.
type query struct {
	op     op
	at     []feed.Position // of After and Before
	ids    []string        // of Heads and Erased
	window feed.Window
	when   time.Time
}

// source is a [feed.Source] in memory. Its items are ordered as the real one's are: a commit stamps an item later than
// all that its workflow has. Notifications are the test's to send: notify can be called late, twice, never and with a
// head that does not exist.
type source struct {
	// before and after are called, where set, before and after a reading method takes its snapshot. An error fails the
	// method. Set them before the feed runs, or before with setBefore.
	before, after func(context.Context, query) error
	// bodySize is how many bytes each committed item has; 0 means 1.
	bodySize int

	mu       sync.Mutex
	items    map[string][]*feed.Item
	heads    map[string]feed.Cursor
	pasts    map[string]*past
	given    map[string]feed.Cursor // the newest heads that Heads has answered
	notified map[string]feed.Cursor // the newest head of each that a listener has received, unless it was forged
	queries  []query
	holds    []*hold
	failing  op   // reads of this kind fail
	away     bool // reads and Listen fail
	noListen bool // Listen fails
	line     *line
	listens  []time.Time
	faults   []string // guarantees of a Source that this one broke
	served   int      // items that reads have returned

	changed map[string]bool          // workflows of which items have been erased or lost
	lostAt  map[string][]feed.Cursor // the stamps of items that a failover has lost
}

// line is one run of Listen.
type line struct {
	wake func(string, feed.Cursor)
	lost chan error
}

func newSource() *source {
	return &source{
		items:    make(map[string][]*feed.Item),
		heads:    make(map[string]feed.Cursor),
		pasts:    make(map[string]*past),
		given:    make(map[string]feed.Cursor),
		notified: make(map[string]feed.Cursor),

		changed: make(map[string]bool),
		lostAt:  make(map[string][]feed.Cursor),
	}
}

// add commits one item of each type and tells nobody. It returns the workflow's new head. An item's id is the workflow's
// and its number in it, from 1 on.
func (s *source) add(workflowID string, types ...string) feed.Cursor {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range types {
		s.stamp(workflowID)
		s.write(workflowID, name)
	}
	return s.heads[workflowID]
}

// addAt is add of one message with a stamp of its own, which may be of the past, as when a clock is behind.
func (s *source) addAt(workflowID string, at feed.Cursor) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heads[workflowID] = at
	s.write(workflowID, "message")
}

// write appends an item at the workflow's head. The caller holds mu.
func (s *source) write(workflowID, name string) {
	life := s.pastOf(workflowID)
	life.made++
	s.items[workflowID] = append(s.items[workflowID], &feed.Item{
		WorkflowID: workflowID,
		ID:         fmt.Sprintf("%s/%d", workflowID, life.made),
		Type:       name,
		CreatedAt:  s.heads[workflowID],
		Body:       bytes.Repeat([]byte("x"), max(1, s.bodySize)),
		Final:      name == "final",
	})
}

// stamp moves a workflow's head. The test holds mu.
func (s *source) stamp(workflowID string) {
	s.heads[workflowID] = max(feed.Cursor(time.Now().UnixMicro()), s.heads[workflowID]+1)
	s.pastOf(workflowID)
}

// commit is add with its notification.
func (s *source) commit(workflowID string, types ...string) feed.Cursor {
	head := s.add(workflowID, types...)
	s.notify(workflowID, head)
	return head
}

// messages commits n messages, one notification for all.
func (s *source) messages(workflowID string, n int) feed.Cursor {
	return s.commit(workflowID, slices.Repeat([]string{"message"}, n)...)
}

// touch moves a workflow's head without an item and without a notification, as a retry whose rows are there does.
func (s *source) touch(workflowID string) feed.Cursor {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stamp(workflowID)
	return s.heads[workflowID]
}

// notify delivers a notification, if anyone listens.
func (s *source) notify(workflowID string, head feed.Cursor) {
	s.mu.Lock()
	l := s.line
	s.mu.Unlock()
	if l == nil {
		return
	}
	l.wake(workflowID, head)
	s.mu.Lock()
	defer s.mu.Unlock()
	if head <= s.heads[workflowID] {
		s.notified[workflowID] = max(s.notified[workflowID], head)
	}
}

// dropListener ends the listener, which may come back at once; with noListen it may not.
func (s *source) dropListener(noListen bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.noListen = noListen
	if s.line != nil {
		s.line.lost <- errUnavailable
		s.line = nil
	}
}

// setBefore sets what is called before each snapshot from now on.
func (s *source) setBefore(before func(context.Context, query) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before = before
}

// disconnect makes everything fail until reconnect.
func (s *source) disconnect() {
	s.dropListener(false)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = true
}

// fail makes one kind of read fail until reconnect.
func (s *source) fail(kind op) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failing = kind
}

// reconnect ends what disconnect, dropListener and fail began.
func (s *source) reconnect() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away, s.noListen, s.failing = false, false, ""
}

// Listen implements [feed.Source].
func (s *source) Listen(ctx context.Context, connected func(), wake func(string, feed.Cursor)) error {
	s.mu.Lock()
	s.listens = append(s.listens, time.Now())
	if s.away || s.noListen {
		s.mu.Unlock()
		return errUnavailable
	}
	l := &line{wake: wake, lost: make(chan error, 1)}
	s.line = l
	s.mu.Unlock()
	connected()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case err := <-l.lost:
		return err
	}
}

// After implements [feed.Source].
func (s *source) After(ctx context.Context, at []feed.Position, window feed.Window) ([]feed.Page, error) {
	return s.pages(ctx, query{op: opAfter, at: at, window: window}, func(p feed.Position) feed.Page {
		var page feed.Page
		size := 0
		for _, item := range s.items[p.WorkflowID] {
			if item.CreatedAt <= p.Cursor || !takes(window, item) {
				continue
			}
			if len(page.Items) == window.Items || size >= window.Bytes {
				page.More = true
				break
			}
			page.Items = append(page.Items, item)
			size += item.Size()
		}
		return page
	})
}

// Before implements [feed.Source].
func (s *source) Before(ctx context.Context, at []feed.Position, window feed.Window) ([]feed.Page, error) {
	return s.pages(ctx, query{op: opBefore, at: at, window: window}, func(p feed.Position) feed.Page {
		var page feed.Page
		size := 0
		for _, item := range slices.Backward(s.items[p.WorkflowID]) {
			if item.CreatedAt >= p.Cursor || !takes(window, item) {
				continue
			}
			if len(page.Items) == window.Items || size >= window.Bytes {
				page.More = true
				break
			}
			page.Items = append(page.Items, item)
			size += item.Size()
		}
		slices.Reverse(page.Items)
		return page
	})
}

func takes(window feed.Window, item *feed.Item) bool {
	return window.Types == nil || slices.Contains(window.Types, item.Type)
}

func (s *source) pages(ctx context.Context, q query, read func(feed.Position) feed.Page) ([]feed.Page, error) {
	promised := make([]feed.Cursor, len(q.at))
	s.mu.Lock()
	for i, p := range q.at {
		promised[i] = s.given[p.WorkflowID]
	}
	s.mu.Unlock()
	pages := make([]feed.Page, len(q.at))
	err := s.run(ctx, q, func() {
		for i, p := range q.at {
			pages[i] = read(p)
			s.served += len(pages[i].Items)
			if !s.changed[p.WorkflowID] && s.heads[p.WorkflowID] < min(promised[i], s.given[p.WorkflowID]) {
				s.faults = append(s.faults, fmt.Sprintf("a read of %s does not see head %d, which Heads gave before it began",
					p.WorkflowID, promised[i]))
			}
		}
	})
	return pages, err
}

// Heads implements [feed.Source].
func (s *source) Heads(ctx context.Context, workflowIDs []string) (map[string]feed.Head, error) {
	heads := make(map[string]feed.Head)
	err := s.run(ctx, query{op: opHeads, ids: workflowIDs}, func() {
		for _, id := range workflowIDs {
			if head, ok := s.heads[id]; ok {
				heads[id] = feed.Head{At: head, Born: s.pasts[id].born, Erased: s.pasts[id].mark}
			}
		}
	})
	if err == nil {
		s.mu.Lock()
		for id, head := range heads {
			s.given[id] = max(s.given[id], head.At)
		}
		s.mu.Unlock()
	}
	return heads, err
}

// run counts a query, and takes its snapshot between the hooks.
func (s *source) run(ctx context.Context, q query, snapshot func()) error {
	q.when = time.Now()
	s.mu.Lock()
	s.queries = append(s.queries, q)
	early, late := s.takeHold(q.op, beforeSnapshot), s.takeHold(q.op, afterSnapshot)
	s.mu.Unlock()
	if err := early.wait(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	before := s.before
	s.mu.Unlock()
	if before != nil {
		if err := before(ctx, q); err != nil {
			return err
		}
	}
	s.mu.Lock()
	if s.away || s.failing == q.op {
		s.mu.Unlock()
		return errUnavailable
	}
	snapshot()
	s.mu.Unlock()
	if err := late.wait(ctx); err != nil {
		return err
	}
	if s.after != nil {
		return s.after(ctx, q)
	}
	return ctx.Err()
}

// asked returns the queries of a kind so far.
func (s *source) asked(kind op) []query {
	s.mu.Lock()
	defer s.mu.Unlock()
	var asked []query
	for _, q := range s.queries {
		if q.op == kind {
			asked = append(asked, q)
		}
	}
	return asked
}

// total is how many queries there have been.
func (s *source) total() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.queries)
}

// listened returns when Listen was called.
func (s *source) listened() []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.listens)
}

// reads is how many queries for items there have been.
func (s *source) reads() int { return len(s.asked(opAfter)) + len(s.asked(opBefore)) }

// broken returns the guarantees that the source itself has broken; a test with any would prove nothing.
func (s *source) broken() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.faults)
}
