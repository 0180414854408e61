package program

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"

	commonpb "go.temporal.io/api/common/v1"
	enums "go.temporal.io/api/enums/v1"
	failurepb "go.temporal.io/api/failure/v1"
	"go.temporal.io/api/serviceerror"
	taskqueue "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"

	"chatfeed/activities"
	"chatfeed/rpc"
)

// requestMemo is the memo with the id of the request that has started a workflow. Temporal compares that id with the newest run's only,
// and the runs that continue a workflow have ids of their own.
const requestMemo = "chatfeedRequestId"

// Start implements [rpc.Calls].
func (c *temporalChat) Start(ctx context.Context, workflowID string, call rpc.Call) (runID string, err error) {
	if call.RequestID == "" {
		call.RequestID = rand.Text()
	}
	runID, err = c.startOnce(ctx, workflowID, call, enums.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE)
	var exists *serviceerror.WorkflowExecutionAlreadyStarted
	if errors.As(err, &exists) {
		runID, err = c.startAgain(ctx, workflowID, call)
	}
	switch {
	case errors.As(err, &exists):
		err = fmt.Errorf("%w: %w", rpc.ErrRunning, err)
	case err != nil:
		err = explain(err)
	}
	if err != nil {
		return "", fmt.Errorf("start workflow %q of type %s: %w", workflowID, call.Name, err)
	}
	return runID, nil
}

// startOnce starts a workflow. Temporal answers the same request with the same run. The SDK's ExecuteWorkflow makes a new request
// each time.
func (c *temporalChat) startOnce(
	ctx context.Context, workflowID string, call rpc.Call, reuse enums.WorkflowIdReusePolicy,
) (string, error) {
	input, err := payloads(call)
	if err != nil {
		return "", err
	}
	request, err := activities.DataConverter().ToPayload(call.RequestID)
	if err != nil {
		return "", err
	}
	started, err := c.client.WorkflowService().StartWorkflowExecution(ctx, &workflowservice.StartWorkflowExecutionRequest{
		Namespace:                c.namespace,
		WorkflowId:               workflowID,
		WorkflowType:             &commonpb.WorkflowType{Name: call.Name},
		TaskQueue:                &taskqueue.TaskQueue{Name: c.queues[call.Name], Kind: enums.TASK_QUEUE_KIND_NORMAL},
		Input:                    input,
		RequestId:                call.RequestID,
		Memo:                     &commonpb.Memo{Fields: map[string]*commonpb.Payload{requestMemo: request}},
		WorkflowIdReusePolicy:    reuse,
		WorkflowIdConflictPolicy: enums.WORKFLOW_ID_CONFLICT_POLICY_FAIL,
	})
	return started.GetRunId(), err
}

// startAgain starts a workflow whose id is in use. It returns the first run if the same request has started that, and otherwise
// starts a workflow unless one is running.
func (c *temporalChat) startAgain(ctx context.Context, workflowID string, call rpc.Call) (string, error) {
	found, err := c.client.DescribeWorkflowExecution(ctx, workflowID, "")
	if err != nil {
		return "", err
	}
	info := found.GetWorkflowExecutionInfo()
	var request string
	memo := info.GetMemo().GetFields()[requestMemo]
	if memo != nil && activities.DataConverter().FromPayload(memo, &request) == nil && request == call.RequestID {
		return info.GetFirstRunId(), nil
	}
	return c.startOnce(ctx, workflowID, call, enums.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE)
}

// Signal implements [rpc.Calls]. The SDK's SignalWorkflow makes a new request each time, so that a repetition would be handled twice.
func (c *temporalChat) Signal(ctx context.Context, workflowID string, call rpc.Call) (runID string, err error) {
	if call.RequestID == "" {
		call.RequestID = rand.Text()
	}
	to, err := c.signalRun(ctx, workflowID, c.isReached, func(to run) error {
		input, err := payloads(call)
		if err != nil {
			return err
		}
		_, err = c.client.WorkflowService().SignalWorkflowExecution(ctx, &workflowservice.SignalWorkflowExecutionRequest{
			Namespace:         c.namespace,
			WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: workflowID, RunId: to.id},
			SignalName:        call.Name,
			Input:             input,
			RequestId:         call.RequestID,
		})
		return err
	})
	if err != nil {
		return "", fmt.Errorf("signal %s to workflow %q: %w", call.Name, workflowID, explain(err))
	}
	return to.id, nil
}

// Update implements [rpc.Calls].
func (c *temporalChat) Update(ctx context.Context, workflowID string, call rpc.Call) (json.RawMessage, error) {
	if call.RequestID == "" {
		call.RequestID = rand.Text()
	}
	var answer converter.RawValue
	err := c.retryEnded(func() error {
		found, err := c.found(ctx, workflowID, c.isReached)
		if err != nil {
			return err
		}
		handle, err := c.update(ctx, workflowID, found, call)
		if err != nil {
			return tooMany(unanswered(ctx, err))
		}
		err = refusal(ctx, handle.Get(ctx, &answer))
		if absent := (*serviceerror.NotFound)(nil); found.ended() && errors.As(err, &absent) {
			return errAbsent
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("update %s of workflow %q: %w", call.Name, workflowID, explain(err))
	}
	return text(answer)
}

// update sends an update to a run, or returns the one with the call's request id if the run has ended.
func (c *temporalChat) update(ctx context.Context, workflowID string, to run, call rpc.Call) (client.WorkflowUpdateHandle, error) {
	if to.ended() {
		return c.client.GetWorkflowUpdateHandle(client.GetWorkflowUpdateHandleOptions{
			WorkflowID: workflowID, RunID: to.id, UpdateID: call.RequestID,
		}), nil
	}
	return c.client.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
		WorkflowID: workflowID, RunID: to.id, UpdateID: call.RequestID, UpdateName: call.Name, Args: values(call),
		WaitForStage: client.WorkflowUpdateStageCompleted,
	})
}

// Query implements [rpc.Calls].
func (c *temporalChat) Query(ctx context.Context, workflowID string, call rpc.Call) (json.RawMessage, error) {
	fail := func(err error) (json.RawMessage, error) {
		return nil, fmt.Errorf("query %s of workflow %q: %w", call.Name, workflowID, explain(err))
	}
	found, err := c.found(ctx, workflowID, c.isReached)
	if err != nil {
		return fail(err)
	}
	encoded, err := c.client.QueryWorkflow(ctx, workflowID, found.id, call.Name, values(call)...)
	var failed *serviceerror.QueryFailed
	var idle *serviceerror.FailedPrecondition // no worker polls the task queue
	switch {
	case errors.As(err, &failed):
		return fail(said(failed.Failure, err))
	case errors.As(err, &idle):
		return fail(fmt.Errorf("%w: %w", rpc.ErrNoAnswer, err))
	case err != nil:
		return fail(unanswered(ctx, err))
	}
	var answer converter.RawValue
	if err := encoded.Get(&answer); err != nil && encoded.HasValue() {
		return fail(err)
	}
	return text(answer)
}

// Terminate implements [rpc.Calls].
func (c *temporalChat) Terminate(ctx context.Context, workflowID, reason string) error {
	err := c.retryEnded(func() error {
		found, err := c.found(ctx, workflowID, c.isReached)
		switch {
		case err != nil:
			return err
		case found.status == enums.WORKFLOW_EXECUTION_STATUS_TERMINATED:
			return nil
		case found.ended():
			return errAbsent
		}
		return c.client.TerminateWorkflow(ctx, workflowID, found.id, reason)
	})
	if err != nil {
		return fmt.Errorf("terminate workflow %q: %w", workflowID, explain(err))
	}
	return nil
}

// values returns the arguments of a call as payloads that are encoded already, so that they reach the workflow as they are.
func values(call rpc.Call) []any {
	all := make([]any, len(call.Args))
	for i, arg := range call.Args {
		all[i] = converter.NewRawValue(&commonpb.Payload{
			Metadata: map[string][]byte{converter.MetadataEncoding: []byte(converter.MetadataEncodingJSON)}, Data: arg,
		})
	}
	return all
}

func payloads(call rpc.Call) (*commonpb.Payloads, error) {
	return activities.DataConverter().ToPayloads(values(call)...)
}

// text returns a result as JSON.
func text(answer converter.RawValue) (json.RawMessage, error) {
	payload := answer.Payload()
	switch encoding := string(payload.GetMetadata()[converter.MetadataEncoding]); encoding {
	case converter.MetadataEncodingJSON, converter.MetadataEncodingProtoJSON:
		return payload.GetData(), nil
	case converter.MetadataEncodingNil, "": // a handler that returns nothing
		return json.RawMessage("null"), nil
	default:
		return nil, fmt.Errorf("a result of encoding %s: %w", encoding, &rpc.FailedError{Reason: "the workflow's answer is not JSON, and nothing else is delivered"})
	}
}

// unanswered maps what Temporal says of a workflow that does not answer.
func unanswered(ctx context.Context, err error) error {
	var (
		late    *serviceerror.DeadlineExceeded
		unready *serviceerror.WorkflowNotReady // its first task has not been done, or its tasks fail
		timeout *client.WorkflowUpdateServiceTimeoutOrCanceledError
	)
	switch {
	case errors.As(err, &unready), errors.As(err, &late), errors.As(err, &timeout) && errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("%w: %w", rpc.ErrNoAnswer, err)
	}
	return err
}

// tooMany maps what Temporal says of a run that has as many updates as it may have, at once or in all.
func tooMany(err error) error {
	var busy *serviceerror.ResourceExhausted
	var most *serviceerror.FailedPrecondition
	if errors.As(err, &busy) || errors.As(err, &most) {
		return fmt.Errorf("%w: %w", rpc.ErrFull, err)
	}
	return err
}

// refusal returns the error with which an update has ended.
func refusal(ctx context.Context, err error) error {
	switch failed := err.(type) { //nolint:errorlint // what the handler's own error wraps is not meant for clients
	case nil:
		return nil
	case *temporal.ApplicationError:
		return fmt.Errorf("%w: %w", failedError(failed.NonRetryable(), failed.Message()), err)
	case *temporal.ActivityError, *temporal.ChildWorkflowExecutionError, *temporal.CanceledError, *temporal.TimeoutError:
		return fmt.Errorf("%w: %w", failedError(false, ""), err)
	}
	return unanswered(ctx, err)
}

// said returns the error with which a query has ended.
func said(failure *failurepb.Failure, err error) error {
	own := failure.GetApplicationFailureInfo().GetNonRetryable()
	return fmt.Errorf("%w: %w", failedError(own, failure.GetMessage()), err)
}

// failedError passes on the words of a failure if they are the handler's own: it is an application error that must not be
// retried, which nothing becomes by accident. Others may say what no client should know, such as which handlers there are or what a
// database has answered.
func failedError(own bool, words string) error {
	if !own {
		words = ""
	}
	return &rpc.FailedError{Reason: words}
}
