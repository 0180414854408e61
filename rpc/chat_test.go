package rpc_test

import (
	"fmt"
	"net/http"
	"testing"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"

	"chatfeed/rpc"
	v1 "chatfeed/rpc/chatfeedv1"
	"chatfeed/rpc/chatfeedv1/chatfeedv1connect"
)

func TestAMessageIsSentToTheWorkflowWithItsID(t *testing.T) {
	t.Parallel()
	var workflows []string
	var messages []rpc.ChatMessage
	s := serve(t, &source{}, config{rpc: rpc.Config{Chat: &chat{
		send: func(workflowID string, message rpc.ChatMessage) (rpc.Sent, error) {
			workflows, messages = append(workflows, workflowID), append(messages, message)
			return rpc.Sent{ID: "made", RunID: "run"}, nil
		},
	}}})
	client := chatfeedv1connect.NewChatServiceClient(s.h1, s.url)
	got, err := client.SendMessage(limited(t), &v1.SendMessageRequest{WorkflowId: "a/b żółć", Text: " hello\n🙂 ", Id: "msg_1"})
	require.NoError(t, err)
	require.Equal(t, "made", got.GetId())
	require.Equal(t, "run", got.GetRunId())
	_, err = client.SendMessage(limited(t), &v1.SendMessageRequest{WorkflowId: "wf", Text: "no id"})
	require.NoError(t, err)
	require.Equal(t, []string{"a/b żółć", "wf"}, workflows)
	require.Equal(t, []rpc.ChatMessage{{ID: "msg_1", Text: " hello\n🙂 "}, {Text: "no id"}}, messages)
}

func TestACancellationIsSentToTheWorkflow(t *testing.T) {
	t.Parallel()
	var cancelled string
	s := serve(t, &source{}, config{rpc: rpc.Config{Chat: &chat{cancel: func(workflowID string) error {
		cancelled = workflowID
		return nil
	}}}})
	_, err := chatfeedv1connect.NewChatServiceClient(s.h2, s.url, connect.WithGRPC()).
		CancelWorkflow(limited(t), &v1.CancelWorkflowRequest{WorkflowId: "wf"})
	require.NoError(t, err)
	require.Equal(t, "wf", cancelled)
}

func TestAStopAndAnApprovalAreSentToTheWorkflow(t *testing.T) {
	t.Parallel()
	told := map[string]rpc.Approval{}
	s := serve(t, &source{}, config{rpc: rpc.Config{Chat: &chat{told: func(workflowID string, a rpc.Approval) error {
		told[workflowID] = a
		return nil
	}}}})
	require.NoError(t, s.call(limited(t), &v1.StopAnswerRequest{WorkflowId: "stopped"}))
	require.NoError(t, s.call(limited(t), &v1.AnswerApprovalRequest{WorkflowId: "allowed", CallId: "c", Approved: true}))
	require.NoError(t, s.call(limited(t), &v1.AnswerApprovalRequest{WorkflowId: "refused", CallId: "d", Reason: "no 🙂"}))
	require.Equal(t, map[string]rpc.Approval{
		"stopped": {}, "allowed": {CallID: "c", Approved: true}, "refused": {CallID: "d", Reason: "no 🙂"},
	}, told)
}

func TestAWorkflowThatDoesNotRunIsNotFound(t *testing.T) {
	t.Parallel()
	gone := fmt.Errorf("10.1.2.3: secret: %w", rpc.ErrWorkflowNotFound)
	s := serve(t, &source{}, config{rpc: rpc.Config{Chat: &chat{
		send:   func(string, rpc.ChatMessage) (rpc.Sent, error) { return rpc.Sent{}, gone },
		cancel: func(string) error { return gone },
		told:   func(string, rpc.Approval) error { return gone },
	}}})
	for _, request := range []any{
		&v1.CancelWorkflowRequest{WorkflowId: "wf"}, &v1.SendMessageRequest{WorkflowId: "wf", Text: "hello"},
		&v1.StopAnswerRequest{WorkflowId: "wf"}, &v1.AnswerApprovalRequest{WorkflowId: "wf", CallId: "c"},
	} {
		err := s.call(limited(t), request)
		require.Equal(t, connect.CodeNotFound, connect.CodeOf(err))
		require.ErrorContains(t, err, "no workflow with this id is running")
		requirePublic(t, err.Error())
	}
}

func TestWithoutAWorkflowEngineThereIsNoChatService(t *testing.T) {
	t.Parallel()
	s := serve(t, &source{}, config{})
	err := s.call(limited(t), &v1.SendMessageRequest{WorkflowId: "wf", Text: "hello"})
	require.Equal(t, connect.CodeUnimplemented, connect.CodeOf(err))
	_, err = chatfeedv1connect.NewChatServiceClient(s.h2, s.url, connect.WithGRPC()).
		CancelWorkflow(limited(t), &v1.CancelWorkflowRequest{WorkflowId: "wf"})
	require.Equal(t, connect.CodeUnimplemented, connect.CodeOf(err))
	answer, err := do(limited(t), s.h1, http.MethodPost, s.url+chatfeedv1connect.ChatServiceSendMessageProcedure, "{}",
		"Content-Type", "application/json")
	require.NoError(t, err)
	require.Equal(t, http.StatusNotFound, answer.status)
}
