package rpc_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"chatfeed/feed"
	"chatfeed/rpc"
	v1 "chatfeed/rpc/chatfeedv1"
	"chatfeed/rpc/chatfeedv1/chatfeedv1connect"
)

// unread is a source that nothing that is refused may reach.
func unread(t *testing.T) *source {
	t.Helper()
	read := func(at feed.Position, _ feed.Window) (feed.Page, error) {
		t.Errorf("workflow %q was read", at.WorkflowID)
		return feed.Page{}, errInternal
	}
	return &source{after: read, before: read, workflows: func(after feed.Workflow, _ int) ([]feed.Workflow, error) {
		t.Errorf("workflows were read after %q", after.ID)
		return nil, errInternal
	}}
}

var (
	long  = strings.Repeat("x", 1001)
	never = &timestamppb.Timestamp{Seconds: 1 << 50}
	now   = timestamppb.New(time.Unix(1234567890, 0))
)

func cursorLast(workflow string, last int32) *v1.Cursor {
	return &v1.Cursor{WorkflowId: workflow, Start: &v1.Cursor_Last{Last: last}}
}

func cursors(n int) []*v1.Cursor {
	all := make([]*v1.Cursor, n)
	for i := range all {
		all[i] = &v1.Cursor{WorkflowId: fmt.Sprint("wf", i)}
	}
	return all
}

func token(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

// refused is requests that are wrong and what the error has to say: the field and what is accepted.
var refused = []struct {
	request any // a message, or a string: the path and query of a GET
	say     []string
}{
	{&v1.SubscribeRequest{}, []string{"cursors:", "0 entries", "1 to 1000"}},
	{&v1.SubscribeRequest{Cursors: cursors(1001)}, []string{"cursors:", "1001", "1 to 1000"}},
	{&v1.SubscribeRequest{Cursors: []*v1.Cursor{{}}}, []string{"cursors[0].workflow_id:", "empty", "1 to 1000 bytes"}},
	{&v1.SubscribeRequest{Cursors: []*v1.Cursor{{WorkflowId: "a"}, {WorkflowId: long}}}, []string{"cursors[1].workflow_id:", "1001 bytes", "1 to 1000 bytes"}},
	{&v1.SubscribeRequest{Cursors: []*v1.Cursor{{WorkflowId: "a\x00b"}}}, []string{"cursors[0].workflow_id:", "NUL"}},
	{&v1.SubscribeRequest{Cursors: []*v1.Cursor{{WorkflowId: "a"}, {WorkflowId: "b"}, {WorkflowId: "a"}}}, []string{"cursors[2].workflow_id:", `"a"`, "once"}},
	{&v1.SubscribeRequest{Cursors: []*v1.Cursor{cursorLast("a", -1)}}, []string{"cursors[0].last:", "-1", "0 to 1000"}},
	{&v1.SubscribeRequest{Cursors: []*v1.Cursor{cursorLast("a", 1001)}}, []string{"cursors[0].last:", "1001", "0 to 1000"}},
	{&v1.SubscribeRequest{Cursors: []*v1.Cursor{cursorLast("a", 1<<31-1)}}, []string{"cursors[0].last:", "0 to 1000"}},
	{&v1.SubscribeRequest{Cursors: []*v1.Cursor{{WorkflowId: "a", Start: &v1.Cursor_After{After: never}}}}, []string{"cursors[0].after:", "year 9999"}},
	{&v1.SubscribeRequest{Cursors: []*v1.Cursor{{WorkflowId: "a", Start: &v1.Cursor_After{After: &timestamppb.Timestamp{Nanos: -1}}}}}, []string{"cursors[0].after:", "is not a time"}},
	{&v1.SubscribeRequest{Cursors: cursors(1), Types: []string{"message", "reaction"}}, []string{"types:", `"reaction"`, "message, log, stat, progress"}},
	{&v1.SubscribeRequest{Cursors: cursors(1), Types: []string{""}}, []string{"types:", `""`, "message, log, stat, progress"}},

	{&v1.GetChatDataRequest{}, []string{"workflow_id:", "empty", "1 to 1000 bytes"}},
	{&v1.GetChatDataRequest{WorkflowId: long}, []string{"workflow_id:", "1001 bytes", "1 to 1000 bytes"}},
	{&v1.GetChatDataRequest{WorkflowId: "\x00"}, []string{"workflow_id:", "NUL"}},
	{&v1.GetChatDataRequest{WorkflowId: "a", After: never}, []string{"after:", "year 9999"}},
	{&v1.GetChatDataRequest{WorkflowId: "a", Before: never}, []string{"before:", "year 9999"}},
	{&v1.GetChatDataRequest{WorkflowId: "a", Last: -1}, []string{"last:", "-1", "1000"}},
	{&v1.GetChatDataRequest{WorkflowId: "a", Last: 1001}, []string{"last:", "1001", "1000"}},
	{&v1.GetChatDataRequest{WorkflowId: "a", Limit: -1}, []string{"limit:", "-1", "1 to 1000"}},
	{&v1.GetChatDataRequest{WorkflowId: "a", Limit: 1 << 30}, []string{"limit:", "1 to 1000"}},
	{&v1.GetChatDataRequest{WorkflowId: "a", Types: []string{"Message"}}, []string{"types:", `"Message"`, "message, log, stat, progress"}},
	{&v1.GetChatDataRequest{WorkflowId: "a", Wait: durationpb.New(-time.Second)}, []string{"wait:", "-1s", "0s to 1m0s"}},
	{&v1.GetChatDataRequest{WorkflowId: "a", Wait: durationpb.New(61 * time.Second)}, []string{"wait:", "1m1s", "0s to 1m0s"}},
	{&v1.GetChatDataRequest{WorkflowId: "a", Wait: &durationpb.Duration{Seconds: 1 << 62}}, []string{"wait:", "0s to 1m0s"}},
	{&v1.GetChatDataRequest{WorkflowId: "a", After: now, Last: 1}, []string{"after:", "backwards"}},
	{&v1.GetChatDataRequest{WorkflowId: "a", After: now, Before: now}, []string{"after:", "backwards"}},
	{&v1.GetChatDataRequest{WorkflowId: "a", Last: 1, Wait: durationpb.New(time.Second)}, []string{"wait:", "backwards"}},

	{&v1.ListWorkflowsRequest{PageSize: -1}, []string{"page_size:", "-1", "1000"}},
	{&v1.ListWorkflowsRequest{PageSize: 1001}, []string{"page_size:", "1001", "1000"}},
	{&v1.ListWorkflowsRequest{PageToken: "%%%"}, []string{"page_token:", "next_page_token"}},
	{&v1.ListWorkflowsRequest{PageToken: token("12")}, []string{"page_token:", "next_page_token"}},
	{&v1.ListWorkflowsRequest{PageToken: token("-12 wf")}, []string{"page_token:", "next_page_token"}},
	{&v1.ListWorkflowsRequest{PageToken: token("99999999999999999999 wf")}, []string{"page_token:", "next_page_token"}},
	{&v1.ListWorkflowsRequest{PageToken: token("12 w\x00f")}, []string{"page_token:", "next_page_token"}},
	{&v1.ListWorkflowsRequest{PageToken: token("12 w\xfff")}, []string{"page_token:", "next_page_token"}},
	{&v1.ListWorkflowsRequest{PageToken: token("12 " + long)}, []string{"page_token:", "next_page_token"}},

	{&v1.CountMessagesRequest{}, []string{"cursors:", "0 entries", "1 to"}},
	{&v1.CountMessagesRequest{Cursors: cursors(101)}, []string{"cursors:", "101", "1 to 100"}},
	{&v1.CountMessagesRequest{Cursors: []*v1.Cursor{{WorkflowId: long}}}, []string{"cursors[0].workflow_id:", "1001 bytes", "1 to 1000 bytes"}},
	{&v1.CountMessagesRequest{Cursors: []*v1.Cursor{{WorkflowId: "a"}, cursorLast("b", 1)}}, []string{"cursors[1].last:", "only after"}},

	{&v1.SendMessageRequest{Text: "a"}, []string{"workflow_id:", "empty", "1 to 1000 bytes"}},
	{&v1.SendMessageRequest{WorkflowId: long, Text: "a"}, []string{"workflow_id:", "1001 bytes", "1 to 1000 bytes"}},
	{&v1.SendMessageRequest{WorkflowId: "a"}, []string{"text:", "empty", "1 byte to 1048576 bytes"}},
	{&v1.SendMessageRequest{WorkflowId: "a", Text: strings.Repeat("x", 1<<20+1)}, []string{"text:", "1048577 bytes", "1 byte to 1048576 bytes"}},
	{&v1.SendMessageRequest{WorkflowId: "a", Text: "a\x00"}, []string{"text:", "NUL"}},
	{&v1.SendMessageRequest{WorkflowId: "a", Text: "a", Id: long[:201]}, []string{"id:", "201 bytes", "at most 200 bytes"}},
	{&v1.SendMessageRequest{WorkflowId: "a", Text: "a", Id: "\x00"}, []string{"id:", "NUL"}},
	{&v1.StopAnswerRequest{}, []string{"workflow_id:", "empty", "1 to 1000 bytes"}},
	{&v1.AnswerApprovalRequest{CallId: "c"}, []string{"workflow_id:", "empty", "1 to 1000 bytes"}},
	{&v1.AnswerApprovalRequest{WorkflowId: "a"}, []string{"call_id:", "empty", "1 to 150 bytes"}},
	{&v1.AnswerApprovalRequest{WorkflowId: "a", CallId: long[:151]}, []string{"call_id:", "151 bytes", "1 to 150 bytes"}},
	{&v1.AnswerApprovalRequest{WorkflowId: "a", CallId: "\x00"}, []string{"call_id:", "NUL"}},
	{&v1.AnswerApprovalRequest{WorkflowId: "a", CallId: "c", Reason: long}, []string{"reason:", "1001 bytes", "at most 1000 bytes"}},
	{&v1.AnswerApprovalRequest{WorkflowId: "a", CallId: "c", Reason: "\x00"}, []string{"reason:", "NUL"}},
	{&v1.CancelWorkflowRequest{}, []string{"workflow_id:", "empty", "1 to 1000 bytes"}},
	{&v1.CancelWorkflowRequest{WorkflowId: "a\x00"}, []string{"workflow_id:", "NUL"}},

	{"/workflows/" + long + "/chatData", []string{"workflow id:", "1001 bytes", "1 to 1000 bytes"}},
	{"/workflows/a%00b/chatData", []string{"workflow id:", "NUL"}},
	{"/workflows/a%ffb/chatData", []string{"workflow id:", "UTF-8"}},
	{"/workflows/a/chatData?last=0", []string{"last:", "is 0;", "1 to 1000"}},
	{"/workflows/a/chatData?last=-1", []string{"last:", "is -1;", "1 to 1000"}},
	{"/workflows/a/chatData?last=1001", []string{"last:", "is 1001;", "1 to 1000"}},
	{"/workflows/a/chatData?last=99999999999999999999", []string{"last:", "1 to 1000"}},
	{"/workflows/a/chatData?last=ten", []string{"last:", `"ten"`, "1 to 1000"}},
	{"/workflows/a/chatData?limit=0", []string{"limit:", "is 0;", "1 to 1000"}},
	{"/workflows/a/chatData?limit=1.5", []string{"limit:", `"1.5"`, "1 to 1000"}},
	{"/workflows/a/chatData?limit=1001", []string{"limit:", "is 1001;", "1 to 1000"}},
	{"/workflows/a/chatData?beforeTimestamp=null", []string{"beforeTimestamp:", `"null"`, "Unix seconds"}},
	{"/workflows/a/chatData?beforeTimestamp=1e9s", []string{"beforeTimestamp:", `"1e9s"`, "Unix seconds", "RFC 3339"}},
	{"/workflows/a/chatData?beforeTimestamp=99999999999999999999", []string{"beforeTimestamp:", "Unix seconds"}},
	{"/workflows/a/chatData?types=message,reaction", []string{"types:", `"reaction"`, "message, log, stat, progress"}},
	{"/workflows/a/chatData?types=message,", []string{"types:", `""`, "message, log, stat, progress"}},
	{"/workflows/a/chatData?wait=25", []string{"wait:", `"25"`, "0s to 1m0s", "25s"}},
	{"/workflows/a/chatData?wait=-1s", []string{"wait:", "-1s", "0s to 1m0s"}},
	{"/workflows/a/chatData?wait=61s", []string{"wait:", "1m1s", "0s to 1m0s"}},
	{"/workflows/a/chatData?afterTimestamp=5&last=5", []string{"afterTimestamp:", "backwards"}},
	{"/workflows/a/chatData?afterTimestamp=5&beforeTimestamp=5", []string{"afterTimestamp:", "backwards"}},
	{"/workflows/a/chatData?last=5&wait=1s", []string{"wait:", "backwards"}},
}

func TestAnInvalidRequestIsAnsweredWithTheFieldAndWhatIsAccepted(t *testing.T) {
	t.Parallel()
	chats := &chat{
		send: func(string, rpc.ChatMessage) (rpc.Sent, error) {
			t.Error("a message was sent")
			return rpc.Sent{}, nil
		},
		cancel: func(string) error {
			t.Error("a workflow was cancelled")
			return nil
		},
	}
	s := serve(t, unread(t), config{rpc: rpc.Config{Chat: chats}})
	for _, c := range refused {
		t.Run(fmt.Sprintf("%.80v", c.request), func(t *testing.T) {
			t.Parallel()
			err := s.call(limited(t), c.request)
			require.Equal(t, connect.CodeInvalidArgument, connect.CodeOf(err), "%v", err)
			for _, text := range c.say {
				require.ErrorContains(t, err, text)
			}
			requirePublic(t, err.Error())
			require.Less(t, len(err.Error()), 400)
			require.Zero(t, s.subscriptions())
		})
	}
}

// call makes a request and returns its error.
func (s *server) call(ctx context.Context, request any) error {
	feeds, chats := s.rpc(), chatfeedv1connect.NewChatServiceClient(s.h1, s.url)
	records := chatfeedv1connect.NewRecordServiceClient(s.h1, s.url)
	var err error
	switch r := request.(type) {
	case *v1.SubscribeRequest:
		stream, streamErr := feeds.Subscribe(ctx, r)
		if streamErr != nil {
			return streamErr
		}
		defer func() { _ = stream.Close() }()
		stream.Receive()
		return stream.Err()
	case *v1.GetChatDataRequest:
		_, err = feeds.GetChatData(ctx, r)
	case *v1.ListWorkflowsRequest:
		_, err = feeds.ListWorkflows(ctx, r)
	case *v1.CountMessagesRequest:
		_, err = feeds.CountMessages(ctx, r)
	case *v1.SendMessageRequest:
		_, err = chats.SendMessage(ctx, r)
	case *v1.StopAnswerRequest:
		_, err = chats.StopAnswer(ctx, r)
	case *v1.AnswerApprovalRequest:
		_, err = chats.AnswerApproval(ctx, r)
	case *v1.CancelWorkflowRequest:
		_, err = chats.CancelWorkflow(ctx, r)
	case *v1.StartWorkflowRequest:
		_, err = chats.StartWorkflow(ctx, r)
	case *v1.SignalWorkflowRequest:
		_, err = chats.SignalWorkflow(ctx, r)
	case *v1.UpdateWorkflowRequest:
		_, err = chats.UpdateWorkflow(ctx, r)
	case *v1.QueryWorkflowRequest:
		_, err = chats.QueryWorkflow(ctx, r)
	case *v1.TerminateWorkflowRequest:
		_, err = chats.TerminateWorkflow(ctx, r)
	case *v1.RecordRequest:
		_, err = records.Record(ctx, r)
	case string:
		got, getErr := get(ctx, s.h1, s.url+r)
		if getErr != nil {
			return getErr
		}
		return got.error()
	}
	return err
}

func TestAnInvalidBodyIsRefused(t *testing.T) {
	t.Parallel()
	s := serve(t, unread(t), config{})
	const path = chatfeedv1connect.FeedServiceGetChatDataProcedure
	for _, body := range []string{
		``, `{`, `[]`, `"a"`, `{"workflowId": 5}`, `{"workflowId": "a", "last": "many"}`, `{"workflowId": "a", "after": "yesterday"}`,
		`{"workflowId": "a", "wait": "25"}`, `{"workflowId": "a", "last": 99999999999}`, "{\"workflowId\": \"\xff\"}",
	} {
		answer, err := do(limited(t), s.h1, http.MethodPost, s.url+path, body, "Content-Type", "application/json")
		require.NoError(t, err)
		require.Equal(t, http.StatusBadRequest, answer.status, body)
		var said struct{ Code, Message string }
		require.NoError(t, json.Unmarshal(answer.body, &said))
		require.Equal(t, "invalid_argument", said.Code, body)
		require.NotEmpty(t, said.Message)
		requirePublic(t, said.Message)
	}
	answer, err := do(limited(t), s.h1, http.MethodPost, s.url+path, "\xff\xff\xff", "Content-Type", "application/proto")
	require.NoError(t, err)
	require.Equal(t, http.StatusBadRequest, answer.status)
	requirePublic(t, string(answer.body))

	for address, want := range map[string]int{
		"/workflows//chatData": http.StatusNotFound, "/workflows/a": http.StatusNotFound, "/nothing": http.StatusNotFound,
	} {
		answer, err := get(limited(t), s.h1, s.url+address)
		require.NoError(t, err)
		require.Equal(t, want, answer.status, address)
	}
	answer, err = do(limited(t), s.h1, http.MethodPost, s.url+"/workflows/a/chatData", "")
	require.NoError(t, err)
	require.Equal(t, http.StatusMethodNotAllowed, answer.status)
}

func TestTheLargestRequestsAreAccepted(t *testing.T) {
	t.Parallel()
	sent := rpc.ChatMessage{}
	s := serve(t, &source{}, config{rpc: rpc.Config{Chat: &chat{
		send: func(_ string, message rpc.ChatMessage) (rpc.Sent, error) {
			sent = message
			return rpc.Sent{}, nil
		},
	}}})
	text := strings.Repeat("\"", 1<<20)
	client := chatfeedv1connect.NewChatServiceClient(s.h1, s.url, connect.WithProtoJSON())
	_, err := client.SendMessage(limited(t), &v1.SendMessageRequest{WorkflowId: long[:1000], Text: text, Id: long[:200]})
	require.NoError(t, err)
	require.Equal(t, rpc.ChatMessage{ID: long[:200], Text: text}, sent)

	many := cursors(1000)
	for _, cursor := range many {
		cursor.WorkflowId += strings.Repeat("ü", 490)
	}
	stream, err := s.rpc().Subscribe(limited(t), &v1.SubscribeRequest{Cursors: many})
	require.NoError(t, err)
	require.True(t, stream.Receive(), stream.Err())
	require.True(t, stream.Msg().GetUpToDate())
	require.NoError(t, stream.Close())
	require.NoError(t, s.call(limited(t), &v1.GetChatDataRequest{WorkflowId: long[:1000], Last: 1000}))
	require.NoError(t, s.call(limited(t), &v1.ListWorkflowsRequest{PageSize: 1000}))
}

// Reads of one moment are one query, which a text that PostgreSQL does not take would fail for all of them.
func TestAnInvalidRequestDoesNotAffectOthers(t *testing.T) {
	t.Parallel()
	s := serve(t, newDatabase(t).source(t), config{})
	ctx := limited(t)
	var running sync.WaitGroup
	failed := make(chan error, 200)
	for i := range 200 {
		running.Go(func() {
			if i%10 == 0 {
				_, _ = get(ctx, s.h1, s.url+"/workflows/a%ff/chatData")
			} else if _, err := chatData(ctx, s.h2, s.url, fmt.Sprint("wf", i), nil); err != nil {
				failed <- err
			}
		})
	}
	running.Wait()
	close(failed)
	require.NoError(t, <-failed, "one of %d", len(failed)+1)
}
