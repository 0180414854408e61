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
	places  map[string]*place
	current *feed.Subscription
	leave   context.CancelFunc
	reading sync.WaitGroup
	idle    bool // the newest batch was up to date
	faults  []string
}

// place is how far a reader is in one workflow.
type place struct {
	known  bool // next is known; else the subscription began with last, and has delivered nothing yet
	next   int  // index, among the items of the reader's types, of the one to come
	cursor feed.Cursor
	last   int
	owed   int // how many a notification had told of before Next was called: what up to date must have delivered

	has     map[string]*feed.Item // by id, what it has been given since its history began
	from    feed.Cursor           // where it began
	blurred bool                  // it has resumed from a cursor of which the source knows nothing, so anything may be missing
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

// toldOf is how many items of the reader's types a listener has been told of.
func (r *reader) toldOf(workflowID string) int {
	r.src.mu.Lock()
	told := r.src.told[workflowID]
	r.src.mu.Unlock()
	items := r.takes(workflowID)
	n := slices.IndexFunc(items, func(i *feed.Item) bool { return i.CreatedAt > told })
	if n < 0 {
		return len(items)
	}
	return n
}

func (r *reader) open(s step) {
	r.close()
	r.types, r.pace = s.Types, s.Pace
	r.places = make(map[string]*place)
	for _, o := range s.From {
		id := fmt.Sprintf("w%d", o.Workflow)
		p := &place{last: o.Last, has: make(map[string]*feed.Item)}
		r.places[id] = p
		if o.Last >= 0 {
			continue
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
	}
	r.resume()
}

func (r *reader) resume() {
	r.close()
	if r.places == nil {
		return
	}
	var from []feed.Start
	for id, p := range r.places {
		p.blurred = p.blurred || p.known && r.src.isLost(id, p.cursor)
		if p.known {
			from = append(from, after(id, p.cursor))
		} else {
			from = append(from, last(id, p.last))
		}
	}
	slices.SortFunc(from, func(a, b feed.Start) int { return int(a.WorkflowID[1]) - int(b.WorkflowID[1]) })
	ctx, cancel := context.WithCancel(context.Background())
	s, err := r.feed.Subscribe(ctx, feed.Options{From: from, Types: r.types, Idle: 10 * time.Second})
	if err != nil {
		cancel()
		r.faults = append(r.faults, err.Error())
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
	r.current.Close()
	r.current = nil
}

func (r *reader) read(ctx context.Context) {
	for {
		for id, p := range r.places {
			p.owed = r.toldOf(id)
		}
		batch, err := r.current.Next()
		if err != nil {
			return
		}
		for _, id := range batch.Anew {
			r.places[id].forget()
		}
		for _, g := range batch.Gone {
			delete(r.places[g.WorkflowID].has, g.ID)
		}
		for _, item := range batch.Items {
			r.receive(item)
		}
		r.idle = batch.UpToDate
		for id, p := range r.places {
			if batch.UpToDate && p.known && !r.src.isDisturbed(id) && p.next < p.owed {
				r.faults = append(r.faults, fmt.Sprintf("up to date with %d items of %s, but notifications had told of %d",
					p.next, id, p.owed))
			}
		}
		pass(ctx, r.pace)
	}
}

// forget is what a client does that is told that a history begins anew.
func (p *place) forget() {
	p.known, p.cursor, p.from, p.next, p.blurred = true, 0, 0, 0, false
	p.has = make(map[string]*feed.Item)
}

func (r *reader) receive(item *feed.Item) {
	// An item of a new history, which may have the id of an old one, may come before the reader is told of it.
	if p := r.places[item.WorkflowID]; p.has[item.ID] == item {
		r.faults = append(r.faults, "received twice: "+item.ID)
	} else {
		p.has[item.ID] = item
	}
	if r.src.isDisturbed(item.WorkflowID) {
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
		switch disturbed := r.src.isDisturbed(id); {
		case disturbed && p.known && !p.blurred:
			for _, item := range items {
				if item.CreatedAt > p.from && p.has[item.ID] != item {
					faults = append(faults, "did not receive "+item.ID+" of a disturbed workflow")
				}
			}
		case disturbed:
		case p.known && p.next < len(items):
			faults = append(faults, fmt.Sprintf("did not receive %s and %d after it", items[p.next].ID, len(items)-p.next-1))
		case !p.known && p.last > 0 && len(items) > 0:
			faults = append(faults, fmt.Sprintf("received none of the last %d of %s", p.last, id))
		}
	}
	return faults
}
