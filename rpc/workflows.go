package rpc

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"chatfeed/feed"
	v1 "chatfeed/rpc/chatfeedv1"
)

// maxListed is the most workflows on a page.
const maxListed = 1000

// ListWorkflows implements the RPC of that name.
func (s *feedService) ListWorkflows(ctx context.Context, request *v1.ListWorkflowsRequest) (*v1.ListWorkflowsResponse, error) {
	size, err := pageSize(request.GetPageSize())
	if err != nil {
		return nil, public(ctx, s.Log, err)
	}
	after, err := parseToken(request.GetPageToken())
	if err != nil {
		return nil, public(ctx, s.Log, err)
	}
	workflows, next, err := s.readable(ctx, after, size)
	if err != nil {
		return nil, public(ctx, s.Log, err)
	}
	return &v1.ListWorkflowsResponse{Workflows: workflowMessages(workflows), NextPageToken: next}, nil
}

// maxScanned is roughly how many workflows are read for one page.
const maxScanned = 10_000

// readable returns the next workflows that the viewer may read and, unless it is the last page, the token of the next. After
// maxScanned workflows it returns the page as it is.
func (s *feedService) readable(ctx context.Context, after feed.Workflow, size int) (list []feed.Workflow, next string, err error) {
	viewer, first := s.viewer(ctx), after
	limit := size + 1
	for scanned := 0; ; scanned += limit {
		if scanned > 0 {
			limit = maxListed
		}
		found, err := s.Workflows.Workflows(ctx, after, limit)
		if err != nil {
			return nil, "", err
		}
		for _, w := range found {
			after = w
			if viewer.CanRead(w.ID) {
				list = append(list, w)
			}
			if len(list) > size {
				return list[:size], formatToken(list[size-1]), nil
			}
		}
		if len(found) < limit {
			return list, "", nil
		}
		// The token must not reveal a workflow that the viewer may not read, so the next page begins at a time. All readable
		// workflows of that time are on it; they are removed from this page.
		begin := feed.Workflow{Active: after.Active + 1}
		if scanned+limit >= maxScanned && begin != first {
			list = slices.DeleteFunc(list, func(w feed.Workflow) bool { return w.Active < begin.Active })
			return list, formatToken(begin), nil
		}
	}
}

// A page token is the time of activity in microseconds and the id of the page's last workflow, or no id if the next page
// begins before a time.
func formatToken(w feed.Workflow) string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d %s", w.Active, w.ID))
}

func parseToken(token string) (feed.Workflow, error) {
	if token == "" {
		return feed.Workflow{}, nil
	}
	text, err := base64.RawURLEncoding.DecodeString(token)
	active, id, ok := strings.Cut(string(text), " ")
	micros, numberErr := strconv.ParseInt(active, 10, 64)
	if err != nil || numberErr != nil || !ok || micros <= 0 || id != "" && checkWorkflowID("", id) != nil {
		return feed.Workflow{}, invalid("page_token", "is not a valid token; the next_page_token of an earlier page or nothing is accepted")
	}
	return feed.Workflow{ID: id, Active: feed.Cursor(micros)}, nil
}
