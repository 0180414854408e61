package feed

import (
	"context"
	"time"
)

// listen keeps the waker listening. Each time it connects, a sweep finds what was committed in between.
func (f *Feed) listen(ctx context.Context) {
	failures := 0
	connected := func() {
		f.log.InfoContext(ctx, "listening")
		f.listening.Store(true)
		signal(f.sweepNow)
	}
	for ctx.Err() == nil {
		err := f.waker.Listen(ctx, connected, f.wake)
		if ctx.Err() != nil {
			return
		}
		failures++
		if f.listening.Swap(false) {
			failures = 1
		}
		f.log.WarnContext(ctx, "listener lost; items are found by the sweep until it is back", "error", err)
		wait(ctx, pause(failures))
	}
}

// wake records that a workflow may have items up to head or, if head is zero, that items of it were erased. It does not
// block, and costs nothing if nobody follows the workflow or its topic has the items.
func (f *Feed) wake(workflowID string, head Cursor) {
	f.stats.wakes.Add(1)
	t := f.find(workflowID)
	switch {
	case t == nil:
	case head == 0:
		followed, compare := t.noteErasure()
		if (followed || !f.drop(t)) && compare {
			f.compares.put(t)
		}
	case t.noteWake(head):
		f.enqueue(t)
	}
}

// enqueue queues a read of a topic if anyone follows it. Otherwise it is read when a subscription joins.
func (f *Feed) enqueue(t *topic) {
	switch {
	case !t.wanted():
	case t.tail.Load().loaded:
		f.grows.put(t)
	default:
		f.loads.put(t)
	}
}

// sweep compares heads at intervals and whenever the listener is back, until ctx ends.
func (f *Feed) sweep(ctx context.Context) {
	next := time.NewTimer(f.cfg.Sweep)
	defer next.Stop()
	for {
		expected := false
		select {
		case <-ctx.Done():
			return
		case <-f.sweepNow:
			expected = true
		case <-next.C:
			expected = !f.listening.Load()
		}
		began := time.Now()
		f.sweepAll(ctx, expected)
		f.forget(began)
		next.Reset(max(0, f.cfg.Sweep-time.Since(began)))
	}
}

// sweepAll compares all topics. If a comparison fails, its topics are left to the lane for comparisons, which finds out
// which of them can be compared; the others do not wait for them.
func (f *Feed) sweepAll(ctx context.Context, expected bool) {
	topics := f.dropExpired(time.Now())
	together := topics[:0:0]
	for _, t := range topics {
		if f.compares.isTroubled(t.workflowID) {
			f.compares.put(t)
		} else {
			together = append(together, t)
		}
	}
	lost := 0
	for len(together) > 0 && ctx.Err() == nil {
		n := min(headsSize, len(together))
		lost += f.sweepSome(ctx, together[:n], expected)
		together = together[n:]
	}
	if lost > 0 {
		f.stats.lost.Add(uint64(lost))
		f.log.WarnContext(ctx, "notifications were lost; the sweep has found their items", "workflows", lost)
	}
}

func (f *Feed) sweepSome(ctx context.Context, topics []*topic, expected bool) (lost int) {
	snapshots := f.snapshots(topics)
	heads, err := f.heads(ctx, topics)
	if err != nil {
		if ctx.Err() == nil {
			f.log.WarnContext(ctx, "comparing heads failed; retrying", "topics", len(topics), "error", err)
		}
		for _, t := range topics {
			if t.wanted() {
				f.compares.put(t)
			}
		}
		return 0
	}
	expected = expected || !f.listening.Load() // the listener may have been lost meanwhile
	for i, t := range topics {
		head, exists := heads[t.workflowID]
		followed := t.wanted()
		v := t.sweep(snapshots[i], head, exists, expected || !followed, f.clock())
		if !v.load || followed || !f.drop(t) {
			f.apply(t, v)
		}
		if v.lost {
			lost++
		}
	}
	return lost
}

// apply queues the read that a comparison has found necessary.
func (f *Feed) apply(t *topic, v comparison) {
	if v.load || v.grow {
		f.enqueue(t)
	}
}

// watch marks topics for which the source has not answered for two sweeps: their subscriptions are no longer up to date.
func (f *Feed) watch(ctx context.Context) {
	tick := time.NewTicker(max(1, f.cfg.Sweep/2))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		since := f.clock() - 2*f.cfg.Sweep
		for _, t := range f.followed() {
			t.checkContact(since)
		}
	}
}

// signal wakes the receiver of a channel of capacity one. It does not block.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
