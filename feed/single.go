package feed

import (
	"context"
	"fmt"
	"slices"
	"time"
)

const (
	// maxWaiting is how many single reads may wait to begin.
	maxWaiting = 256
	// maxWait is how long one may wait to begin.
	maxWait = 5 * time.Second
)

// Read specifies a page to read.
type Read struct {
	Position
	Backwards bool     // the newest items before the cursor instead of the oldest after it
	Limit     int      // the most items, up to the feed's window; 0 means the window
	Types     []string // only items of these types; nil means all
}

// Page reads one page from the source. The page reflects every item that was committed before the call. Page blocks until
// the read is done or ctx ends. The error is the source's, [ErrBusy] when too many reads are waiting, or [ErrDraining] when
// Run has returned.
func (f *Feed) Page(ctx context.Context, read Read) (Page, error) {
	for tries := 1; ; tries++ {
		topic, drops := f.drops(read.WorkflowID)
		page, err := f.page(ctx, read)
		now, later := f.drops(read.WorkflowID)
		if err != nil || topic == nil || now == topic && later == drops || tries == maxReloads {
			n := len(page.Items)
			page.Final = n > 0 && !read.Backwards && page.Items[n-1].Final
			return page, err
		} // items were erased meanwhile, perhaps some of the page
	}
}

func (f *Feed) page(ctx context.Context, read Read) (Page, error) {
	call := f.singles.request(read.Position, read.Backwards, f.limit(read.Limit), sorted(read.Types), nil)
	if call == nil {
		return Page{}, ErrBusy
	}
	timeout := time.NewTimer(maxWait)
	defer timeout.Stop()
	for {
		select {
		case <-call.done:
			return call.page, call.err
		case <-f.stopped:
			return Page{}, ErrDraining
		case <-ctx.Done():
			call.abandon(true)
			return Page{}, fmt.Errorf("read a page of workflow %q: %w", read.WorkflowID, context.Cause(ctx))
		case <-timeout.C:
			if call.abandon(false) {
				return Page{}, ErrBusy
			}
		}
	}
}

// Await is [Feed.Page] forwards, but if there is no item after the cursor yet, it waits for the first, up to the given time
// after the call. It returns an empty page when none came, when the workflow is closed, or when the feed drains.
func (f *Feed) Await(ctx context.Context, read Read, wait time.Duration) (Page, error) {
	waiting, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	page, err := f.Page(ctx, read)
	if err != nil || len(page.Items) > 0 || waiting.Err() != nil {
		return page, err
	}
	s, err := f.Subscribe(waiting, Options{From: []Start{After(read.WorkflowID, read.Cursor)}, Types: read.Types, Idle: wait})
	if err != nil {
		return Page{}, err
	}
	defer s.Close()
	for {
		batch, err := s.Next()
		switch {
		case len(batch.Items) > 0 || batch.Final:
			items := batch.Items[:min(len(batch.Items), f.limit(read.Limit))]
			more := len(items) < len(batch.Items) || !batch.UpToDate
			return Page{Items: items, More: more, Final: batch.Final && !more}, nil
		case err != nil && ctx.Err() != nil:
			return Page{}, err
		case err != nil: // the time is up, or the feed drains
			return Page{}, nil
		}
	}
}

func (f *Feed) limit(items int) int {
	if items <= 0 {
		return f.window.Items
	}
	return min(items, f.window.Items)
}

// sorted returns the types in order, each once: the same slice if they are, so that many subscriptions share one. Every item is
// compared with it for each subscriber, and what all have stays in the processor's caches.
func sorted(types []string) []string {
	ascending := func(i int) bool { return i == 0 || types[i-1] < types[i] }
	for i := range types {
		if !ascending(i) {
			return slices.Compact(slices.Sorted(slices.Values(types)))
		}
	}
	return types
}
