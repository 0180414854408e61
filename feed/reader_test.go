package feed_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"chatfeed/feed"
)

// reader is a client: it follows workflows with one subscription after another, and checks what it receives.
type reader struct {
	feed *feed.Feed
	src  *source

	types   []string
	pace    time.Duration
	current *feed.Subscription
	leave   context.CancelFunc
	reading sync.WaitGroup
	idle    bool         // the newest batch was up to date
	from    []feed.Start // where its next subscription begins

	mu       sync.Mutex // guards what is below, where others add and drop while it reads
	places   map[string]*place
	order    []string        // of the workflows, as they were added
	dropping map[string]bool // dropped since Next was last called, which may still return of them
	faults   []string
}

// place is how far a reader is in one workflow.
type place struct {
	known  bool // next is known; else the subscription began with last, and has delivered nothing yet
	next   int  // index, among the items of the reader's types, of the one to come
	cursor feed.Cursor
	last   int
	due    int // how many were notified before Next was called: a batch that is up to date must have delivered them

	has       map[string]*feed.Item // by id, what it has been given since its history began
	from      feed.Cursor           // where it began
	uncertain bool                  // it has resumed from a cursor of which the source knows nothing, so anything may be missing
}

// takes returns a workflow's items of the reader's types.
func (r *reader) takes(workflowID string) []*feed.Item {
	r.src.mu.Lock()
	defer r.src.mu.Unlock()
	var items []*feed.Item
	for _, item := range r.src.items[workflowID] {
		if takes(feed.Window{Types: r.types}, item) {
			items = append(items, item)
		}
	}
	return items
}

// notified is how many items of the reader's types a listener has been notified of.
func (r *reader) notified(workflowID string) int {
	r.src.mu.Lock()
	notified := r.src.notified[workflowID]
	r.src.mu.Unlock()
	items := r.takes(workflowID)
	n := slices.IndexFunc(items, func(i *feed.Item) bool { return i.CreatedAt > notified })
	if n < 0 {
		return len(items)
	}
	return n
}

func (r *reader) open(s step) {
	r.close()
	r.types, r.pace = s.Types, s.Pace
	r.places, r.order, r.from = make(map[string]*place), nil, nil
	for _, o := range s.From {
		r.from = append(r.from, r.enter(o))
	}
	r.subscribe()
}

// enter makes a place where a subscription begins in a workflow.
func (r *reader) enter(o origin) feed.Start {
	id := fmt.Sprintf("w%d", o.Workflow)
	p := &place{last: o.Last, has: make(map[string]*feed.Item)}
	r.places[id], r.order = p, append(r.order, id)
	if o.Last >= 0 {
		return last(id, o.Last)
	}
	r.src.mu.Lock()
	if n := o.After % (len(r.src.items[id]) + 1); n > 0 {
		p.cursor = r.src.items[id][n-1].CreatedAt
	}
	r.src.mu.Unlock()
	p.known, p.from = true, p.cursor
	p.next = slices.IndexFunc(r.takes(id), func(i *feed.Item) bool { return i.CreatedAt > p.cursor })
	if p.next < 0 {
		p.next = len(r.takes(id))
	}
	return after(id, p.cursor)
}

// add and drop change what the reader follows while it reads.
func (r *reader) add(o origin) {
	r.mu.Lock()
	defer r.mu.Unlock()
	id := fmt.Sprintf("w%d", o.Workflow)
	if r.current == nil || r.dropping[id] {
		return
	}
	if r.places[id] != nil {
		if r.current.Add(after(id, 0)) == nil {
			r.fault("%s was added twice", id)
		}
		return
	}
	if err := r.current.Add(r.enter(o)); err != nil {
		r.fault("%v", err)
	}
}

func (r *reader) drop(workflow int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	id := fmt.Sprintf("w%d", workflow)
	if r.current == nil {
		return
	}
	if follows := r.places[id] != nil; r.current.Drop(id) != follows {
		r.fault("Drop of %s does not say that it was followed: %v", id, follows)
	}
	delete(r.places, id)
	r.order = slices.DeleteFunc(r.order, func(other string) bool { return other == id })
	r.dropping[id] = true
}

func (r *reader) fault(format string, args ...any) {
	r.faults = append(r.faults, fmt.Sprintf(format, args...))
}

// resume resubscribes from its positions.
func (r *reader) resume() {
	r.close()
	if r.places == nil {
		return
	}
	for _, start := range r.from {
		if _, unknown := start.Last(); !unknown {
			p := r.places[start.WorkflowID]
			p.uncertain = p.uncertain || r.src.isLost(start.WorkflowID, start.Cursor)
		}
	}
	r.subscribe()
}

func (r *reader) subscribe() {
	r.dropping = make(map[string]bool)
	ctx, cancel := context.WithCancel(context.Background())
	s, err := r.feed.Subscribe(ctx, feed.Options{From: r.from, Types: r.types, Idle: 10 * time.Second})
	if err != nil {
		cancel()
		r.fault("%v", err)
		return
	}
	r.current, r.leave = s, cancel
	r.reading.Go(func() { r.read(ctx) })
}

func (r *reader) close() {
	if r.current == nil {
		return
	}
	r.leave()
	r.reading.Wait()
	r.from = r.current.Positions()
	r.current.Close()
	r.current = nil
}

func (r *reader) read(ctx context.Context) {
	for {
		r.mu.Lock()
		clear(r.dropping)
		for id, p := range r.places {
			p.due = r.notified(id)
		}
		r.mu.Unlock()
		batch, err := r.current.Next()
		if err != nil {
			return
		}
		r.take(batch)
		pass(ctx, r.pace)
	}
}

func (r *reader) take(batch feed.Batch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range batch.Anew {
		if r.follows(id) {
			r.places[id].forget()
		}
	}
	for _, g := range batch.Gone {
		if r.follows(g.WorkflowID) {
			delete(r.places[g.WorkflowID].has, g.ID)
		}
	}
	for _, item := range batch.Items {
		if r.follows(item.WorkflowID) {
			r.receive(item)
		}
	}
	r.idle = batch.UpToDate
	for id, p := range r.places {
		if batch.UpToDate && p.known && !r.src.isChanged(id) && p.next < p.due {
			r.fault("up to date with %d items of %s, but %d were notified", p.next, id, p.due)
		}
	}
	r.locate()
}

// follows reports whether what a batch has of a workflow is for the reader, and finds a fault where it must not be there.
func (r *reader) follows(id string) bool {
	if r.places[id] == nil && !r.dropping[id] {
		r.fault("was given of %s, which is not followed", id)
	}
	return r.places[id] != nil
}

// locate compares the positions with what was received.
func (r *reader) locate() {
	positions := r.current.Positions()
	order := make([]string, len(positions))
	for i, at := range positions {
		order[i] = at.WorkflowID
	}
	if !slices.Equal(order, r.order) {
		r.fault("positions of %v instead of %v", order, r.order)
		return
	}
	for _, at := range positions {
		p, items := r.places[at.WorkflowID], r.takes(at.WorkflowID)
		_, unknown := at.Last()
		switch {
		case unknown && p.known:
			r.fault("the position in %s is not known, though it has delivered", at.WorkflowID)
		case unknown || !p.known || r.src.isChanged(at.WorkflowID):
		case p.next < len(items) && items[p.next].CreatedAt <= at.Cursor:
			r.fault("the position has passed %s, which was not received", items[p.next].ID)
		case at.Cursor < p.cursor:
			r.fault("the position in %s is before what was received", at.WorkflowID)
		}
	}
}

// forget is what a client does when a new history begins. One that waits for the last items still does.
func (p *place) forget() {
	p.cursor, p.from, p.next, p.uncertain = 0, 0, 0, false
	p.has = make(map[string]*feed.Item)
}

func (r *reader) receive(item *feed.Item) {
	// An item of a new history, which may have the id of an old one, may come before the reader learns of it.
	if p := r.places[item.WorkflowID]; p.has[item.ID] == item {
		r.faults = append(r.faults, "received twice: "+item.ID)
	} else {
		p.has[item.ID] = item
	}
	if r.src.isChanged(item.WorkflowID) {
		p := r.places[item.WorkflowID]
		if !p.known {
			p.known, p.from = true, item.CreatedAt-1
		}
		p.cursor = item.CreatedAt
		return
	}
	items, p := r.takes(item.WorkflowID), r.places[item.WorkflowID]
	at := slices.Index(items, item)
	switch {
	case at < 0:
		r.faults = append(r.faults, "an item that it does not take: "+item.ID)
		return
	case p.known && at != p.next:
		r.faults = append(r.faults, fmt.Sprintf("received %s instead of %s", item.ID, items[min(p.next, len(items)-1)].ID))
	case !p.known && at > max(0, len(items)-p.last): // it may be earlier: the head is where the topic was
		r.faults = append(r.faults, fmt.Sprintf("started the last %d with %s, of which %d of %d items are",
			p.last, item.ID, len(items)-at, len(items)))
	}
	if !p.known {
		p.known, p.from = true, item.CreatedAt-1
	}
	p.next, p.cursor = at+1, item.CreatedAt
}

// missing returns what a reader that has had time enough has not received.
func (r *reader) missing() (faults []string) {
	if r.places == nil {
		return nil
	}
	if !r.idle {
		faults = append(faults, "it is not up to date in the end")
	}
	for id, p := range r.places {
		items := r.takes(id)
		switch changed := r.src.isChanged(id); {
		case changed && p.known && !p.uncertain:
			for _, item := range items {
				if item.CreatedAt > p.from && p.has[item.ID] != item {
					faults = append(faults, "did not receive "+item.ID+" of a changed workflow")
				}
			}
		case changed:
		case p.known && p.next < len(items):
			faults = append(faults, fmt.Sprintf("did not receive %s and %d after it", items[p.next].ID, len(items)-p.next-1))
		case !p.known && p.last > 0 && len(items) > 0:
			faults = append(faults, fmt.Sprintf("received none of the last %d of %s", p.last, id))
		}
	}
	return faults
}
