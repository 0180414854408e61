package program

import (
	"context"
	"fmt"
	"os"

	v1 "chatfeed/rpc/chatfeedv1"
	"chatfeed/rpc/chatfeedv1/chatfeedv1connect"
)

// target is the workflow that a command calls.
type target struct {
	Client
	Workflow string `arg:"" help:"Id of the workflow."`
}

// chat returns what to call with. The error is a usage error.
func (c target) chat() (chatfeedv1connect.ChatServiceClient, error) {
	return chatfeedv1connect.NewChatServiceClient(c.http(), c.Server), c.check()
}

// printed prints the result of a call, if there is one.
func (c target) printed(result string, err error) error {
	if err != nil {
		return c.explain(err)
	}
	_, _ = fmt.Fprintln(os.Stdout, result)
	return nil
}

// once is the flag of the commands that can be repeated.
type once struct {
	RequestID string `help:"Id of the request: it is carried out once, and repeated with the same answer." placeholder:"ID"`
}

// Start is the command that starts a workflow.
type Start struct {
	target
	once
	Type string   `arg:"" help:"Type of the workflow; the server has to allow it."`
	Args []string `arg:"" optional:"" help:"The workflow's arguments, as JSON."`
}

// Run prints the run that was started.
func (c *Start) Run(ctx context.Context) error {
	chat, err := c.chat()
	if err != nil {
		return err
	}
	started, err := chat.StartWorkflow(ctx, &v1.StartWorkflowRequest{
		WorkflowId: c.Workflow, Type: c.Type, Args: c.Args, RequestId: c.RequestID,
	})
	return c.printed(started.GetRunId(), err)
}

// Signal is the command that sends a signal to a workflow.
type Signal struct {
	target
	once
	Name string   `arg:"" help:"Name of the signal; the server has to allow it."`
	Args []string `arg:"" optional:"" help:"The signal's arguments, as JSON."`
}

// Run prints the run that has the signal.
func (c *Signal) Run(ctx context.Context) error {
	chat, err := c.chat()
	if err != nil {
		return err
	}
	sent, err := chat.SignalWorkflow(ctx, &v1.SignalWorkflowRequest{
		WorkflowId: c.Workflow, Name: c.Name, Args: c.Args, RequestId: c.RequestID,
	})
	return c.printed(sent.GetRunId(), err)
}

// Update is the command that calls an update handler of a workflow.
type Update struct {
	target
	once
	Name string   `arg:"" help:"Name of the update; the server has to allow it."`
	Args []string `arg:"" optional:"" help:"The update's arguments, as JSON."`
}

// Run prints the result, as JSON.
func (c *Update) Run(ctx context.Context) error {
	chat, err := c.chat()
	if err != nil {
		return err
	}
	updated, err := chat.UpdateWorkflow(ctx, &v1.UpdateWorkflowRequest{
		WorkflowId: c.Workflow, Name: c.Name, Args: c.Args, RequestId: c.RequestID,
	})
	return c.printed(updated.GetResult(), err)
}

// Query is the command that asks a workflow a question.
type Query struct {
	target
	Name string   `arg:"" help:"Name of the query; the server has to allow it."`
	Args []string `arg:"" optional:"" help:"The query's arguments, as JSON."`
}

// Run prints the result, as JSON.
func (c *Query) Run(ctx context.Context) error {
	chat, err := c.chat()
	if err != nil {
		return err
	}
	answered, err := chat.QueryWorkflow(ctx, &v1.QueryWorkflowRequest{WorkflowId: c.Workflow, Name: c.Name, Args: c.Args})
	return c.printed(answered.GetResult(), err)
}

// Cancel is the command that asks a workflow to end.
type Cancel struct{ target }

// Run returns when Temporal has accepted the request.
func (c *Cancel) Run(ctx context.Context) error {
	chat, err := c.chat()
	if err != nil {
		return err
	}
	_, err = chat.CancelWorkflow(ctx, &v1.CancelWorkflowRequest{WorkflowId: c.Workflow})
	return c.explain(err)
}

// Terminate is the command that ends a workflow at once.
type Terminate struct {
	target
	Reason string `help:"Why, for who looks at the workflow in Temporal." placeholder:"TEXT"`
}

// Run returns when the workflow has ended.
func (c *Terminate) Run(ctx context.Context) error {
	chat, err := c.chat()
	if err != nil {
		return err
	}
	_, err = chat.TerminateWorkflow(ctx, &v1.TerminateWorkflowRequest{WorkflowId: c.Workflow, Reason: c.Reason})
	return c.explain(err)
}
