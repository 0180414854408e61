package rpc

import (
	"context"
	"time"

	"chatfeed/feed"
)

// clockSkew is how far the database's clock may be ahead of ours.
const clockSkew = time.Minute

// neverGiven returns the first of the starts whose cursor is of no item that a client can have been given, or -1: it is
// ahead of the clock and later than the workflow's newest item. The clock alone does not say so, as items keep their order,
// and their stamps, when it is set back. Where the newest items cannot be read soon, nobody knows.
func (s *feedService) neverGiven(ctx context.Context, from []start) int {
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

// refuseAhead is the error of a cursor that was never given, or nil.
func (s *feedService) refuseAhead(ctx context.Context, q request, f form) error {
	i := s.neverGiven(ctx, q.from)
	if i < 0 {
		return nil
	}
	at := time.UnixMicro(int64(q.from[i].cursor())).UTC().Format(time.RFC3339Nano)
	return invalid(f.at(f.after, i), "%s is ahead of the server's clock and later than the workflow's newest item; the created_at "+
		"of an item that was delivered is accepted", at)
}
