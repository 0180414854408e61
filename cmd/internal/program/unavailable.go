package program

import (
	"context"

	"chatfeed/rpc"
)

// unavailableChat wraps an [rpc.Chat] and refuses requests while that is being waited for.
type unavailableChat struct {
	rpc.Chat
	reason func() string
}

// Send implements [rpc.Chat].
func (c unavailableChat) Send(ctx context.Context, workflowID string, m rpc.ChatMessage) (rpc.Sent, error) {
	if reason := c.reason(); reason != "" {
		return rpc.Sent{}, &rpc.AwayError{Reason: reason}
	}
	return c.Chat.Send(ctx, workflowID, m)
}

// Stop implements [rpc.Chat].
func (c unavailableChat) Stop(ctx context.Context, workflowID string) error {
	if reason := c.reason(); reason != "" {
		return &rpc.AwayError{Reason: reason}
	}
	return c.Chat.Stop(ctx, workflowID)
}

// Approve implements [rpc.Chat].
func (c unavailableChat) Approve(ctx context.Context, workflowID string, a rpc.Approval) error {
	if reason := c.reason(); reason != "" {
		return &rpc.AwayError{Reason: reason}
	}
	return c.Chat.Approve(ctx, workflowID, a)
}

// Cancel implements [rpc.Chat].
func (c unavailableChat) Cancel(ctx context.Context, workflowID string) error {
	if reason := c.reason(); reason != "" {
		return &rpc.AwayError{Reason: reason}
	}
	return c.Chat.Cancel(ctx, workflowID)
}
