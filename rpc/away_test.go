package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/durationpb"

	"chatfeed/feed"
	"chatfeed/rpc"
	v1 "chatfeed/rpc/chatfeedv1"
	"chatfeed/rpc/chatfeedv1/chatfeedv1connect"
)

// requirePublic requires that an error reveals no internals of the server.
func requirePublic(t *testing.T, said string) {
	t.Helper()
	for _, internal := range []string{
		"SELECT", "select", "SQL", "secret", "insider", "hidden", "10.1.2.3", "127.0.0.1", "5432", "dial", "pgx", "postgres",
		"chatfeed.items", "goroutine", ".go:", "nil pointer",
	} {
		require.NotContains(t, said, internal)
	}
}

// calls is each way to read, and what it says when it fails.
func (s *server) calls(ctx context.Context) map[string]func() error {
	client := s.rpc()
	return map[string]func() error{
		"chatData": func() error {
			_, err := chatData(ctx, s.h1, s.url, "wf", nil)
			return err
		},
		"chatData backwards": func() error {
			_, err := chatData(ctx, s.h1, s.url, "wf", pairs([]string{"last", "5"}))
			return err
		},
		"chatData with wait": func() error {
			_, err := chatData(ctx, s.h2, s.url, "wf", pairs([]string{"wait", "60s"}))
			return err
		},
		"GetChatData": func() error {
			_, err := client.GetChatData(ctx, &v1.GetChatDataRequest{WorkflowId: "wf"})
			return err
		},
		"GetChatData backwards": func() error {
			_, err := client.GetChatData(ctx, &v1.GetChatDataRequest{WorkflowId: "wf", Last: 3})
			return err
		},
		"GetChatData with wait": func() error {
			_, err := client.GetChatData(ctx, &v1.GetChatDataRequest{WorkflowId: "wf", Wait: durationpb.New(time.Minute)})
			return err
		},
		"ListWorkflows": func() error {
			_, err := client.ListWorkflows(ctx, &v1.ListWorkflowsRequest{})
			return err
		},
	}
}

func TestErrorsOfTheDatabaseOnlySayThatItIsUnavailable(t *testing.T) {
	t.Parallel()
	d := openDatabase(t, closedPort(t))
	s := serve(t, d.source(t), config{})
	for name, call := range s.calls(limited(t)) {
		err := call()
		require.Equal(t, connect.CodeUnavailable, connect.CodeOf(err), name)
		require.ErrorContains(t, err, "try again", name)
		requirePublic(t, err.Error())
	}
}

func TestAFailureIsLoggedInFullAndReportedInPart(t *testing.T) {
	t.Parallel()
	log := new(buffer)
	failing := failing()
	chats := &chat{
		send:   func(string, rpc.ChatMessage) (rpc.Sent, error) { return rpc.Sent{}, errInternal },
		cancel: func(string) error { return errInternal },
		told:   func(string, rpc.Approval) error { return errInternal },
	}
	s := serve(t, failing, config{rpc: rpc.Config{
		Log: slog.New(slog.NewTextHandler(log, nil)), Chat: chats, Ready: func(context.Context) error { return errInternal },
	}})
	calls := s.calls(limited(t))
	client := chatfeedv1connect.NewChatServiceClient(s.h1, s.url)
	calls["SendMessage"] = func() error {
		_, err := client.SendMessage(limited(t), &v1.SendMessageRequest{WorkflowId: "wf", Text: "hello"})
		return err
	}
	calls["CancelWorkflow"] = func() error {
		_, err := client.CancelWorkflow(limited(t), &v1.CancelWorkflowRequest{WorkflowId: "wf"})
		return err
	}
	for name, request := range map[string]any{
		"StopAnswer": &v1.StopAnswerRequest{WorkflowId: "wf"}, "AnswerApproval": &v1.AnswerApprovalRequest{WorkflowId: "wf", CallId: "c"},
	} {
		calls[name] = func() error { return s.call(limited(t), request) }
	}
	for name, call := range calls {
		logged := strings.Count(log.String(), "SELECT secret")
		err := call()
		require.Equal(t, connect.CodeUnavailable, connect.CodeOf(err), name)
		requirePublic(t, err.Error())
		said := new(connect.Error)
		require.ErrorAs(t, err, &said)
		require.Empty(t, said.Details(), name)
		for header, values := range said.Meta() {
			requirePublic(t, header+strings.Join(values, " "))
		}
		require.Equal(t, logged+1, strings.Count(log.String(), "SELECT secret"), "%s: number of log entries", name)
	}
	ready, err := get(limited(t), s.h1, s.url+"/readyz")
	require.NoError(t, err)
	require.Equal(t, http.StatusServiceUnavailable, ready.status)
	requirePublic(t, string(ready.body))
}

func TestAStreamSurvivesADatabaseOutage(t *testing.T) {
	t.Parallel()
	var back atomic.Bool
	there := fixed(&feed.Item{WorkflowID: "wf", ID: "one", Type: "log", CreatedAt: 5, Body: []byte(`{"message":"hello"}`)})
	s := serve(t, &source{
		before: func(at feed.Position, window feed.Window) (feed.Page, error) {
			if !back.Load() {
				return feed.Page{}, errInternal
			}
			return there.before(at, window)
		},
		after: there.after,
	}, config{rpc: rpc.Config{Heartbeat: 20 * time.Millisecond}})
	r := transports[0].follow(t, s, all("wf"))
	for range 3 {
		heartbeat := r.frame(t)
		require.Empty(t, heartbeat.items)
		require.False(t, heartbeat.upToDate, "nobody knows")
	}
	back.Store(true)
	requireSame(t, []string{"one"}, ids(r.history(t)))
}

// A client that waits for the headers can tell whether the server is available.
func TestTheHeadersOfAStreamAreSentBeforeTheSourceAnswers(t *testing.T) {
	t.Parallel()
	for _, tr := range transports {
		if tr.feed == nil {
			continue
		}
		t.Run(tr.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, &source{hangs: true}, config{tls: tr.tls, rpc: rpc.Config{Heartbeat: 2 * patience}})
			stream, err := tr.feed(s).Subscribe(limited(t), &v1.SubscribeRequest{Cursors: cursors(2)})
			require.NoError(t, err)
			require.NotEmpty(t, stream.ResponseHeader().Get("Content-Type"), "no headers came")
			require.NoError(t, stream.Close())
		})
	}
}

// halfway is a source that fails after its first page, whose only item has so many bytes.
func halfway(size int) *source {
	body := []byte(`{"message":"` + strings.Repeat("x", size) + `"}`)
	first := &feed.Item{WorkflowID: "wf", ID: "one", Type: "log", CreatedAt: 5, Body: body}
	return &source{after: func(at feed.Position, _ feed.Window) (feed.Page, error) {
		if at.Cursor > 0 {
			return feed.Page{}, errInternal
		}
		return feed.Page{Items: []*feed.Item{first}, More: true}, nil
	}}
}

func TestAPartialAnswerIsNotMistakenForACompleteOne(t *testing.T) {
	t.Parallel()
	for _, over := range []func(*server) *http.Client{h1, h2} {
		s := serve(t, halfway(10), config{})
		_, err := chatData(limited(t), over(s), s.url, "wf", nil)
		require.Equal(t, connect.CodeUnavailable, connect.CodeOf(err))
		requirePublic(t, err.Error())

		s = serve(t, halfway(1<<20), config{})
		answer, err := do(limited(t), over(s), http.MethodGet, s.url+"/workflows/wf/chatData", "", "Accept-Encoding", "identity")
		require.Error(t, err)
		require.False(t, errors.Is(err, io.EOF) && len(answer.body) == 0)
		_, err = readREST(answer.body)
		require.Error(t, err)
		requirePublic(t, string(answer.body))
	}
}

func TestAStreamEndsAtTheDeadlineThatItsClientSets(t *testing.T) {
	t.Parallel()
	s := serve(t, &source{}, config{})
	request := "\x00\x00\x00\x00\x23" + `{"cursors": [{"workflowId": "wf"}]}`
	answer, err := do(limited(t), s.h1, http.MethodPost, s.url+chatfeedv1connect.FeedServiceSubscribeProcedure, request,
		"Content-Type", "application/connect+json", "Connect-Protocol-Version", "1", "Connect-Timeout-Ms", "100")
	require.NoError(t, err)
	require.Contains(t, string(answer.body), `"deadline_exceeded"`)
	require.Contains(t, string(answer.body), "the request's deadline has passed")
	s.followed(t, 0)
}

// A request that is refused because the server is busy says when to retry, and is not logged.
func TestABusyServerSaysWhenToRetry(t *testing.T) {
	t.Parallel()
	log := new(buffer)
	busy := func(feed.Position, feed.Window) (feed.Page, error) {
		return feed.Page{}, fmt.Errorf("read: %w", feed.ErrBusy)
	}
	s := serve(t, &source{after: busy, before: busy, workflows: func(feed.Workflow, int) ([]feed.Workflow, error) {
		return nil, fmt.Errorf("list: %w", feed.ErrBusy)
	}}, config{rpc: rpc.Config{Log: slog.New(slog.NewTextHandler(log, nil)), Origins: []string{"https://example.com"}}})
	calls := s.calls(limited(t))
	calls["GetChatData by gRPC"] = func() error {
		client := chatfeedv1connect.NewFeedServiceClient(s.h2, s.url, connect.WithGRPC())
		_, err := client.GetChatData(limited(t), &v1.GetChatDataRequest{WorkflowId: "wf"})
		return err
	}
	for name, call := range calls {
		err := call()
		require.Equal(t, connect.CodeResourceExhausted, connect.CodeOf(err), name)
		require.ErrorContains(t, err, "try again in 2 seconds", name)
		requirePublic(t, err.Error())
		said := new(connect.Error)
		require.ErrorAs(t, err, &said)
		require.Equal(t, "2", said.Meta().Get("Retry-After"), name)
	}
	answer, err := get(limited(t), s.h1, s.url+"/workflows/wf/chatData", "Origin", "https://example.com")
	require.NoError(t, err)
	require.Equal(t, http.StatusTooManyRequests, answer.status)
	require.Contains(t, strings.ToLower(answer.header.Get("Access-Control-Expose-Headers")), "retry-after")
	require.Empty(t, log.String())
}
