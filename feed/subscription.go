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

// Options says what a subscription follows.
type Options struct {
	From  []Start       // each workflow once; none where they are added later
	Types []string      // only items of these types; nil means all
	Idle  time.Duration // how long Next waits before it returns an empty batch; 0 means 15 s
}

// Batch is what one call of Next delivers.
type Batch struct {
	Items []*Item // of one workflow, in order; shared, not to be changed. Empty after Options.Idle without news.
	// UpToDate says that with these every item has been delivered that was committed when the source was last asked, and
	// that this was after the subscription was made and no longer ago than two sweeps. A batch without it that has nothing
	// else comes after Options.Idle, or says that the source can no longer be reached.
	UpToDate bool
	// Gone are items of the followed workflows that were erased; who has them removes them.
	Gone []Gone
	// Anew are followed workflows whose whole history was erased; what follows is the new one, from its beginning.
	Anew []string
}

// tells reports whether the batch has more to say than whether it is up to date.
func (b *Batch) tells() bool { return len(b.Items)+len(b.Gone)+len(b.Anew) > 0 }

// Subscription is one client's positions in the workflows it follows. It has no queue: between two calls of Next it costs
// its memory and, where it is far behind, the one page that is read ahead. Next, All, Positions and Close belong to one
// goroutine; Add and Drop may be called from any, also during Next.
type Subscription struct {
	feed   *Feed
	types  []string
	ctx    context.Context
	ended  atomic.Bool // ctx has ended: to ask it costs more than the rest of Next, and it is seldom so
	closed atomic.Bool
	ignore func() bool   // stops telling of the end of ctx
	ready  chan struct{} // a topic has news, a page has come, the alarm has rung, ctx has ended or the feed drains
	alarm  alarm

	mu       sync.Mutex // taken before those of the feed, never after
	follows  []*follow  // in the order in which they were added
	turn     int        // the follow that is asked first, so that a busy workflow does not starve the others
	pager    pager
	upToDate bool // the last batch said so; until a topic has news there is nothing to look for
}

// Subscribe begins to follow workflows, whether they exist yet or not, until ctx ends. It reads nothing yet and does not
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
		follow.topic, follow.joined, follow.told = f.join(start.WorkflowID, s)
	}
	f.stats.subscriptions.Add(1)
	s.ignore = context.AfterFunc(ctx, func() {
		s.ended.Store(true)
		signal(s.ready)
	})
	s.alarm.start(cmp.Or(options.Idle, defaultIdle), s.ready)
	return s, nil
}

// Close ends the subscription. It may be called more than once, but not during Next.
func (s *Subscription) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed.Swap(true) {
		return
	}
	s.ignore()
	s.alarm.stop()
	for _, f := range s.follows {
		s.feed.leave(f.topic, s)
	}
	s.feed.stats.subscriptions.Add(-1)
}

// open reports whether anyone still waits for the subscription.
func (s *Subscription) open() bool { return !s.closed.Load() && s.ctx.Err() == nil }

// Next blocks until there are items after the subscription's position and returns them; its position is then after
// them. It returns a batch without items when followers have to be told that items are gone, when the subscription has
// just become up to date or can no longer be said to be, and when nothing has come for Options.Idle. A source that is away
// makes it wait, not fail. The error is [ErrDraining] or that of the context which the subscription was made with.
func (s *Subscription) Next() (Batch, error) {
	s.alarm.set()
	for woken := false; ; woken = true {
		if s.feed.drained() {
			return Batch{}, ErrDraining
		}
		if batch, ok := s.poll(woken); ok {
			return batch, nil
		}
		if s.ended.Load() {
			return Batch{}, fmt.Errorf("follow workflows: %w", context.Cause(s.ctx))
		}
		<-s.ready // one channel, whatever the reason: to select from several costs as much again as to be woken
	}
}

// All returns what Next returns, one after the other, for a range statement. It ends after the first error.
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

// poll looks for what Next has to return, and again where a page has come with nothing in it and another follow needs one.
// A subscription that is up to date has nothing to look for until it is woken.
func (s *Subscription) poll(woken bool) (batch Batch, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.upToDate && !woken {
		return Batch{}, false
	}
	batch, cutOff := s.look()
	for !batch.tells() && s.pager.contended && s.pager.call == nil {
		batch, cutOff = s.look()
	}
	ok = batch.tells() || batch.UpToDate && !s.upToDate || cutOff && s.upToDate || s.alarm.rang.Load()
	if ok {
		s.upToDate = batch.UpToDate
	}
	return batch, ok
}

// look returns what has become of items that the client may have or, where nothing has, the next items of the first
// workflow that has any, and whether nothing is left after them. It never blocks; where only the source can tell, it asks
// for a page. cutOff says that the source has not answered for too long.
func (s *Subscription) look() (batch Batch, cutOff bool) {
	for _, f := range s.follows {
		gone, anew := f.hear()
		batch.Gone = append(batch.Gone, gone...)
		if anew {
			batch.Anew = append(batch.Anew, f.topic.workflowID)
		}
	}
	if batch.tells() {
		return batch, false
	}
	batch.UpToDate = true
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
	}
	return batch, cutOff
}

// advance moves a follow along and returns the items that it has passed, if it takes any of them.
func (s *Subscription) advance(f *follow) []*Item {
	for {
		if s.pager.of == f {
			items, done := s.collect(f)
			if !done || len(items) > 0 {
				return items
			}
		}
		tail, ok := f.place()
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
			items := s.taken(tail.after(f.at))
			if f.at < tail.read {
				f.move(tail.read)
			}
			return items
		}
	}
}

// taken returns the items of the types that the subscription takes; the same slice where it takes all, as almost every
// subscription does.
func (s *Subscription) taken(items []*Item) []*Item {
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
