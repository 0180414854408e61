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

// away returns the error of a request that comes too early, or nil.
func (c unavailableChat) away() error {
	if reason := c.reason(); reason != "" {
		return &rpc.AwayError{Reason: reason}
	}
	return nil
}

// Send implements [rpc.Chat].
func (c unavailableChat) Send(ctx context.Context, workflowID string, m rpc.ChatMessage) (rpc.Sent, error) {
	if err := c.away(); err != nil {
		return rpc.Sent{}, err
	}
	return c.Chat.Send(ctx, workflowID, m)
}

// Stop implements [rpc.Chat].
func (c unavailableChat) Stop(ctx context.Context, workflowID string) error {
	if err := c.away(); err != nil {
		return err
	}
	return c.Chat.Stop(ctx, workflowID)
}

// Approve implements [rpc.Chat].
func (c unavailableChat) Approve(ctx context.Context, workflowID string, a rpc.Approval) error {
	if err := c.away(); err != nil {
		return err
	}
	return c.Chat.Approve(ctx, workflowID, a)
}

// Cancel implements [rpc.Chat].
func (c unavailableChat) Cancel(ctx context.Context, workflowID string) error {
	if err := c.away(); err != nil {
		return err
	}
	return c.Chat.Cancel(ctx, workflowID)
}
