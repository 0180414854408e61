package feed

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Options says what a subscription follows.
type Options struct {
	From  []Start       // at least one; each workflow once
	Types []string      // only items of these types; nil means all
	Idle  time.Duration // how long Next waits before it returns an empty batch; 0 means 15 s
}

// Start is where a subscription begins in one workflow: after the cursor or, with Last set, that many items before the
// head.
type Start struct {
	Position
	Last *int // of the types that the subscription takes; 0 means only what is new. The Cursor is then not used.
}

// Batch is what one call of Next delivers.
type Batch struct {
	Items    []*Item // of one workflow, in order; shared, not to be changed. Empty after Options.Idle without news.
	UpToDate bool    // with these, every item that was known to be committed has been delivered
	// Gone are items of the followed workflows that were erased; who has them removes them.
	Gone []Gone
	// Anew are followed workflows whose whole history was erased; what follows is the new one, from its beginning.
	Anew []string
}

// Subscription is one client's positions in the workflows it follows. It has no queue: between two calls of Next it costs
// its memory and, where it is far behind, the one page that is read ahead. It belongs to one goroutine.
type Subscription struct {
	feed    *Feed
	types   []string
	follows []*follow
	ctx     context.Context
	ignore  func() bool   // stops telling of the end of ctx
	ready   chan struct{} // a topic has news, a page has come, the alarm has rung, ctx has ended or the feed drains
	idle    time.Duration
	opened  time.Time
	asked   atomic.Int64 // how long after opened Next was called
	rang    atomic.Bool  // the alarm has rung
	turn    int          // the follow that is asked first, so that a busy workflow does not starve the others
	waiting *pageCall    // a page that has been asked for
	reading *follow      // whose page that is
	refused bool         // a follow needs a page and has to let another have its own first
	crowded bool         // one did when we looked the last time
	head    Cursor       // what reading's topic had read when the page was asked for
	told    bool         // the last batch said that it was up to date; until a topic has news there is nothing to look for

	mu    sync.Mutex
	alarm *time.Timer // rings while Next waits for longer than idle; nil when the subscription is closed
}

// follow is a subscription's place in one workflow.
type follow struct {
	topic *topic
	at    Cursor
	last  int // items still to go back from the head before at is known; below zero when at is known
	seen  Cursor
}

// Subscribe begins to follow workflows, whether they exist yet or not, until ctx ends. It reads nothing yet and does not
// block. The caller must Close the subscription.
func (f *Feed) Subscribe(ctx context.Context, options Options) (*Subscription, error) {
	switch {
	case len(options.From) == 0:
		return nil, errors.New("feed: Options.From is empty; it must name a workflow")
	case options.Idle < 0:
		return nil, fmt.Errorf("feed: Options.Idle is %v; it must be positive", options.Idle)
	}
	s := &Subscription{
		feed:    f,
		types:   sorted(options.Types),
		follows: make([]*follow, len(options.From)),
		ctx:     ctx,
		ready:   make(chan struct{}, 1),
		idle:    cmp.Or(options.Idle, 15*time.Second),
		opened:  time.Now(),
	}
	seen := make(map[string]bool, len(options.From))
	for i, start := range options.From {
		if seen[start.WorkflowID] {
			return nil, fmt.Errorf("feed: Options.From names workflow %q twice; each may stand there once", start.WorkflowID)
		}
		seen[start.WorkflowID] = true
		s.follows[i] = &follow{at: start.Cursor, last: -1}
		if start.Last != nil {
			s.follows[i].last = max(0, *start.Last)
			s.follows[i].seen = End
		}
	}
	for i, start := range options.From {
		s.follows[i].topic = f.join(start.WorkflowID, s)
	}
	f.stats.subscriptions.Add(1)
	s.ignore = context.AfterFunc(ctx, func() { signal(s.ready) })
	s.mu.Lock()
	s.alarm = time.AfterFunc(s.idle, s.ring)
	s.mu.Unlock()
	return s, nil
}

// join registers a subscription with a workflow's topic, making it if there is none, before anything is read.
func (f *Feed) join(workflowID string, s *Subscription) *topic {
	f.mu.Lock()
	t, ok := f.topics[workflowID]
	if !ok {
		t = newTopic(workflowID)
		f.topics[workflowID] = t
	}
	t.idleSince = time.Time{}
	t.mu.Lock()
	t.subscriptions[s] = struct{}{}
	t.mu.Unlock()
	f.mu.Unlock()
	if !ok {
		f.enqueue(t)
	}
	return t
}

// Close ends the subscription. It may be called more than once, but not during Next.
func (s *Subscription) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.alarm == nil {
		return
	}
	s.ignore()
	s.alarm.Stop()
	s.alarm = nil
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	for _, f := range s.follows {
		f.topic.mu.Lock()
		delete(f.topic.subscriptions, s)
		if len(f.topic.subscriptions) == 0 {
			f.topic.idleSince = time.Now()
		}
		f.topic.mu.Unlock()
	}
	s.feed.stats.subscriptions.Add(-1)
}

// ring wakes Next when it has waited for long enough. It comes back for the next time by itself, because setting a timer
// anew for each item costs more than the rest of Next.
func (s *Subscription) ring() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.alarm == nil {
		return
	}
	left := s.idle - (time.Since(s.opened) - time.Duration(s.asked.Load()))
	if left <= 0 {
		s.rang.Store(true)
		signal(s.ready)
		left = s.idle
	}
	s.alarm.Reset(left)
}

// Next blocks until there are items after the subscription's position and returns them; its position is then after
// them. It returns a batch without items when the subscription has just become up to date, and when nothing has come
// for Options.Idle. A source that is away makes it wait, not fail. The error is [ErrDraining] or that of the context which
// the subscription was made with.
func (s *Subscription) Next() (Batch, error) {
	s.asked.Store(int64(time.Since(s.opened)))
	s.rang.Store(false)
	for look := !s.told; ; look = true {
		if s.feed.drained() {
			return Batch{}, ErrDraining
		}
		if look {
			items, upToDate := s.poll()
			if len(items) > 0 || upToDate && !s.told || s.rang.Load() {
				s.told = upToDate
				return Batch{Items: items, UpToDate: upToDate}, nil
			}
		}
		if s.ctx.Err() != nil {
			return Batch{}, fmt.Errorf("follow workflows: %w", context.Cause(s.ctx))
		}
		<-s.ready // one channel, whatever the reason: to select from several costs as much again as to be woken
	}
}

// poll is [Subscription.look], again where a page has come with nothing in it and another follow needs one.
func (s *Subscription) poll() (items []*Item, upToDate bool) {
	items, upToDate = s.look()
	for len(items) == 0 && s.refused && s.waiting == nil {
		items, upToDate = s.look()
	}
	return items, upToDate
}

// look returns the next items of the first workflow that has any, and whether nothing is left after them. It never
// blocks; where only the source can tell, it asks for a page.
func (s *Subscription) look() (items []*Item, upToDate bool) {
	upToDate = true
	s.crowded, s.refused = s.refused, false
	first := s.turn
	for i := range s.follows {
		turn := (first + i) % len(s.follows)
		f := s.follows[turn]
		if len(items) == 0 {
			items = s.advance(f)
			s.turn = turn + 1
		}
		upToDate = upToDate && f.reached()
	}
	return items, upToDate
}

// reached reports whether the follow has passed all that its topic knows of.
func (f *follow) reached() bool { return f.last < 0 && f.topic.tail.Load().reached(f.at) }

// advance moves a follow along and returns the items that it has passed, if it takes any of them.
func (s *Subscription) advance(f *follow) []*Item {
	for {
		if s.reading == f {
			items, done := s.collect(f)
			if !done || len(items) > 0 {
				return items
			}
		}
		tail := f.topic.tail.Load()
		switch {
		case !tail.loaded:
			return nil
		case f.last >= 0:
			if !s.findStart(f, tail) {
				return nil
			}
		case f.at < tail.floor:
			s.request(f, Position{f.topic.workflowID, f.at}, false, s.feed.cfg.Window.Items, tail)
			return nil
		default:
			items := s.taken(tail.after(f.at))
			f.at = max(f.at, tail.read)
			return items
		}
	}
}

// findStart goes back from the head until it knows where the last items begin, and reports whether it does now.
func (s *Subscription) findStart(f *follow, tail *tail) bool {
	if f.seen == End {
		if at, ok := tail.newest(f.last, s.types); ok {
			f.at, f.last = at, -1
			return true
		}
		f.seen = tail.read + 1
	}
	s.request(f, Position{f.topic.workflowID, f.seen}, true, s.feed.limit(f.last), tail)
	return false
}

// request asks for a page, one at a time.
func (s *Subscription) request(f *follow, from Position, backwards bool, items int, tail *tail) {
	if s.waiting != nil {
		s.refused = true
		return
	}
	s.waiting = s.feed.pages.request(from, backwards, items, s.types, s.ready)
	s.reading = f
	s.head = tail.read
}

// collect takes the page that was asked for, if it is there. A page that is the last reaches to where the topic had read
// when it was asked for, even if its items do not: what lies between is of other types.
func (s *Subscription) collect(f *follow) (items []*Item, done bool) {
	select {
	case <-s.waiting.done:
	default:
		return nil, false
	}
	page, err := s.waiting.page, s.waiting.err
	s.waiting, s.reading = nil, nil
	if err != nil {
		return nil, true // asked again, at the pace of the page reader
	}
	if f.last >= 0 {
		f.last -= len(page.Items)
		if len(page.Items) > 0 {
			f.seen = page.Items[0].CreatedAt
		}
		if f.last <= 0 || !page.More {
			f.at, f.last = f.seen-1, -1
		}
		return nil, true
	}
	if n := len(page.Items); n > 0 {
		f.at = page.Items[n-1].CreatedAt
	}
	switch {
	case !page.More:
		f.at = max(f.at, s.head)
	case !s.refused && !s.crowded:
		s.readAhead(f)
	}
	return page.Items, true
}

// readAhead asks for the page that comes next, so that it is read while the one before is on its way to the client. As
// that takes a while, the page may have more items than one that somebody waits for, though not more bytes.
func (s *Subscription) readAhead(f *follow) {
	if tail := f.topic.tail.Load(); tail.loaded && f.at < tail.floor {
		s.request(f, Position{f.topic.workflowID, f.at}, false, aheadWindows*s.feed.cfg.Window.Items, tail)
	}
}

// taken returns the items of the types that the subscription takes.
func (s *Subscription) taken(items []*Item) []*Item {
	if s.types == nil {
		return items
	}
	return slices.Collect(func(yield func(*Item) bool) {
		for _, item := range items {
			if slices.Contains(s.types, item.Type) && !yield(item) {
				return
			}
		}
	})
}
