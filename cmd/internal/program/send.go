package program

import (
	"context"
	"fmt"
	"io"
	"os"

	v1 "chatfeed/rpc/chatfeedv1"
	"chatfeed/rpc/chatfeedv1/chatfeedv1connect"
)

// Send is the command that sends a message to a workflow.
type Send struct {
	Client
	Workflow string `arg:"" help:"Id of the workflow."`
	Text     string `arg:"" help:"The message; - reads it from standard input."`
	ID       string `help:"The message's id: a message that is sent twice with the same id is handled once." placeholder:"ID"`
}

// Run prints the message's id when Temporal has accepted it.
func (c *Send) Run(ctx context.Context) error {
	if err := c.check(); err != nil {
		return err
	}
	text := c.Text
	if text == "-" {
		all, err := io.ReadAll(io.LimitReader(os.Stdin, 2<<20))
		if err != nil {
			return fmt.Errorf("read the message from standard input: %w", err)
		}
		text = string(all)
	}
	chat := chatfeedv1connect.NewChatServiceClient(c.http(), c.Server)
	sent, err := chat.SendMessage(ctx, &v1.SendMessageRequest{WorkflowId: c.Workflow, Text: text, Id: c.ID})
	if err != nil {
		return c.explain(err)
	}
	_, _ = fmt.Fprintln(os.Stdout, sent.GetId())
	return nil
}
