package program

import (
	"context"
	"encoding/json"

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

// Start implements [rpc.Calls].
func (c unavailableChat) Start(ctx context.Context, workflowID string, call rpc.Call) (string, error) {
	if err := c.away(); err != nil {
		return "", err
	}
	return c.Chat.Start(ctx, workflowID, call)
}

// Signal implements [rpc.Calls].
func (c unavailableChat) Signal(ctx context.Context, workflowID string, call rpc.Call) (string, error) {
	if err := c.away(); err != nil {
		return "", err
	}
	return c.Chat.Signal(ctx, workflowID, call)
}

// Update implements [rpc.Calls].
func (c unavailableChat) Update(ctx context.Context, workflowID string, call rpc.Call) (json.RawMessage, error) {
	if err := c.away(); err != nil {
		return nil, err
	}
	return c.Chat.Update(ctx, workflowID, call)
}

// Query implements [rpc.Calls].
func (c unavailableChat) Query(ctx context.Context, workflowID string, call rpc.Call) (json.RawMessage, error) {
	if err := c.away(); err != nil {
		return nil, err
	}
	return c.Chat.Query(ctx, workflowID, call)
}

// Terminate implements [rpc.Calls].
func (c unavailableChat) Terminate(ctx context.Context, workflowID, reason string) error {
	if err := c.away(); err != nil {
		return err
	}
	return c.Chat.Terminate(ctx, workflowID, reason)
}
