package rpc

import (
	"context"
	"time"

	"chatfeed/feed"
)

// clockSkew is how far the database's clock may be ahead of the server's.
const clockSkew = time.Minute

// findFutureCursor returns the index of the first start whose cursor cannot be that of a delivered item, or -1: it is ahead
// of the clock and later than the workflow's newest item. The clock alone is not enough: when it is set back, items keep
// their stamps. If the newest items cannot be read soon, it returns -1.
func (s *feedService) findFutureCursor(ctx context.Context, from []start) int {
	latest := feed.Cursor(time.Now().Add(clockSkew).UnixMicro())
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	for i := range from {
		at := from[i].cursor()
		if at <= latest {
			continue
		}
		newest, err := s.Feed.Page(ctx, feed.Read{
			Position: feed.Position{WorkflowID: from[i].workflowID, Cursor: feed.End}, Backwards: true, Limit: 1,
		})
		switch {
		case err != nil:
			return -1
		case len(newest.Items) == 0 || newest.Items[len(newest.Items)-1].CreatedAt < at:
			return i
		}
	}
	return -1
}

// refuseFutureCursors returns the error for a cursor of no delivered item, or nil.
func (s *feedService) refuseFutureCursors(ctx context.Context, q request, f form) error {
	i := s.findFutureCursor(ctx, q.from)
	if i < 0 {
		return nil
	}
	at := time.UnixMicro(int64(q.from[i].cursor())).UTC().Format(time.RFC3339Nano)
	return invalid(f.at(f.after, i), "%s is ahead of the server's clock and later than the workflow's newest item; the created_at "+
		"of an item that was delivered is accepted", at)
}
