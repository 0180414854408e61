package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"

	"chatfeed/rpc"
	v1 "chatfeed/rpc/chatfeedv1"
	"chatfeed/rpc/chatfeedv1/chatfeedv1connect"
)

// allowed is what the servers of these tests allow.
var allowed = rpc.Allowed{
	Types: []string{"Order"}, Signals: []string{"pause"}, Updates: []string{"approve"}, Queries: []string{"state"}, Terminate: true,
}

// called returns a chat that answers every call alike, and what it was called with.
func called(answer string, err error) (*chat, func() []string) {
	var mu sync.Mutex
	var calls []string
	return &chat{called: func(_ context.Context, kind, workflowID string, call rpc.Call) (string, error) {
		mu.Lock()
		defer mu.Unlock()
		calls = append(calls, fmt.Sprintf("%s %s %s %q %s", kind, workflowID, call.Name, call.Args, call.RequestID))
		return answer, err
	}}, func() []string { return calls }
}

// requests returns a valid request of each kind to a workflow.
func requests(workflowID string) []any {
	return []any{
		&v1.StartWorkflowRequest{WorkflowId: workflowID, Type: "Order", RequestId: "r"},
		&v1.SignalWorkflowRequest{WorkflowId: workflowID, Name: "pause", RequestId: "r"},
		&v1.UpdateWorkflowRequest{WorkflowId: workflowID, Name: "approve", RequestId: "r"},
		&v1.QueryWorkflowRequest{WorkflowId: workflowID, Name: "state"},
		&v1.TerminateWorkflowRequest{WorkflowId: workflowID, Reason: "enough"},
	}
}

func TestACallReachesTheWorkflowAndItsAnswerTheClientDigitByDigit(t *testing.T) {
	t.Parallel()
	const big = `{"id": 12345678901234567890.10, "text": "<🙂\u0000>"}`
	chats, calls := called(big, nil)
	s := serve(t, &source{}, config{rpc: rpc.Config{Chat: chats, Allowed: allowed}})
	ctx := limited(t)
	for _, options := range []connect.ClientOption{connect.WithProtoJSON(), connect.WithGRPC(), connect.WithGRPCWeb()} {
		client := chatfeedv1connect.NewChatServiceClient(s.h2, s.url, options)
		before := len(calls())
		args := []string{big, `null`, ` [1,  2]`}
		started, err := client.StartWorkflow(ctx, &v1.StartWorkflowRequest{WorkflowId: "wf", Type: "Order", Args: args, RequestId: "r1"})
		require.NoError(t, err)
		require.Equal(t, big, started.GetRunId())
		signalled, err := client.SignalWorkflow(ctx, &v1.SignalWorkflowRequest{WorkflowId: "wf", Name: "pause", Args: args, RequestId: "r2"})
		require.NoError(t, err)
		require.Equal(t, big, signalled.GetRunId())
		updated, err := client.UpdateWorkflow(ctx, &v1.UpdateWorkflowRequest{WorkflowId: "wf", Name: "approve", Args: args})
		require.NoError(t, err)
		require.Equal(t, big, updated.GetResult())
		queried, err := client.QueryWorkflow(ctx, &v1.QueryWorkflowRequest{WorkflowId: "wf", Name: "state", Args: args})
		require.NoError(t, err)
		require.Equal(t, big, queried.GetResult())
		_, err = client.TerminateWorkflow(ctx, &v1.TerminateWorkflowRequest{WorkflowId: "wf", Reason: "enough"})
		require.NoError(t, err)
		sent := fmt.Sprintf("%q", args)
		require.Equal(t, []string{
			"start wf Order " + sent + " r1", "signal wf pause " + sent + " r2", "update wf approve " + sent + " ",
			"query wf state " + sent + " ", "terminate wf enough [] ",
		}, calls()[before:])
	}
}

// refusedCalls is calls that are wrong, and what the error has to say.
var refusedCalls = []struct {
	request any
	say     []string
}{
	{&v1.StartWorkflowRequest{Type: "Order"}, []string{"workflow_id:", "empty", "1 to 1000 bytes"}},
	{&v1.StartWorkflowRequest{WorkflowId: "a"}, []string{"type:", "empty", "1 to 200 bytes"}},
	{&v1.StartWorkflowRequest{WorkflowId: "a", Type: long[:201]}, []string{"type:", "201 bytes", "1 to 200 bytes"}},
	{&v1.StartWorkflowRequest{WorkflowId: "a", Type: "a\x00"}, []string{"type:", "NUL"}},
	{&v1.StartWorkflowRequest{WorkflowId: "a", Type: "Order", RequestId: long[:201]}, []string{"request_id:", "201 bytes", "at most 200 bytes"}},
	{&v1.StartWorkflowRequest{WorkflowId: "a", Type: "Order", RequestId: "\x00"}, []string{"request_id:", "NUL"}},
	{&v1.StartWorkflowRequest{WorkflowId: "a", Type: "Order", Args: []string{"1", "hello"}}, []string{"args[1]:", "is not JSON", `"a" in quotes`}},
	{&v1.SignalWorkflowRequest{Name: "pause"}, []string{"workflow_id:", "empty", "1 to 1000 bytes"}},
	{&v1.SignalWorkflowRequest{WorkflowId: "a"}, []string{"name:", "empty", "1 to 200 bytes"}},
	{&v1.SignalWorkflowRequest{WorkflowId: "a", Name: "pause", Args: []string{""}}, []string{"args[0]:", "is not JSON"}},
	{&v1.SignalWorkflowRequest{WorkflowId: "a", Name: "pause", Args: strings.Split("1111111111 1", "")}, []string{"args:", "12 entries", "at most 10"}},
	{&v1.SignalWorkflowRequest{WorkflowId: "a", Name: "pause", Args: []string{`"` + strings.Repeat("x", 1<<20-2) + `"`, "1"}}, []string{"args:", "1048577 bytes", "at most 1048576 bytes"}},
	{&v1.UpdateWorkflowRequest{WorkflowId: "a", Name: "\x00"}, []string{"name:", "NUL"}},
	{&v1.UpdateWorkflowRequest{WorkflowId: "a", Name: "approve", RequestId: long[:201]}, []string{"request_id:", "201 bytes", "at most 200 bytes"}},
	{&v1.UpdateWorkflowRequest{WorkflowId: "a", Name: "approve", Args: []string{"NaN"}}, []string{"args[0]:", "is not JSON"}},
	{&v1.UpdateWorkflowRequest{WorkflowId: "a", Name: "approve", Args: []string{strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000)}}, []string{"args[0]:", "is not JSON"}},
	{&v1.QueryWorkflowRequest{Name: "state"}, []string{"workflow_id:", "empty", "1 to 1000 bytes"}},
	{&v1.QueryWorkflowRequest{WorkflowId: "a"}, []string{"name:", "empty", "1 to 200 bytes"}},
	{&v1.QueryWorkflowRequest{WorkflowId: "a", Name: "state", Args: []string{"{}{}"}}, []string{"args[0]:", "is not JSON"}},
	{&v1.TerminateWorkflowRequest{}, []string{"workflow_id:", "empty", "1 to 1000 bytes"}},
	{&v1.TerminateWorkflowRequest{WorkflowId: "a", Reason: long}, []string{"reason:", "1001 bytes", "at most 1000 bytes"}},
	{&v1.TerminateWorkflowRequest{WorkflowId: "a", Reason: "\x00"}, []string{"reason:", "NUL"}},
}

func TestAnInvalidCallIsAnsweredWithTheFieldAndWhatIsAccepted(t *testing.T) {
	t.Parallel()
	chats, calls := called("", nil)
	s := serve(t, unread(t), config{rpc: rpc.Config{Chat: chats, Allowed: allowed}})
	for _, c := range refusedCalls {
		err := s.call(limited(t), c.request)
		require.Equal(t, connect.CodeInvalidArgument, connect.CodeOf(err), "%.80v: %v", c.request, err)
		for _, text := range c.say {
			require.ErrorContains(t, err, text)
		}
		require.Less(t, len(err.Error()), 400)
	}
	require.Empty(t, calls())
	largest := `"` + strings.Repeat("<", 1<<20-2) + `"`
	require.NoError(t, s.call(limited(t), &v1.SignalWorkflowRequest{WorkflowId: "a", Name: "pause", Args: []string{largest}}))
}

// What is not allowed is refused in the same words, whether it exists or not.
func TestOnlyWhatIsAllowedIsCalled(t *testing.T) {
	t.Parallel()
	chats, calls := called("", nil)
	nothing := serve(t, &source{}, config{rpc: rpc.Config{Chat: chats}})
	some := serve(t, &source{}, config{rpc: rpc.Config{Chat: chats, Allowed: allowed}})
	for _, request := range requests("wf") {
		err := nothing.call(limited(t), request)
		require.Equal(t, connect.CodePermissionDenied, connect.CodeOf(err), "%v", err)
		require.ErrorContains(t, err, "its operator")
	}
	for field, request := range map[string]any{
		"type": &v1.StartWorkflowRequest{WorkflowId: "wf", Type: "pause"},
		"name": &v1.SignalWorkflowRequest{WorkflowId: "wf", Name: "approve"},
	} {
		err := some.call(limited(t), request)
		require.Equal(t, connect.CodePermissionDenied, connect.CodeOf(err))
		require.EqualError(t, err, "permission_denied: "+field+": is not one that this server allows; its operator decides which are")
	}
	for _, request := range []any{
		&v1.UpdateWorkflowRequest{WorkflowId: "wf", Name: "state"}, &v1.QueryWorkflowRequest{WorkflowId: "wf", Name: "__stack_trace"},
	} {
		require.Equal(t, connect.CodePermissionDenied, connect.CodeOf(some.call(limited(t), request)))
	}
	require.Empty(t, calls())
}

func TestOnlyAViewerThatMayWriteCalls(t *testing.T) {
	t.Parallel()
	chats, calls := called("null", nil)
	s := serve(t, &source{}, config{rpc: rpc.Config{
		Gate: viewer{unseen: "secret", unwritten: "fixed"}.gate, Chat: chats, Allowed: allowed,
	}})
	for _, workflow := range []string{"open", "secret"} {
		before := len(calls())
		for _, request := range requests(workflow) {
			require.NoError(t, s.call(limited(t), request))
		}
		require.Len(t, calls(), before+5)
	}
	before := len(calls())
	for i, request := range requests("fixed") {
		require.Equal(t, connect.CodePermissionDenied, connect.CodeOf(s.call(limited(t), request)), i)
	}
	for i, request := range requests("secret fixed") {
		want := connect.CodeNotFound
		if i == 0 { // one that is started need not exist
			want = connect.CodePermissionDenied
		}
		require.Equal(t, want, connect.CodeOf(s.call(limited(t), request)), i)
	}
	require.Len(t, calls(), before)
}

func TestWhatAWorkflowAndItsEngineSayBecomesAnErrorForPeople(t *testing.T) {
	t.Parallel()
	inner := errors.New("insider at 10.1.2.3, known are [secret hidden]")
	for _, c := range []struct {
		answer string
		err    error
		code   connect.Code
		say    string
		logged bool // as something that operators have to know
	}{
		{err: rpc.ErrWorkflowNotFound, code: connect.CodeNotFound, say: "no workflow with this id is running"},
		{err: rpc.ErrRunning, code: connect.CodeAlreadyExists, say: "a workflow with this id is running"},
		{err: rpc.ErrNoAnswer, code: connect.CodeDeadlineExceeded, say: "the workflow has not answered in time"},
		{err: rpc.ErrFull, code: connect.CodeResourceExhausted, say: "try again in 2 seconds"},
		{err: rpc.ErrUnusable, code: connect.CodeFailedPrecondition, say: "its operator can fix that", logged: true},
		{err: &rpc.AwayError{Reason: "Temporal is starting"}, code: connect.CodeUnavailable, say: "Temporal is starting"},
		{err: &rpc.FailedError{Reason: "the order is sold out"}, code: connect.CodeFailedPrecondition, say: "the order is sold out"},
		{err: &rpc.FailedError{Reason: strings.Repeat("x", 999) + "é"}, code: connect.CodeFailedPrecondition, say: strings.Repeat("x", 999)},
		{err: &rpc.FailedError{}, code: connect.CodeFailedPrecondition, say: "the workflow has failed this", logged: true},
		{err: errInternal, code: connect.CodeUnavailable, say: "the workflow engine cannot be reached", logged: true},
		{answer: "hello", code: connect.CodeFailedPrecondition, say: "the workflow's answer is not JSON"},
		{answer: `"` + strings.Repeat("x", 1<<20) + `"`, code: connect.CodeFailedPrecondition, say: "1048578 bytes long; at most 1048576 bytes are delivered"},
	} {
		log := new(buffer)
		err := c.err
		if err != nil {
			err = fmt.Errorf("call: %w: %w", c.err, inner)
		}
		chats, _ := called(c.answer, err)
		s := serve(t, &source{}, config{rpc: rpc.Config{Chat: chats, Allowed: allowed, Log: slog.New(slog.NewTextHandler(log, nil))}})
		all := requests("wf")
		if c.err == nil {
			all = all[2:4] // those that are answered
		}
		for _, request := range all {
			got := s.call(limited(t), request)
			require.Equal(t, c.code, connect.CodeOf(got), "%v", got)
			require.ErrorContains(t, got, c.say)
			require.LessOrEqual(t, len(got.Error()), len("failed_precondition: ")+1000)
			requirePublic(t, got.Error())
		}
		require.Equal(t, c.logged, strings.Contains(log.String(), "insider"), "%v", c.err)
	}
}

func TestOverHTTPAWorkflowThatIsRunningAlreadyIsAConflict(t *testing.T) {
	t.Parallel()
	chats, _ := called("", rpc.ErrRunning)
	s := serve(t, &source{}, config{rpc: rpc.Config{Chat: chats, Allowed: allowed}})
	answer, err := do(limited(t), s.h1, http.MethodPost, s.url+chatfeedv1connect.ChatServiceStartWorkflowProcedure,
		`{"workflowId": "wf", "type": "Order", "args": ["{}"]}`, "Content-Type", "application/json")
	require.NoError(t, err)
	require.Equal(t, http.StatusConflict, answer.status)
}
