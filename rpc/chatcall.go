package rpc

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	v1 "chatfeed/rpc/chatfeedv1"
)

const (
	maxName      = 200
	maxRequestID = 200
	maxArgs      = 10
	maxArgBytes  = 1 << 20 // of all arguments of a call; also of a result
)

// Calls reaches workflows by the names of their types and handlers. Names are checked before. The errors are those of [Chat]; its
// methods are called concurrently and return when their context ends, with [ErrNoAnswer] if the workflow is what was waited for.
// A call that is repeated with its request id has the result of the first one and no further effect.
type Calls interface {
	// Start starts a workflow of the type that the call names, and returns its run. The error is [ErrRunning] if another request
	// has started a workflow with this id that is still running.
	Start(ctx context.Context, workflowID string, call Call) (runID string, err error)
	// Signal sends a signal to a running workflow, and returns the run that has it.
	Signal(ctx context.Context, workflowID string, call Call) (runID string, err error)
	// Update calls an update handler of a running workflow and returns its result, a JSON text. The error is a [FailedError]
	// if the workflow has refused or failed it.
	Update(ctx context.Context, workflowID string, call Call) (json.RawMessage, error)
	// Query calls a query handler of a workflow that runs or has ended. Else it is like Update.
	Query(ctx context.Context, workflowID string, call Call) (json.RawMessage, error)
	// Terminate ends a running workflow. It succeeds for one that was terminated already.
	Terminate(ctx context.Context, workflowID, reason string) error
}

// Call is what to call in a workflow.
type Call struct {
	Name      string            // of the workflow's type, or of the handler
	Args      []json.RawMessage // valid JSON
	RequestID string            // empty if the call will not be repeated; always for a query
}

// Allowed lists the names that clients may call, whatever the workflow. The zero value allows nothing.
type Allowed struct {
	Types, Signals, Updates, Queries []string
	Terminate                        bool
}

// named is a request that calls something by its name.
type named interface {
	GetWorkflowId() string
	GetArgs() []string
}

// StartWorkflow implements the RPC of that name.
func (s *chatService) StartWorkflow(ctx context.Context, request *v1.StartWorkflowRequest) (*v1.StartWorkflowResponse, error) {
	call, err := newCall("type", request.GetType(), request, request.GetRequestId(), s.Allowed.Types)
	if err == nil && !s.viewer(ctx).CanWrite(request.GetWorkflowId()) { // whether the workflow exists or not
		err = errForbidden
	}
	response := new(v1.StartWorkflowResponse)
	err = s.tell(ctx, request.GetWorkflowId(), err, func(ctx context.Context) (err error) {
		response.RunId, err = s.Chat.Start(ctx, request.GetWorkflowId(), call)
		return err
	})
	return answer(response, err)
}

// SignalWorkflow implements the RPC of that name.
func (s *chatService) SignalWorkflow(ctx context.Context, request *v1.SignalWorkflowRequest) (*v1.SignalWorkflowResponse, error) {
	call, err := newCall("name", request.GetName(), request, request.GetRequestId(), s.Allowed.Signals)
	response := new(v1.SignalWorkflowResponse)
	err = s.tell(ctx, request.GetWorkflowId(), err, func(ctx context.Context) (err error) {
		response.RunId, err = s.Chat.Signal(ctx, request.GetWorkflowId(), call)
		return err
	})
	return answer(response, err)
}

// UpdateWorkflow implements the RPC of that name.
func (s *chatService) UpdateWorkflow(ctx context.Context, request *v1.UpdateWorkflowRequest) (*v1.UpdateWorkflowResponse, error) {
	call, err := newCall("name", request.GetName(), request, request.GetRequestId(), s.Allowed.Updates)
	response := new(v1.UpdateWorkflowResponse)
	err = s.tell(ctx, request.GetWorkflowId(), err, func(ctx context.Context) (err error) {
		response.Result, err = result(ctx, s.Chat.Update, request.GetWorkflowId(), call)
		return err
	})
	return answer(response, err)
}

// QueryWorkflow implements the RPC of that name.
func (s *chatService) QueryWorkflow(ctx context.Context, request *v1.QueryWorkflowRequest) (*v1.QueryWorkflowResponse, error) {
	call, err := newCall("name", request.GetName(), request, "", s.Allowed.Queries)
	response := new(v1.QueryWorkflowResponse)
	err = s.tell(ctx, request.GetWorkflowId(), err, func(ctx context.Context) (err error) {
		response.Result, err = result(ctx, s.Chat.Query, request.GetWorkflowId(), call)
		return err
	})
	return answer(response, err)
}

// TerminateWorkflow implements the RPC of that name.
func (s *chatService) TerminateWorkflow(
	ctx context.Context, request *v1.TerminateWorkflowRequest,
) (*v1.TerminateWorkflowResponse, error) {
	err := checkReason(request.GetReason())
	if err == nil && !s.Allowed.Terminate {
		err = errMayNotTerminate
	}
	err = s.tell(ctx, request.GetWorkflowId(), err, func(ctx context.Context) error {
		return s.Chat.Terminate(ctx, request.GetWorkflowId(), request.GetReason())
	})
	return answer(new(v1.TerminateWorkflowResponse), err)
}

// answer returns the response unless there is an error, as Connect's handlers have to.
func answer[T any](response *T, err error) (*T, error) {
	if err != nil {
		return nil, err
	}
	return response, nil
}

// result makes a call that waits for the workflow, and returns what the workflow answers.
func result(
	ctx context.Context, do func(context.Context, string, Call) (json.RawMessage, error), workflowID string, call Call,
) (string, error) {
	text, err := do(ctx, workflowID, call)
	switch {
	case err != nil:
		return "", err
	case len(text) > maxArgBytes:
		return "", &FailedError{fmt.Sprintf("the workflow's answer is %d bytes long; at most %d bytes are delivered", len(text), maxArgBytes)}
	case !json.Valid(text):
		return "", &FailedError{"the workflow's answer is not JSON, and nothing else is delivered"}
	}
	return string(text), nil
}

// newCall makes a call of a request. The field is that of the name.
func newCall(field, name string, request named, requestID string, allowed []string) (Call, error) {
	call := Call{Name: name, RequestID: requestID}
	size := 0
	for i, arg := range request.GetArgs() {
		if size += len(arg); i < maxArgs {
			call.Args = append(call.Args, json.RawMessage(arg))
		}
	}
	switch n := len(request.GetArgs()); {
	case name == "":
		return call, invalid(field, "is empty; 1 to %d bytes are accepted", maxName)
	case len(name) > maxName:
		return call, invalid(field, "is %d bytes long; 1 to %d bytes are accepted", len(name), maxName)
	case len(requestID) > maxRequestID:
		return call, invalid("request_id", "is %d bytes long; at most %d bytes are accepted", len(requestID), maxRequestID)
	case n > maxArgs:
		return call, invalid("args", "has %d entries; at most %d are accepted", n, maxArgs)
	case size > maxArgBytes:
		return call, invalid("args", "are %d bytes long together; at most %d bytes are accepted", size, maxArgBytes)
	}
	for i, arg := range call.Args {
		if !json.Valid(arg) {
			return call, invalid(fmt.Sprintf("args[%d]", i), `is not JSON; a text such as {"a": 1} or "a" in quotes is accepted`)
		}
	}
	if err := checkText(field, name); err != nil {
		return call, err
	}
	if err := checkText("request_id", requestID); err != nil {
		return call, err
	}
	if !slices.Contains(allowed, name) {
		return call, &notAllowedError{field}
	}
	return call, nil
}

// shorten cuts a text to so many bytes and keeps it valid.
func shorten(text string, most int) string {
	return strings.ToValidUTF8(text[:min(len(text), most)], "")
}
