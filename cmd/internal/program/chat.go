package program

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"

	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"chatfeed/rpc"
)

const (
	// A run accepts no further message that would bring its history beyond these limits: Temporal warns there, and ends the
	// run at five times as much (limit.historySize and limit.historyCount in its dynamic configuration). The rest is needed
	// to handle the messages that wait.
	fullBytes  = 10 << 20
	fullEvents = 10 << 10
	// chatTries is how often a request looks for the workflow's run if the one that it has found has ended.
	chatTries = 5
)

// temporalChat is the [rpc.Chat] on Temporal. It chats with workflows of one type only, and reaches those of a few; workflows of other
// types are not found.
type temporalChat struct {
	client    client.Client
	namespace string
	workflow  string
	taskQueue string
	signal    string            // with a message
	stop      string            // the signal that stops an answer
	approval  string            // the signal that answers a request for approval
	queues    map[string]string // the task queue of each type that clients may start
	reached   []string          // the types of workflows that clients may call and end, besides these and the one to chat with
	sending   keyLock           // one message at a time per workflow, so that each sees the history with the messages before it
}

// message is the payload of the signal with a message.
type message struct {
	ID   string `json:"id"`
	Text string `json:"text"`
}

// approval is the payload of the signal that answers a request for approval.
type approval struct {
	CallID   string `json:"callId"`
	Approved bool   `json:"approved"`
	Reason   string `json:"reason,omitempty"`
}

// run is the current state of a workflow's latest run.
type run struct {
	id            string
	status        enums.WorkflowExecutionStatus
	bytes, events int64 // of its history
}

func (r run) ended() bool { return r.status != enums.WORKFLOW_EXECUTION_STATUS_RUNNING }

// errAbsent says that no workflow with the id is running, errForeign that it is of another type.
var (
	errAbsent  = errors.New("the workflow is not running")
	errForeign = errors.New("the workflow is of another type")
)

// found returns the latest run of a workflow of a type that is accepted.
func (c *temporalChat) found(ctx context.Context, workflowID string, accepted func(workflowType string) bool) (run, error) {
	found, err := c.client.DescribeWorkflowExecution(ctx, workflowID, "")
	var absent *serviceerror.NotFound
	switch {
	case errors.As(err, &absent):
		return run{}, errAbsent
	case err != nil:
		return run{}, err
	}
	info := found.GetWorkflowExecutionInfo()
	latest := run{info.GetExecution().GetRunId(), info.GetStatus(), info.GetHistorySizeBytes(), info.GetHistoryLength()}
	if !accepted(info.GetType().GetName()) {
		return latest, errForeign
	}
	return latest, nil
}

// running returns the run of a workflow that has not ended and is of a type that is accepted.
func (c *temporalChat) running(ctx context.Context, workflowID string, accepted func(workflowType string) bool) (run, error) {
	latest, err := c.found(ctx, workflowID, accepted)
	if latest.id != "" && latest.ended() {
		return run{}, errAbsent
	}
	return latest, err
}

// isChat reports whether workflows of this type are chatted with.
func (c *temporalChat) isChat(workflowType string) bool { return workflowType == c.workflow }

// isReached reports whether clients may call and end workflows of this type.
func (c *temporalChat) isReached(workflowType string) bool {
	_, started := c.queues[workflowType]
	return started || workflowType == c.workflow || slices.Contains(c.reached, workflowType)
}

// Send implements [rpc.Chat]. The signal names the run that was checked, so that no other run with the workflow's id can
// receive it.
func (c *temporalChat) Send(ctx context.Context, workflowID string, m rpc.ChatMessage) (rpc.Sent, error) {
	if m.ID == "" {
		m.ID = "msg_" + rand.Text()
	}
	done, err := c.sending.lock(ctx, workflowID)
	if err != nil {
		return rpc.Sent{}, fmt.Errorf("send a message to workflow %q: %w", workflowID, err)
	}
	defer done()
	var to run
	err = c.retryEnded(func() (err error) {
		to, err = c.running(ctx, workflowID, c.isChat)
		if errors.Is(err, errAbsent) {
			to, err = c.start(ctx, workflowID)
		}
		switch {
		case err != nil:
			return err
		case to.bytes+int64(len(m.Text)) > fullBytes || to.events >= fullEvents:
			return rpc.ErrFull
		}
		return c.client.SignalWorkflow(ctx, workflowID, to.id, c.signal, message(m))
	})
	if err != nil {
		return rpc.Sent{}, fmt.Errorf("send a message to workflow %q: %w", workflowID, explain(err))
	}
	return rpc.Sent{ID: m.ID, RunID: to.id}, nil
}

// start starts a run if none is running. If another has been started meanwhile, it returns errAbsent, so that the caller
// checks it first.
func (c *temporalChat) start(ctx context.Context, workflowID string) (run, error) {
	begun, err := c.client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: workflowID, TaskQueue: c.taskQueue, WorkflowExecutionErrorWhenAlreadyStarted: true,
	}, c.workflow)
	var started *serviceerror.WorkflowExecutionAlreadyStarted
	switch {
	case errors.As(err, &started):
		return run{}, errAbsent
	case err != nil:
		return run{}, err
	}
	return run{id: begun.GetRunID()}, nil
}

// Stop implements [rpc.Chat].
func (c *temporalChat) Stop(ctx context.Context, workflowID string) error {
	return c.tell(ctx, workflowID, c.stop, nil)
}

// Approve implements [rpc.Chat].
func (c *temporalChat) Approve(ctx context.Context, workflowID string, a rpc.Approval) error {
	return c.tell(ctx, workflowID, c.approval, approval(a))
}

// tell sends a signal to a chat.
func (c *temporalChat) tell(ctx context.Context, workflowID, signal string, payload any) error {
	_, err := c.signalRun(ctx, workflowID, c.isChat, func(to run) error {
		return c.client.SignalWorkflow(ctx, workflowID, to.id, signal, payload)
	})
	if err != nil {
		return fmt.Errorf("signal %s to workflow %q: %w", signal, workflowID, explain(err))
	}
	return nil
}

// signalRun sends a signal to the run of a workflow, which accepts some more of them than it accepts messages: a full one can be
// stopped. It returns that run.
func (c *temporalChat) signalRun(
	ctx context.Context, workflowID string, accepted func(workflowType string) bool, send func(run) error,
) (to run, err error) {
	done, err := c.sending.lock(ctx, workflowID)
	if err != nil {
		return run{}, err
	}
	defer done()
	err = c.retryEnded(func() (err error) {
		to, err = c.running(ctx, workflowID, accepted)
		switch {
		case err != nil:
			return err
		case to.bytes >= 2*fullBytes || to.events >= 2*fullEvents:
			return rpc.ErrFull
		}
		return send(to)
	})
	return to, err
}

// Cancel implements [rpc.Chat]. Temporal silently accepts the cancellation of a workflow that has ended, so the
// run is checked first.
func (c *temporalChat) Cancel(ctx context.Context, workflowID string) error {
	err := c.retryEnded(func() error {
		found, err := c.running(ctx, workflowID, c.isReached)
		if err != nil {
			return err
		}
		return c.client.CancelWorkflow(ctx, workflowID, found.id)
	})
	if err != nil {
		return fmt.Errorf("cancel workflow %q: %w", workflowID, explain(err))
	}
	return nil
}

// retryEnded calls do, and again if the run has ended meanwhile: it may have continued as a new one.
func (c *temporalChat) retryEnded(do func() error) error {
	var ended *serviceerror.NotFound
	for tries := 1; ; tries++ {
		err := do()
		if tries == chatTries || !errors.As(err, &ended) {
			return err
		}
	}
}

// explain maps Temporal's errors to those of rpc. The others are transient.
func explain(err error) error {
	var (
		ended       *serviceerror.NotFound
		refused     *serviceerror.InvalidArgument
		namespace   *serviceerror.NamespaceNotFound
		denied      *serviceerror.PermissionDenied
		unsupported *serviceerror.Unimplemented
	)
	switch {
	case errors.Is(err, errAbsent), errors.Is(err, errForeign), errors.As(err, &ended):
		return fmt.Errorf("%w: %w", rpc.ErrWorkflowNotFound, err)
	case errors.As(err, &namespace), errors.As(err, &denied), errors.As(err, &unsupported):
		return fmt.Errorf("%w: %w", rpc.ErrUnusable, err)
	case errors.As(err, &refused):
		return fmt.Errorf("%w: %w", rpc.ErrRefused, err)
	}
	return err
}

// keyLock is a mutex per key. The zero value is ready to use.
type keyLock struct {
	mu    sync.Mutex
	taken map[string]chan struct{} // closed when the key is unlocked
}

// lock locks the key until done is called. It fails when ctx ends.
func (t *keyLock) lock(ctx context.Context, key string) (done func(), err error) {
	for {
		t.mu.Lock()
		over, taken := t.taken[key]
		if !taken {
			if t.taken == nil {
				t.taken = make(map[string]chan struct{})
			}
			over = make(chan struct{})
			t.taken[key] = over
			t.mu.Unlock()
			return func() {
				t.mu.Lock()
				delete(t.taken, key)
				t.mu.Unlock()
				close(over)
			}, nil
		}
		t.mu.Unlock()
		select {
		case <-over:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}
