package feed_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"chatfeed/feed"
)

func TestEverySubscriptionSeesExactlyTheItemsAfterItsCursorOnceInOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		s := scripts().Draw(rt, "script")
		var faults []string
		synctest.Test(t, func(t *testing.T) { faults = play(t, s) })
		if len(faults) > 0 {
			rt.Fatalf("%d faults, the first: %s", len(faults), faults[0])
		}
	})
}

// pass lets virtual time pass, beside all that happens meanwhile. It has no timer for no time: Go 1.26's race detector
// crashes when two goroutines of a bubble receive from timers that are due without waiting.
func pass(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// play runs a script and returns what went wrong.
func play(t *testing.T, s script) []string {
	t.Helper()
	src := newSource()
	src.bodySize = 10
	var calm atomic.Bool // at the end nothing fails any more
	var turn atomic.Int64
	src.before = func(ctx context.Context, _ query) error {
		n := int(turn.Add(1))
		pass(ctx, s.Early[n%len(s.Early)])
		if s.Fails[n%len(s.Fails)] && !calm.Load() {
			return errAway
		}
		return nil
	}
	src.after = func(ctx context.Context, _ query) error {
		pass(ctx, s.Late[int(turn.Load())%len(s.Late)])
		return ctx.Err()
	}
	f, err := feed.New(src, feed.Config{
		Window: s.Window, Sweep: s.Sweep, Linger: s.Linger, Log: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	var running, delivering sync.WaitGroup
	running.Go(func() { f.Run(ctx) })
	readers := make([]*reader, readerCount)
	for n := range readers {
		readers[n] = &reader{feed: f, src: src}
	}

	for _, step := range s.Steps {
		workflowID := fmt.Sprintf("w%d", step.Workflow)
		switch step.Kind {
		case commits:
			head := src.add(workflowID, step.Types...)
			for _, late := range step.Notified {
				if late == 0 {
					src.notify(workflowID, head)
					continue
				}
				delivering.Go(func() {
					<-time.After(late)
					src.notify(workflowID, head)
				})
			}
		case touches:
			src.touch(workflowID)
		case forges:
			src.notify(workflowID, feed.Cursor(time.Now().Add(time.Hour).UnixMicro()))
		case opens:
			readers[step.Reader].open(step)
		case resumes:
			readers[step.Reader].resume()
		case hangsUp:
			src.hangUp(false)
		case deafens:
			src.hangUp(true)
		case goesAway:
			src.goAway()
		case isBack:
			src.comeBack()
		case elapses:
			pass(ctx, step.For)
		}
		if step.Settled {
			synctest.Wait()
		}
	}

	delivering.Wait()
	calm.Store(true)
	src.comeBack()
	elapse(20 * time.Minute) // enough for the slowest reader
	reads := src.reads()
	elapse(time.Hour)
	faults := src.broken()
	if more := src.reads() - reads; more > 0 {
		faults = append(faults, fmt.Sprintf("%d reads within an hour in which nothing happens", more))
	}
	for n, r := range readers {
		r.close()
		for _, fault := range append(r.faults, r.missing()...) {
			faults = append(faults, fmt.Sprintf("reader %d: %s", n, fault))
		}
	}
	cancel()
	running.Wait()
	return faults
}

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
		p := &place{last: o.Last}
		r.places[id] = p
		if o.Last >= 0 {
			continue
		}
		r.src.mu.Lock()
		if n := o.After % (len(r.src.items[id]) + 1); n > 0 {
			p.cursor = r.src.items[id][n-1].CreatedAt
		}
		r.src.mu.Unlock()
		p.known = true
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
		for _, item := range batch.Items {
			r.receive(item)
		}
		r.idle = batch.UpToDate
		for id, p := range r.places {
			if batch.UpToDate && p.known && p.next < p.owed {
				r.faults = append(r.faults, fmt.Sprintf("up to date with %d items of %s, but notifications had told of %d",
					p.next, id, p.owed))
			}
		}
		pass(ctx, r.pace)
	}
}

func (r *reader) receive(item *feed.Item) {
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
	p.known, p.next, p.cursor = true, at+1, item.CreatedAt
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
		if items := r.takes(id); p.known && p.next < len(items) {
			faults = append(faults, fmt.Sprintf("did not receive %s and %d after it", items[p.next].ID, len(items)-p.next-1))
		} else if !p.known && p.last > 0 && len(items) > 0 {
			faults = append(faults, fmt.Sprintf("received none of the last %d of %s", p.last, id))
		}
	}
	return faults
}
