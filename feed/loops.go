package feed

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"time"
)

// listen keeps the source listening. Whenever it begins to, a sweep finds what has committed while nobody listened.
func (f *Feed) listen(ctx context.Context) {
	pause := backoff{}
	connected := func() {
		f.log.InfoContext(ctx, "listening")
		f.listening.Store(true)
		signal(f.sweepNow)
	}
	for ctx.Err() == nil {
		err := f.source.Listen(ctx, connected, f.wake)
		if ctx.Err() != nil {
			return
		}
		if f.listening.Swap(false) {
			pause.reset()
		}
		f.log.WarnContext(ctx, "listener lost; items are found by the sweep until it is back", "error", err)
		pause.wait(ctx)
	}
}

// wake notes that a workflow may have items up to head. It only records, and costs nothing where nobody follows the
// workflow or its topic has them.
func (f *Feed) wake(workflowID string, head Cursor) {
	f.stats.wakes.Add(1)
	f.mu.Lock()
	t, ok := f.topics[workflowID]
	f.mu.Unlock()
	if ok && t.want(head) {
		f.enqueue(t)
	}
}

func (f *Feed) enqueue(t *topic) {
	f.mu.Lock()
	if !t.queued {
		t.queued = true
		f.dirty = append(f.dirty, t)
	}
	f.mu.Unlock()
	signal(f.work)
}

func (f *Feed) takeDirty(limit int) []*topic {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := min(limit, len(f.dirty))
	taken := f.dirty[:n:n]
	f.dirty = f.dirty[n:]
	for _, t := range taken {
		t.queued = false
	}
	return taken
}

// anyFresh reports whether any of the next topics is to be loaded.
func (f *Feed) anyFresh(limit int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.ContainsFunc(f.dirty[:min(limit, len(f.dirty))], func(t *topic) bool { return !t.tail.Load().loaded })
}

// fetch reads up to limit dirty topics and brings them up to what they want.
func (f *Feed) fetch(ctx context.Context, limit int) (n int, err error) {
	if f.anyFresh(limit) {
		runtime.Gosched() // those who come together are served together
	}
	topics := f.takeDirty(limit)
	var fresh, behind batch
	for _, t := range topics {
		loaded, stale, read, proven := t.begin()
		switch {
		case !loaded:
			fresh.add(t, End, proven)
		case stale:
			behind.add(t, read, proven)
		}
	}
	first := f.cfg.Window
	first.Items = min(first.Items, firstLoad)
	return len(topics), errors.Join(
		f.readTopics(ctx, fresh, first, f.source.Before, (*topic).load),
		f.readTopics(ctx, behind, f.cfg.Window, f.source.After, (*topic).grow))
}

// batch is what one query reads.
type batch struct {
	topics []*topic
	at     []Position
	proven []Cursor // as of before the query
}

func (b *batch) add(t *topic, at, proven Cursor) {
	b.topics = append(b.topics, t)
	b.at = append(b.at, Position{t.workflowID, at})
	b.proven = append(b.proven, proven)
}

// readTopics reads a batch and gives each topic its page. What failed, and what has more to read, is dirty again.
func (f *Feed) readTopics(
	ctx context.Context, b batch, window Window,
	read func(context.Context, []Position, Window) ([]Page, error),
	give func(*topic, Page, Cursor, Window) (behind bool),
) error {
	if len(b.topics) == 0 {
		return nil
	}
	f.stats.topicReads.Add(1)
	pages, err := read(ctx, b.at, window)
	for i, t := range b.topics {
		if err != nil {
			t.failed()
		}
		if err != nil || give(t, pages[i], b.proven[i], f.cfg.Window) {
			f.enqueue(t)
		}
	}
	return err
}

// sweep compares heads at intervals and whenever the listener is back, until ctx ends.
func (f *Feed) sweep(ctx context.Context) {
	next := time.NewTimer(f.cfg.Sweep)
	defer next.Stop()
	pause := backoff{}
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
		for f.sweepOnce(ctx, expected) != nil && ctx.Err() == nil {
			pause.wait(ctx)
			expected = true
		}
		pause.reset()
		next.Reset(f.cfg.Sweep)
	}
}

func (f *Feed) sweepOnce(ctx context.Context, expected bool) error {
	topics := f.lingering(time.Now())
	if len(topics) == 0 {
		return nil
	}
	ids := make([]string, len(topics))
	for i, t := range topics {
		ids[i] = t.workflowID
	}
	f.stats.sweeps.Add(1)
	heads, err := f.source.Heads(ctx, ids)
	if err != nil {
		if ctx.Err() == nil {
			f.log.WarnContext(ctx, "comparing heads failed; trying again", "topics", len(topics), "error", err)
		}
		return err
	}
	expected = expected || !f.listening.Load() // it may have been lost meanwhile
	var lost int
	for _, t := range topics {
		head, exists := heads[t.workflowID]
		behind, missed := t.sweep(head.At, exists, expected)
		if behind {
			f.enqueue(t)
		}
		if missed {
			lost++
		}
	}
	if lost > 0 {
		f.stats.lost.Add(uint64(lost))
		f.log.WarnContext(ctx, "notifications were lost; the sweep has found their items", "workflows", lost)
	}
	return nil
}

// lingering drops the topics that nobody has followed for long enough and returns all others.
func (f *Feed) lingering(now time.Time) []*topic {
	f.mu.Lock()
	defer f.mu.Unlock()
	kept := make([]*topic, 0, len(f.topics))
	for id, t := range f.topics {
		if !t.idleSince.IsZero() && now.Sub(t.idleSince) >= f.cfg.Linger {
			delete(f.topics, id)
			continue
		}
		kept = append(kept, t)
	}
	return kept
}

// signal makes sure that whoever receives from a channel of capacity one does so once more.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
