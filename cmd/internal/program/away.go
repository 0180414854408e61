package program

import (
	"context"

	"chatfeed/rpc"
)

// awayChat answers in place of another [rpc.Chat] while that is being waited for.
type awayChat struct {
	rpc.Chat
	away func() string
}

// Send implements [rpc.Chat].
func (c awayChat) Send(ctx context.Context, workflowID string, m rpc.ChatMessage) (rpc.Sent, error) {
	if reason := c.away(); reason != "" {
		return rpc.Sent{}, &rpc.AwayError{Reason: reason}
	}
	return c.Chat.Send(ctx, workflowID, m)
}

// Cancel implements [rpc.Chat].
func (c awayChat) Cancel(ctx context.Context, workflowID string) error {
	if reason := c.away(); reason != "" {
		return &rpc.AwayError{Reason: reason}
	}
	return c.Chat.Cancel(ctx, workflowID)
}
