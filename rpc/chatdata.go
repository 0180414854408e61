package rpc

import (
	"context"
	"errors"
	"slices"
	"time"

	"chatfeed/feed"
)

// most is how many items are asked for; zero is all there are.
func (q *request) most() int {
	limit, last := q.limit, q.from[0].last
	switch {
	case limit == nil && last == nil:
		return 0
	case limit == nil || last != nil && *last < *limit:
		return *last
	}
	return *limit
}

// pages reads pages in the direction of reading and hands each on, until take has enough, there are as many items as are
// asked for, or nothing follows. It reports whether nothing follows.
func (q *request) pages(
	ctx context.Context, f *feed.Feed, take func([]*feed.Item) (enough bool, err error),
) (upToDate bool, err error) {
	read := feed.Read{
		Position:  feed.Position{WorkflowID: q.from[0].workflowID, Cursor: q.from[0].cursor()},
		Backwards: q.backwards(),
		Types:     q.types,
	}
	switch {
	case q.before != nil:
		read.Cursor = *q.before
	case read.Backwards:
		read.Cursor = feed.End
	}
	given, most := 0, q.most()
	onePage := most == 0 && (q.onePage || read.Backwards)
	for {
		read.Limit = max(0, most-given)
		page, err := q.page(ctx, f, read, given > 0)
		if err != nil {
			return false, err
		}
		given += len(page.Items)
		enough, err := take(page.Items)
		switch {
		case err != nil || enough:
			return false, err
		case !page.More || len(page.Items) == 0 || onePage || most > 0 && given >= most:
			return !page.More, nil
		case read.Backwards:
			read.Cursor = page.Items[0].CreatedAt
		default:
			read.Cursor = page.Items[len(page.Items)-1].CreatedAt
		}
	}
}

// busyPause is how long a half given answer waits before it asks a busy feed again.
const busyPause = time.Second

// page reads one page. The first may be refused because the feed is busy. For the others there is half an answer, which a
// refusal would throw away, so they wait.
func (q *request) page(ctx context.Context, f *feed.Feed, read feed.Read, begun bool) (feed.Page, error) {
	if !begun && !read.Backwards {
		return f.Await(ctx, read, q.wait)
	}
	for {
		page, err := f.Page(ctx, read)
		if !begun || !errors.Is(err, feed.ErrBusy) {
			return page, err
		}
		pause := time.NewTimer(busyPause)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return page, err
		}
	}
}

// read gives the items page by page, the oldest first, and reports whether nothing follows in the direction of reading.
func (q *request) read(ctx context.Context, f *feed.Feed, give func([]*feed.Item) error) (upToDate bool, err error) {
	if q.backwards() {
		return q.readBackwards(ctx, f, give)
	}
	return q.pages(ctx, f, func(items []*feed.Item) (bool, error) { return false, give(items) })
}

// maxHeld bounds, in bytes of bodies, what an answer has in memory at once besides one page.
const maxHeld = 1 << 20

// readBackwards goes back to where the items begin and gives them from there. On its way it holds no more than the pages
// that it has read last; what came before those is read again, forwards.
func (q *request) readBackwards(ctx context.Context, f *feed.Feed, give func([]*feed.Item) error) (bool, error) {
	var held [][]*feed.Item // the newest page first
	var newest feed.Cursor
	size := 0
	upToDate, err := q.pages(ctx, f, func(items []*feed.Item) (bool, error) {
		if len(items) == 0 {
			return false, nil
		}
		newest = max(newest, items[len(items)-1].CreatedAt)
		held = append(held, items)
		for size += sizeOf(items); size > maxHeld && len(held) > 1; held = slices.Delete(held, 0, 1) {
			size -= sizeOf(held[0])
		}
		return false, nil
	})
	if err != nil || len(held) == 0 {
		return upToDate, err
	}
	last := held[0][len(held[0])-1].CreatedAt
	for len(held) > 0 {
		if err := give(held[len(held)-1]); err != nil {
			return false, err
		}
		held = slices.Delete(held, len(held)-1, len(held))
	}
	if last == newest {
		return upToDate, nil
	}
	rest := request{from: []start{{workflowID: q.from[0].workflowID, after: &last}}, types: q.types}
	_, err = rest.pages(ctx, f, func(items []*feed.Item) (bool, error) {
		n := len(items)
		for n > 0 && items[n-1].CreatedAt > newest { // it has come since
			n--
		}
		return n < len(items) || n > 0 && items[n-1].CreatedAt == newest, give(items[:n])
	})
	return upToDate, err
}

func sizeOf(items []*feed.Item) int {
	size := 0
	for _, item := range items {
		size += item.Size()
	}
	return size
}
