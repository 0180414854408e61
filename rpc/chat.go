package rpc

import (
	"context"
	"fmt"

	v1 "chatfeed/rpc/chatfeedv1"
)

const (
	maxText      = 1 << 20
	maxMessageID = 200
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

// CancelWorkflow implements the RPC of that name.
func (s *chatService) CancelWorkflow(
	ctx context.Context, request *v1.CancelWorkflowRequest,
) (*v1.CancelWorkflowResponse, error) {
	viewer := s.viewer(ctx)
	err := checkWorkflowID("workflow_id", request.GetWorkflowId())
	switch {
	case err != nil:
	case viewer.CanWrite(request.GetWorkflowId()):
		if err = s.Chat.Cancel(ctx, request.GetWorkflowId()); err != nil {
			err = fmt.Errorf("%w: %w", errEngine, err)
		}
	case viewer.CanRead(request.GetWorkflowId()):
		err = errForbidden
	default:
		err = ErrWorkflowNotFound
	}
	if err != nil {
		return nil, public(ctx, s.Log, err)
	}
	return &v1.CancelWorkflowResponse{}, nil
}
