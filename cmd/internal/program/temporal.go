package program

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"chatfeed/rpc"
)

// temporalChat is the [rpc.Chat] on Temporal.
type temporalChat struct {
	client    client.Client
	workflow  string
	taskQueue string
	signal    string
}

// message is what the signal carries.
type message struct {
	ID   string `json:"id"`
	Text string `json:"text"`
}

// Send implements [rpc.Chat] by signal-with-start.
func (c *temporalChat) Send(ctx context.Context, workflowID string, m rpc.ChatMessage) (rpc.Sent, error) {
	if m.ID == "" {
		m.ID = "msg_" + rand.Text()
	}
	run, err := c.client.SignalWithStartWorkflow(ctx, workflowID, c.signal, message(m),
		client.StartWorkflowOptions{TaskQueue: c.taskQueue}, c.workflow)
	var refused *serviceerror.InvalidArgument
	switch {
	case errors.As(err, &refused):
		return rpc.Sent{}, fmt.Errorf("send a message to workflow %q: %w: %w", workflowID, rpc.ErrRefused, err)
	case err != nil:
		return rpc.Sent{}, fmt.Errorf("send a message to workflow %q: %w", workflowID, err)
	}
	return rpc.Sent{ID: m.ID, RunID: run.GetRunID()}, nil
}

// Cancel implements [rpc.Chat]. Temporal takes the cancellation of a workflow that has ended without a word, so it is
// asked first.
func (c *temporalChat) Cancel(ctx context.Context, workflowID string) error {
	found, err := c.client.DescribeWorkflowExecution(ctx, workflowID, "")
	if err == nil && found.GetWorkflowExecutionInfo().GetStatus() != enums.WORKFLOW_EXECUTION_STATUS_RUNNING {
		err = serviceerror.NewNotFound("the workflow has ended")
	}
	if err == nil {
		err = c.client.CancelWorkflow(ctx, workflowID, "")
	}
	var absent *serviceerror.NotFound
	switch {
	case errors.As(err, &absent):
		return fmt.Errorf("cancel workflow %q: %w", workflowID, rpc.ErrWorkflowNotFound)
	case err != nil:
		return fmt.Errorf("cancel workflow %q: %w", workflowID, err)
	}
	return nil
}
