package rpc

import (
	"context"
	"errors"
	"slices"
	"time"

	"chatfeed/feed"
)

// maxItems is how many items are requested; zero means all.
func (q *request) maxItems() int {
	limit, last := q.limit, q.from[0].last
	switch {
	case limit == nil && last == nil:
		return 0
	case limit == nil || last != nil && *last < *limit:
		return *last
	}
	return *limit
}

// reached is how far a read has come.
type reached struct {
	upToDate bool // no items follow in the request's direction
	final    bool // and none will: the workflow is closed
}

// pages reads pages in the request's direction and passes each to take, until take has enough, the requested number of items
// is reached, or no more items follow.
func (q *request) pages(
	ctx context.Context, f *feed.Feed, take func([]*feed.Item) (enough bool, err error),
) (reached, error) {
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
	count, limit := 0, q.maxItems()
	onePage := limit == 0 && (q.onePage || read.Backwards)
	for {
		read.Limit = max(0, limit-count)
		page, err := q.page(ctx, f, read, count > 0)
		if err != nil {
			return reached{}, err
		}
		count += len(page.Items)
		enough, err := take(page.Items)
		switch {
		case err != nil || enough:
			return reached{}, err
		case !page.More || len(page.Items) == 0 || onePage || limit > 0 && count >= limit:
			return reached{!page.More, !page.More && page.Final}, nil
		case read.Backwards:
			read.Cursor = page.Items[0].CreatedAt
		default:
			read.Cursor = page.Items[len(page.Items)-1].CreatedAt
		}
	}
}

// busyPause is the pause before a partly sent answer retries a busy feed.
const busyPause = time.Second

// page reads one page. The first page fails if the feed is busy. Later pages wait instead, because a failure would discard
// the part of the answer that exists.
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

// read emits the items page by page, oldest first.
func (q *request) read(ctx context.Context, f *feed.Feed, emit func([]*feed.Item) error) (reached, error) {
	if q.backwards() {
		return q.readBackwards(ctx, f, emit)
	}
	return q.pages(ctx, f, func(items []*feed.Item) (bool, error) { return false, emit(items) })
}

// maxHeld bounds the bytes of items that an answer holds in memory, besides one page.
const maxHeld = 1 << 20

// readBackwards reads back to where the items begin and emits them from there. It holds only the last pages that it has
// read; the newer ones are read again, forwards.
func (q *request) readBackwards(ctx context.Context, f *feed.Feed, emit func([]*feed.Item) error) (reached, error) {
	var held [][]*feed.Item // the newest page first
	var newest feed.Cursor
	size := 0
	begin, err := q.pages(ctx, f, func(items []*feed.Item) (bool, error) {
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
		return begin, err
	}
	last := held[0][len(held[0])-1].CreatedAt
	for len(held) > 0 {
		if err := emit(held[len(held)-1]); err != nil {
			return reached{}, err
		}
		held = slices.Delete(held, len(held)-1, len(held))
	}
	if last == newest {
		return begin, nil
	}
	rest := request{from: []start{{workflowID: q.from[0].workflowID, after: &last}}, types: q.types}
	_, err = rest.pages(ctx, f, func(items []*feed.Item) (bool, error) {
		n := len(items)
		for n > 0 && items[n-1].CreatedAt > newest { // committed since
			n--
		}
		return n < len(items) || n > 0 && items[n-1].CreatedAt == newest, emit(items[:n])
	})
	return begin, err
}

func sizeOf(items []*feed.Item) int {
	size := 0
	for _, item := range items {
		size += item.Size()
	}
	return size
}
