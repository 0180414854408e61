package program

import (
	"context"
	"fmt"
	"os"
	"slices"

	"chatfeed/db"
	v1 "chatfeed/rpc/chatfeedv1"
	"chatfeed/rpc/chatfeedv1/chatfeedv1connect"
)

// Stop is the command that stops an answer.
type Stop struct {
	Client
	Workflow string `arg:"" help:"Id of the workflow."`
}

// Run says so when Temporal has accepted the stop.
func (c *Stop) Run(ctx context.Context) error {
	if err := c.check(); err != nil {
		return err
	}
	chat := chatfeedv1connect.NewChatServiceClient(c.http(), c.Server)
	if _, err := chat.StopAnswer(ctx, &v1.StopAnswerRequest{WorkflowId: c.Workflow}); err != nil {
		return c.explain(err)
	}
	_, _ = fmt.Fprintln(os.Stdout, "The answer of workflow", c.Workflow, "is being stopped.")
	return nil
}

// Approve is the command that answers a request for approval.
type Approve struct {
	Client
	Workflow string `arg:"" help:"Id of the workflow."`
	Call     string `arg:"" optional:"" help:"Id of the call; without it, the latest that asks for approval."`
	Deny     bool   `help:"Refuse the call."`
	Reason   string `help:"Why it is refused." placeholder:"TEXT"`
}

// Run says what was answered when Temporal has accepted it.
func (c *Approve) Run(ctx context.Context) error {
	if err := c.check(); err != nil {
		return err
	}
	if c.Call == "" {
		if err := c.find(ctx); err != nil {
			return err
		}
	}
	chat := chatfeedv1connect.NewChatServiceClient(c.http(), c.Server)
	_, err := chat.AnswerApproval(ctx, &v1.AnswerApprovalRequest{
		WorkflowId: c.Workflow, CallId: c.Call, Approved: !c.Deny, Reason: c.Reason,
	})
	if err != nil {
		return c.explain(err)
	}
	answer := map[bool]string{false: "approved", true: "denied"}[c.Deny]
	_, _ = fmt.Fprintf(os.Stdout, "Call %s of workflow %s is %s.\n", c.Call, c.Workflow, answer)
	return nil
}

// find finds the latest call that asks for approval, among the latest hundred states of calls.
func (c *Approve) find(ctx context.Context) error {
	page, err := chatfeedv1connect.NewFeedServiceClient(c.http(), c.Server).GetChatData(ctx, &v1.GetChatDataRequest{
		WorkflowId: c.Workflow, Last: 100, Types: []string{"tool"},
	})
	if err != nil {
		return c.explain(err)
	}
	later := map[string]bool{} // calls that have a later state
	for _, item := range slices.Backward(page.GetItems()) {
		id := item.GetTool().GetCallId()
		if item.GetTool().GetState() == db.ApprovalRequested && !later[id] {
			c.Call = id
			return nil
		}
		later[id] = true
	}
	return fmt.Errorf("no call of workflow %s waits for approval", c.Workflow)
}
