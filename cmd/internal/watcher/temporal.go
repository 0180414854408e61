package watcher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	common "go.temporal.io/api/common/v1"
	enums "go.temporal.io/api/enums/v1"
	query "go.temporal.io/api/query/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/converter"
)

// Client is [Temporal] by calls of Temporal's service. It retries nothing, so that each call counts once.
type Client struct {
	Service   workflowservice.WorkflowServiceClient
	Namespace string
	Converter converter.DataConverter // of the answers to queries
}

// statuses are those of Temporal. A run that is paused has not ended.
var statuses = map[enums.WorkflowExecutionStatus]Status{
	enums.WORKFLOW_EXECUTION_STATUS_COMPLETED:        Completed,
	enums.WORKFLOW_EXECUTION_STATUS_FAILED:           Failed,
	enums.WORKFLOW_EXECUTION_STATUS_CANCELED:         Canceled,
	enums.WORKFLOW_EXECUTION_STATUS_TERMINATED:       Terminated,
	enums.WORKFLOW_EXECUTION_STATUS_TIMED_OUT:        TimedOut,
	enums.WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW: ContinuedAsNew,
}

// Describe implements [Temporal].
func (c *Client) Describe(ctx context.Context, workflowID, runID string) (Execution, error) {
	found, err := c.Service.DescribeWorkflowExecution(ctx, &workflowservice.DescribeWorkflowExecutionRequest{
		Namespace: c.Namespace, Execution: &common.WorkflowExecution{WorkflowId: workflowID, RunId: runID},
	})
	var refused *serviceerror.InvalidArgument // an id that no workflow can have
	switch {
	case errors.As(err, &refused):
		return Execution{}, fmt.Errorf("%w: %w", ErrNotFound, err)
	case err != nil:
		return Execution{}, explain(err)
	}
	info := found.GetWorkflowExecutionInfo()
	status, ended := statuses[info.GetStatus()]
	if !ended {
		status = Running
	}
	return Execution{
		RunID:      info.GetExecution().GetRunId(),
		FirstRunID: info.GetFirstRunId(),
		Started:    info.GetStartTime().AsTime(),
		Status:     status,
		Events:     info.GetHistoryLength(),
		Attempts:   int(found.GetPendingWorkflowTask().GetAttempt()),
	}, nil
}

// Query implements [Temporal].
func (c *Client) Query(ctx context.Context, workflowID, runID, name string) (json.RawMessage, error) {
	answered, err := c.Service.QueryWorkflow(ctx, &workflowservice.QueryWorkflowRequest{
		Namespace: c.Namespace, Execution: &common.WorkflowExecution{WorkflowId: workflowID, RunId: runID},
		Query:                &query.WorkflowQuery{QueryType: name},
		QueryRejectCondition: enums.QUERY_REJECT_CONDITION_NOT_OPEN,
	})
	switch {
	case err != nil:
		return nil, explain(err)
	case answered.GetQueryRejected() != nil:
		return nil, fmt.Errorf("%w: it has ended", ErrNotFound)
	}
	var text json.RawMessage
	if err := c.Converter.FromPayloads(answered.GetQueryResult(), &text); err != nil {
		return nil, fmt.Errorf("%w: it is not JSON: %w", errAnswer, err)
	}
	return text, nil
}

// explain maps the error for workflows that do not exist.
func explain(err error) error {
	var absent *serviceerror.NotFound
	if errors.As(err, &absent) {
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	return err
}
