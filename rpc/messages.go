package rpc

import (
	"context"
	"errors"

	"chatfeed/feed"
	v1 "chatfeed/rpc/chatfeedv1"
)

// Messages counts messages.
type Messages interface {
	// MessagesAfter returns how many messages there are after each position, in their order, at most the given number for each. The
	// error is [feed.ErrBusy] if too many callers wait.
	MessagesAfter(ctx context.Context, at []feed.Position, most int) ([]int, error)
}

const (
	maxCounted  = 100 // messages of a workflow
	maxCounting = 100 // workflows of a request
)

// errNoMessages refuses to count messages where nothing counts them.
var errNoMessages = errors.New("the server does not count messages")

// CountMessages implements the RPC of that name.
func (s *feedService) CountMessages(ctx context.Context, request *v1.CountMessagesRequest) (*v1.CountMessagesResponse, error) {
	at, err := countRequest(request)
	if err == nil && s.Messages == nil {
		err = errNoMessages
	}
	if err != nil {
		return nil, public(ctx, s.Log, err)
	}
	viewer := s.viewer(ctx)
	for i := range at {
		at[i].WorkflowID = hide(viewer, at[i].WorkflowID)
	}
	counts, err := s.Messages.MessagesAfter(ctx, at, maxCounted)
	if err != nil {
		return nil, public(ctx, s.Log, err)
	}
	response := &v1.CountMessagesResponse{Messages: make([]int32, len(counts))}
	for i, n := range counts {
		response.Messages[i] = int32(min(n, maxCounted)) //nolint:gosec // bounded
	}
	return response, nil
}

// countRequest checks a request and returns where to count from.
func countRequest(message *v1.CountMessagesRequest) ([]feed.Position, error) {
	if n := len(message.GetCursors()); n > maxCounting {
		return nil, invalid("cursors", "has %d entries; 1 to %d are accepted", n, maxCounting)
	}
	q, err := subscribeRequest(&v1.SubscribeRequest{Cursors: message.GetCursors()})
	if err != nil {
		return nil, err
	}
	at := make([]feed.Position, len(q.from))
	for i, s := range q.from {
		if s.last != nil {
			return nil, invalid(subscribeForm.at(subscribeForm.last, i), "is given; only after or nothing is accepted")
		}
		at[i] = feed.Position{WorkflowID: s.workflowID, Cursor: s.cursor()}
	}
	return at, nil
}
