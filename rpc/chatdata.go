package rpc

import (
	"context"
	"slices"
	"time"

	"chatfeed/feed"
)

// chatData is a request for a run of one workflow's items, over whichever protocol it came.
type chatData struct {
	workflowID    string
	after, before *feed.Cursor
	last          int  // above zero: the newest so many
	limit         int  // zero: no limit
	onePage       bool // what the feed puts on one page is enough
	types         []string
	wait          time.Duration
}

// fields are a protocol's names for what can be wrong.
type fields struct{ workflowID, after, last, limit, types, wait string }

// check reports the first field that is wrong, under the protocol's own name for it.
func (q *chatData) check(f fields) error {
	if err := checkWorkflowID(f.workflowID, q.workflowID); err != nil {
		return err
	}
	backwards := q.last > 0 || q.before != nil
	switch {
	case backwards && q.after != nil:
		return invalid(f.after, "reads forwards and cannot stand together with what reads backwards")
	case q.last < 0 || q.last > maxLast:
		return invalid(f.last, "is %d; 1 to %d are accepted", q.last, maxLast)
	case q.limit < 0 || q.limit > maxLimit:
		return invalid(f.limit, "is %d; 1 to %d are accepted", q.limit, maxLimit)
	case q.wait < 0 || q.wait > maxWait:
		return invalid(f.wait, "is %v; 0s to %v are accepted", q.wait, maxWait)
	case backwards && q.wait > 0:
		return invalid(f.wait, "waits for new items and cannot stand together with what reads backwards")
	}
	_, err := checkTypes(f.types, q.types)
	return err
}

// read gives the items page by page, in order, and reports whether nothing follows in the direction of reading.
func (q *chatData) read(ctx context.Context, f *feed.Feed, give func([]*feed.Item) error) (upToDate bool, err error) {
	if q.last > 0 || q.before != nil {
		return q.readBackwards(ctx, f, give)
	}
	read := feed.Read{Position: feed.Position{WorkflowID: q.workflowID}, Types: nonEmpty(q.types)}
	if q.after != nil {
		read.Cursor = *q.after
	}
	wait := q.wait
	for given := 0; ; wait = 0 {
		read.Limit = max(0, q.limit-given)
		page, err := f.Await(ctx, read, wait)
		if err != nil {
			return false, err
		}
		if err := give(page.Items); err != nil {
			return false, err
		}
		given += len(page.Items)
		if !page.More || q.onePage || q.limit > 0 && given >= q.limit {
			return !page.More, nil
		}
		read.Cursor = page.Items[len(page.Items)-1].CreatedAt
	}
}

// readBackwards collects pages from the end: the oldest items come first, and they are read last.
func (q *chatData) readBackwards(ctx context.Context, f *feed.Feed, give func([]*feed.Item) error) (bool, error) {
	read := feed.Read{
		Position:  feed.Position{WorkflowID: q.workflowID, Cursor: feed.End},
		Backwards: true,
		Types:     nonEmpty(q.types),
	}
	if q.before != nil {
		read.Cursor = *q.before
	}
	most := q.last
	if q.limit > 0 && (most == 0 || q.limit < most) {
		most = q.limit
	}
	var pages [][]*feed.Item
	for given := 0; ; {
		read.Limit = max(0, most-given)
		page, err := f.Page(ctx, read)
		if err != nil {
			return false, err
		}
		pages = append(pages, page.Items)
		given += len(page.Items)
		if !page.More || most == 0 || given >= most {
			slices.Reverse(pages)
			return !page.More, give(slices.Concat(pages...))
		}
		read.Cursor = page.Items[0].CreatedAt
	}
}

func nonEmpty(types []string) []string {
	if len(types) == 0 {
		return nil
	}
	return types
}
