package rpc

import (
	"cmp"
	"context"
	"fmt"
	"time"

	v1 "chatfeed/rpc/chatfeedv1"
)

const (
	maxText      = 1 << 20
	maxMessageID = 200
	maxCallID    = 150
	maxReason    = 1000
	// tellTimeout is how long a call waits for the workflow and its engine.
	tellTimeout = 10 * time.Second
)

// chatService implements chatfeed.v1.ChatService.
type chatService struct{ Config }

// SendMessage implements the RPC of that name.
func (s *chatService) SendMessage(ctx context.Context, request *v1.SendMessageRequest) (*v1.SendMessageResponse, error) {
	err := checkWorkflowID("workflow_id", request.GetWorkflowId())
	switch {
	case err != nil:
	case request.GetText() == "":
		err = invalid("text", "is empty; 1 byte to %d bytes are accepted", maxText)
	case len(request.GetText()) > maxText:
		err = invalid("text", "is %d bytes long; 1 byte to %d bytes are accepted", len(request.GetText()), maxText)
	case len(request.GetId()) > maxMessageID:
		err = invalid("id", "is %d bytes long; at most %d bytes are accepted", len(request.GetId()), maxMessageID)
	default:
		err = checkText("text", request.GetText())
		if err == nil {
			err = checkText("id", request.GetId())
		}
	}
	if err != nil {
		return nil, public(ctx, s.Log, err)
	}
	if !s.viewer(ctx).CanWrite(request.GetWorkflowId()) { // whether the workflow exists or not
		return nil, public(ctx, s.Log, errForbidden)
	}
	sent, err := s.Chat.Send(ctx, request.GetWorkflowId(), ChatMessage{ID: request.GetId(), Text: request.GetText()})
	if err != nil {
		return nil, public(ctx, s.Log, fmt.Errorf("%w: %w", errEngine, err))
	}
	return &v1.SendMessageResponse{Id: sent.ID, RunId: sent.RunID}, nil
}

// StopAnswer implements the RPC of that name.
func (s *chatService) StopAnswer(ctx context.Context, request *v1.StopAnswerRequest) (*v1.StopAnswerResponse, error) {
	err := s.tell(ctx, request.GetWorkflowId(), nil, func(ctx context.Context) error {
		return s.Chat.Stop(ctx, request.GetWorkflowId())
	})
	if err != nil {
		return nil, err
	}
	return &v1.StopAnswerResponse{}, nil
}

// AnswerApproval implements the RPC of that name.
func (s *chatService) AnswerApproval(
	ctx context.Context, request *v1.AnswerApprovalRequest,
) (*v1.AnswerApprovalResponse, error) {
	err := s.tell(ctx, request.GetWorkflowId(), checkApproval(request), func(ctx context.Context) error {
		return s.Chat.Approve(ctx, request.GetWorkflowId(),
			Approval{CallID: request.GetCallId(), Approved: request.GetApproved(), Reason: request.GetReason()})
	})
	if err != nil {
		return nil, err
	}
	return &v1.AnswerApprovalResponse{}, nil
}

func checkApproval(request *v1.AnswerApprovalRequest) error {
	switch {
	case request.GetCallId() == "":
		return invalid("call_id", "is empty; 1 to %d bytes are accepted", maxCallID)
	case len(request.GetCallId()) > maxCallID:
		return invalid("call_id", "is %d bytes long; 1 to %d bytes are accepted", len(request.GetCallId()), maxCallID)
	}
	if err := checkText("call_id", request.GetCallId()); err != nil {
		return err
	}
	return checkReason(request.GetReason())
}

func checkReason(reason string) error {
	if len(reason) > maxReason {
		return invalid("reason", "is %d bytes long; at most %d bytes are accepted", len(reason), maxReason)
	}
	return checkText("reason", reason)
}

// CancelWorkflow implements the RPC of that name.
func (s *chatService) CancelWorkflow(
	ctx context.Context, request *v1.CancelWorkflowRequest,
) (*v1.CancelWorkflowResponse, error) {
	err := s.tell(ctx, request.GetWorkflowId(), nil, func(ctx context.Context) error {
		return s.Chat.Cancel(ctx, request.GetWorkflowId())
	})
	if err != nil {
		return nil, err
	}
	return &v1.CancelWorkflowResponse{}, nil
}

// tell does something to a workflow, if the request is valid and its viewer may; it ends the context of what takes too long. The error
// is for the client.
func (s *chatService) tell(ctx context.Context, workflowID string, bad error, do func(context.Context) error) error {
	viewer := s.viewer(ctx)
	err := cmp.Or(checkWorkflowID("workflow_id", workflowID), bad)
	switch {
	case err != nil:
	case viewer.CanWrite(workflowID):
		telling, cancel := context.WithTimeout(ctx, tellTimeout)
		defer cancel()
		if err = do(telling); err != nil {
			err = fmt.Errorf("%w: %w", errEngine, err)
		}
	case viewer.CanRead(workflowID):
		err = errForbidden
	default:
		err = ErrWorkflowNotFound
	}
	if err != nil {
		return public(ctx, s.Log, err)
	}
	return nil
}
