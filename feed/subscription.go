package feed

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Options configures a subscription.
type Options struct {
	From  []Start       // each workflow at most once; may be empty if they are added later
	Types []string      // only items of these types, not to be changed from then on; nil means all
	Idle  time.Duration // how long Next waits before it returns an empty batch; 0 means 15 s
}

// Batch is what one call of Next delivers.
type Batch struct {
	Items []*Item // of one workflow, in order; shared and immutable. Empty after Options.Idle without news.
	// UpToDate says that with this batch every item has been delivered that was committed when the source was last asked,
	// which was after the subscription was made and at most two sweeps ago. An empty batch without UpToDate is returned
	// after Options.Idle, or when the source can no longer be reached.
	UpToDate bool
	// Final says that, besides, every followed workflow is closed: no item will follow, unless some are erased.
	Final bool
	// Gone lists erased items of the followed workflows; a client that has them should remove them.
	Gone []Gone
	// Anew lists followed workflows whose whole history was erased; the items that follow are the new history, from its
	// beginning.
	Anew []string
}

// hasNews reports whether the batch has anything besides UpToDate.
func (b *Batch) hasNews() bool { return len(b.Items)+len(b.Gone)+len(b.Anew) > 0 }

// Subscription is one client's positions in the workflows it follows. It has no queue: between two calls of Next it costs
// its memory and, if it is far behind, one page that is read ahead. Next, All, Positions and Close belong to one
// goroutine; Add and Drop may be called from any goroutine, also during Next.
type Subscription struct {
	feed        *Feed
	types       []string
	ctx         context.Context
	ended       atomic.Bool // ctx has ended; cheaper than asking ctx, which would cost more than the rest of Next
	closed      atomic.Bool
	interrupted atomic.Bool   // Next has to return
	stopContext func() bool   // releases the function that runs when ctx ends
	stopDrain   func() bool   // the same for a drain; nil while a topic wakes the subscription then
	ready       chan struct{} // a topic has news, a page has arrived, the idle time is over, ctx has ended or the feed drains
	idle        idleTimer

	mu       sync.Mutex // locked before the feed's mutexes, never after
	follows  []*follow  // in the order in which they were added
	turn     int        // the follow that is polled first, so that a busy workflow does not starve the others
	pager    pager
	upToDate bool // the last batch was; until a topic has news there is nothing to poll for
	final    bool // the last batch was
}

// Subscribe starts following workflows, whether they exist yet or not, until ctx ends. It reads nothing itself and does not
// block. The caller must Close the subscription.
func (f *Feed) Subscribe(ctx context.Context, options Options) (*Subscription, error) {
	if options.Idle < 0 {
		return nil, fmt.Errorf("feed: Options.Idle is %v; it must be positive", options.Idle)
	}
	s := &Subscription{
		feed:    f,
		types:   sorted(options.Types),
		follows: make([]*follow, len(options.From)),
		ctx:     ctx,
		ready:   make(chan struct{}, 1),
	}
	seen := make(map[string]bool, len(options.From))
	for i, start := range options.From {
		if seen[start.WorkflowID] {
			return nil, fmt.Errorf("feed: Options.From lists workflow %q twice; each may be listed once", start.WorkflowID)
		}
		seen[start.WorkflowID] = true
		s.follows[i] = start.follow()
	}
	for i, start := range options.From {
		follow := s.follows[i]
		follow.topic, follow.joined, follow.newsSeen = f.join(start.WorkflowID, s)
	}
	f.stats.subscriptions.Add(1)
	s.stopContext = context.AfterFunc(ctx, func() {
		s.ended.Store(true)
		signal(s.ready)
	})
	s.awaitDrain()
	s.idle.start(cmp.Or(options.Idle, defaultIdle), s.ready)
	return s, nil
}

// Close ends the subscription. It may be called more than once, but not during Next.
func (s *Subscription) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed.Swap(true) {
		return
	}
	s.stopContext()
	if s.stopDrain != nil {
		s.stopDrain()
	}
	s.idle.stop()
	for _, f := range s.follows {
		s.feed.leave(f.topic, s)
	}
	s.feed.stats.subscriptions.Add(-1)
}

// awaitDrain makes a drain wake a subscription that follows nothing, and so has no topic that does.
func (s *Subscription) awaitDrain() {
	if len(s.follows) == 0 && s.stopDrain == nil {
		s.stopDrain = context.AfterFunc(s.feed.draining, func() { signal(s.ready) })
	}
}

// open reports whether the subscription is still in use.
func (s *Subscription) open() bool { return !s.closed.Load() && s.ctx.Err() == nil }

// Next blocks until there are items after the subscription's position, returns them, and moves the position past them. It
// returns a batch without items when items were erased, when the subscription has become up to date or no longer is, and
// when nothing has come for Options.Idle. If the source is unavailable, Next waits; it does not fail. The error is
// [ErrDraining] or that of the context given to Subscribe.
func (s *Subscription) Next() (Batch, error) {
	s.idle.restart()
	for woken := false; ; woken = true {
		if s.feed.drained() {
			return Batch{}, ErrDraining
		}
		if s.ended.Load() {
			return Batch{}, fmt.Errorf("follow workflows: %w", context.Cause(s.ctx))
		}
		if batch, ok := s.poll(woken); ok {
			return batch, nil
		}
		<-s.ready // one channel for all reasons: selecting from several doubles the cost of a wake-up
	}
}

// Interrupt makes the present call of Next, or the next one, return at once, if need be with an empty batch. It may be called from
// any goroutine.
func (s *Subscription) Interrupt() {
	s.interrupted.Store(true)
	signal(s.ready)
}

// All returns an iterator over the results of Next. It ends after the first error.
func (s *Subscription) All() iter.Seq2[Batch, error] {
	return func(yield func(Batch, error) bool) {
		for {
			batch, err := s.Next()
			if !yield(batch, err) || err != nil {
				return
			}
		}
	}
}

// poll looks for a batch for Next to return. It looks again if a page was empty and another follow needs one. A subscription
// that is up to date need not look until it is woken.
func (s *Subscription) poll(woken bool) (batch Batch, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.upToDate && !woken {
		return Batch{}, false
	}
	batch, cutOff := s.look()
	for !batch.hasNews() && s.pager.contended && s.pager.call == nil {
		batch, cutOff = s.look()
	}
	ok = batch.hasNews() || batch.UpToDate && !s.upToDate || batch.Final && !s.final || cutOff && s.upToDate || s.idle.expired.Load()
	if s.interrupted.Load() {
		s.interrupted.Store(false)
		ok = true
	}
	if ok {
		s.upToDate, s.final = batch.UpToDate, batch.Final
	}
	return batch, ok
}

// look returns the news of items that the client may have or, if there is none, the next items of the first workflow that
// has any, and whether nothing is left after them. It never blocks: if the items are not in memory, it requests a page.
// cutOff says that the source has not answered for too long.
func (s *Subscription) look() (batch Batch, cutOff bool) {
	for _, f := range s.follows {
		gone, anew := f.readNews()
		batch.Gone = append(batch.Gone, gone...)
		if anew {
			batch.Anew = append(batch.Anew, f.topic.workflowID)
		}
	}
	if batch.hasNews() {
		return batch, false
	}
	batch.UpToDate = true
	batch.Final = len(s.follows) > 0
	s.pager.begin()
	first := s.turn
	for i := range s.follows {
		turn := (first + i) % len(s.follows)
		f := s.follows[turn]
		if len(batch.Items) == 0 {
			batch.Items = s.advance(f)
			s.turn = turn + 1
		}
		lost := f.topic.contact.lost.Load()
		cutOff = cutOff || lost
		batch.UpToDate = batch.UpToDate && !lost && f.reached()
		batch.Final = batch.Final && batch.UpToDate && f.topic.tail.Load().final()
	}
	return batch, cutOff
}

// advance moves a follow forward and returns the items of the subscription's types that it has passed.
func (s *Subscription) advance(f *follow) []*Item {
	for {
		if s.pager.of == f {
			items, done := s.collect(f)
			if !done || len(items) > 0 {
				return items
			}
		}
		tail, ok := f.currentTail()
		switch {
		case !ok:
			return nil
		case f.last >= 0:
			if !s.findStart(f, tail) {
				return nil
			}
		case f.at < tail.floor:
			s.request(f, tail, Position{f.topic.workflowID, f.at}, false, s.feed.window.Items)
			return nil
		default:
			items := s.filter(tail.after(f.at))
			if f.at < tail.read {
				f.move(tail.read)
			}
			return items
		}
	}
}

// filter returns the items of the subscription's types. It returns the same slice if that is all of them, the usual case.
func (s *Subscription) filter(items []*Item) []*Item {
	other := func(item *Item) bool { return !slices.Contains(s.types, item.Type) }
	if s.types == nil || !slices.ContainsFunc(items, other) {
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
