package rpc_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"
	"connectrpc.com/grpcreflect"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"chatfeed/feed"
	"chatfeed/rpc"
	v1 "chatfeed/rpc/chatfeedv1"
	"chatfeed/rpc/chatfeedv1/chatfeedv1connect"
)

func TestConfigErrorsNameTheField(t *testing.T) {
	t.Parallel()
	f, err := feed.New(&source{}, &source{}, feed.Config{})
	require.NoError(t, err)
	for field, cfg := range map[string]rpc.Config{
		"Config.Feed":         {Workflows: &source{}},
		"Config.Workflows":    {Feed: f},
		"Config.Heartbeat":    {Feed: f, Workflows: &source{}, Heartbeat: -1},
		"Config.WriteTimeout": {Feed: f, Workflows: &source{}, WriteTimeout: -time.Second},
	} {
		_, err := rpc.NewHandler(cfg)
		require.ErrorContains(t, err, field)
	}
	_, err = rpc.NewHandler(rpc.Config{Feed: f, Workflows: &source{}})
	require.NoError(t, err)
}

// methods counts requests by method.
type methods struct {
	next http.RoundTripper
	gets atomic.Int64
}

func (m *methods) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodGet {
		m.gets.Add(1)
	}
	return m.next.RoundTrip(r)
}

func TestGetChatDataIsServedToHTTPGet(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := serve(t, d.source(t), config{})
	items := varied("wf/ żółć", "")
	d.append(t, items...)
	want := d.wanted(t, items)
	for _, options := range [][]connect.ClientOption{
		{connect.WithHTTPGet()}, {connect.WithHTTPGet(), connect.WithProtoJSON()},
	} {
		counted := &methods{next: s.h1.Transport}
		client := chatfeedv1connect.NewFeedServiceClient(&http.Client{Transport: counted}, s.url, options...)
		got, err := client.GetChatData(limited(t), &v1.GetChatDataRequest{WorkflowId: "wf/ żółć"})
		require.NoError(t, err)
		require.EqualValues(t, 1, counted.gets.Load())
		read, err := itemsOf(got.GetItems())
		require.NoError(t, err)
		requireSame(t, want, read)
		require.True(t, got.GetUpToDate())
		_, err = client.ListWorkflows(limited(t), &v1.ListWorkflowsRequest{})
		require.NoError(t, err)
		require.EqualValues(t, 2, counted.gets.Load())
	}
	answer, err := get(limited(t), s.h1, s.url+chatfeedv1connect.FeedServiceGetChatDataProcedure+
		"?encoding=json&message="+url.QueryEscape(`{"workflowId": "wf/ żółć", "limit": 1, "types": ["message"]}`))
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, answer.status)
	require.Contains(t, string(answer.body), "Hello world")
	require.Contains(t, string(answer.body), `"_createdAt"`)
}

func TestOnlyPagesOfAllowedOriginsMayCall(t *testing.T) {
	t.Parallel()
	s := serve(t, &source{}, config{rpc: rpc.Config{Origins: []string{"https://example.com", "https://*.example.org"}}})
	preflight := func(origin, path, method, headers string) http.Header {
		answer, err := do(limited(t), s.h1, http.MethodOptions, s.url+path, "", "Origin", origin,
			"Access-Control-Request-Method", method, "Access-Control-Request-Headers", headers)
		require.NoError(t, err)
		return answer.header
	}
	for _, origin := range []string{"https://example.com", "https://chat.example.org"} {
		for _, c := range [][3]string{
			{chatfeedv1connect.FeedServiceSubscribeProcedure, "POST", "connect-protocol-version,connect-timeout-ms,content-type"},
			{chatfeedv1connect.FeedServiceSubscribeProcedure, "POST", "content-type,grpc-timeout,x-grpc-web,x-user-agent"},
			{chatfeedv1connect.FeedServiceGetChatDataProcedure, "GET", ""},
			{"/workflows/a/chatData", "GET", ""},
			{"/workflows/a/events", "GET", "authorization,last-event-id"},
			{"/v1/stream/workflows/a", "HEAD", "authorization,if-none-match"},
			{chatfeedv1connect.FeedServiceSubscribeProcedure, "POST", "authorization,connect-protocol-version,content-type"},
		} {
			header := preflight(origin, c[0], c[1], c[2])
			require.Equal(t, origin, header.Get("Access-Control-Allow-Origin"), c)
			require.Contains(t, header.Get("Access-Control-Allow-Methods"), c[1])
			require.Equal(t, c[2], strings.ToLower(header.Get("Access-Control-Allow-Headers")))
		}
		answer, err := get(limited(t), s.h1, s.url+"/workflows/a/chatData", "Origin", origin)
		require.NoError(t, err)
		require.Equal(t, origin, answer.header.Get("Access-Control-Allow-Origin"))
		exposed := answer.header.Get("Access-Control-Expose-Headers")
		require.Contains(t, strings.ToLower(exposed), "grpc-status")
		for _, name := range []string{"Stream-Next-Offset", "Stream-Up-To-Date", "Stream-Closed", "Stream-Cursor", "ETag"} {
			require.Contains(t, strings.ToLower(exposed), strings.ToLower(name))
		}
	}
	for _, origin := range []string{"https://example.net", "http://example.com", "https://example.com.evil.net", "null"} {
		header := preflight(origin, chatfeedv1connect.FeedServiceSubscribeProcedure, "POST", "content-type")
		require.Empty(t, header.Get("Access-Control-Allow-Origin"), origin)
		answer, err := get(limited(t), s.h1, s.url+"/workflows/a/chatData", "Origin", origin)
		require.NoError(t, err)
		require.Empty(t, answer.header.Get("Access-Control-Allow-Origin"), origin)
	}
}

func TestReflectionListsTheServices(t *testing.T) {
	t.Parallel()
	with := serve(t, &source{}, config{rpc: rpc.Config{Chat: &chat{}, Recorder: recorder(nil)}})
	without := serve(t, &source{}, config{})
	for s, want := range map[*server][]protoreflect.FullName{
		with:    {chatfeedv1connect.ChatServiceName, chatfeedv1connect.FeedServiceName, chatfeedv1connect.RecordServiceName},
		without: {chatfeedv1connect.FeedServiceName},
	} {
		stream := grpcreflect.NewClient(s.h2, s.url, connect.WithGRPC()).NewStream(limited(t))
		names, err := stream.ListServices()
		require.NoError(t, err)
		slices.Sort(names)
		require.Equal(t, want, names)
		files, err := stream.FileContainingSymbol("chatfeed.v1.Item")
		require.NoError(t, err)
		require.NotEmpty(t, files)
		_, err = stream.Close()
		require.NoError(t, err)
	}
}

func TestHealthFollowsReadiness(t *testing.T) {
	t.Parallel()
	var away atomic.Bool
	s := serve(t, &source{}, config{rpc: rpc.Config{Ready: func(context.Context) error {
		if away.Load() {
			return errInternal
		}
		return nil
	}}})
	// The messages of grpc.health.v1 have the fields of these.
	client := connect.NewClient[wrapperspb.StringValue, wrapperspb.Int32Value](
		s.h2, s.url+"/grpc.health.v1.Health/Check", connect.WithGRPC())
	status := func(service string) (int32, error) {
		response, err := client.CallUnary(limited(t), connect.NewRequest(wrapperspb.String(service)))
		if err != nil {
			return 0, err
		}
		return response.Msg.GetValue(), nil
	}
	http := func(path string) int {
		answer, err := get(limited(t), s.h1, s.url+path)
		require.NoError(t, err)
		return answer.status
	}
	for _, service := range []string{"", chatfeedv1connect.FeedServiceName} {
		away.Store(false)
		got, err := status(service)
		require.NoError(t, err)
		require.EqualValues(t, 1, got, "serving")
		require.Equal(t, 200, http("/readyz"))
		require.Equal(t, 200, http("/healthz"))
		away.Store(true)
		got, err = status(service)
		require.NoError(t, err)
		require.EqualValues(t, 2, got, "not serving")
		require.Equal(t, 503, http("/readyz"))
		require.Equal(t, 200, http("/healthz"))
	}
	_, err := status(chatfeedv1connect.ChatServiceName) // which is not served
	require.Equal(t, connect.CodeNotFound, connect.CodeOf(err))
}

func TestTheIndexPageListsWhatIsServed(t *testing.T) {
	t.Parallel()
	s := serve(t, &source{}, config{})
	answer, err := get(limited(t), s.h1, s.url+"/")
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, answer.status)
	require.Contains(t, string(answer.body), "/workflows/{id}/chatData")
}

func TestAConnectionServesOnAfterItWasIdleLongerThanTheWriteTimeout(t *testing.T) {
	t.Parallel()
	const preflight = "OPTIONS /workflows/a/chatData HTTP/1.1\r\nHost: a\r\nOrigin: https://example.com\r\n" +
		"Access-Control-Request-Method: GET\r\n\r\n"
	for _, next := range []string{preflight, "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", "GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n"} {
		synctest.Test(t, func(t *testing.T) {
			server := serveInBubble(t, &source{}, rpc.Config{WriteTimeout: time.Second, Origins: []string{"https://example.com"}})
			conn, err := server.dial(t.Context())
			require.NoError(t, err)
			defer func() { _ = conn.Close() }()
			answers := bufio.NewReader(conn)
			for _, request := range []string{"GET /workflows/a/chatData HTTP/1.1\r\nHost: a\r\n\r\n", next} {
				_, err = conn.Write([]byte(request))
				require.NoError(t, err)
				answer, err := http.ReadResponse(answers, nil)
				require.NoError(t, err, request)
				_, err = io.Copy(io.Discard, answer.Body)
				require.NoError(t, err)
				require.NoError(t, answer.Body.Close())
				elapse(time.Minute) // the client has nothing to ask
			}
		})
	}
}

func TestClientsOfTheTextModeAreToldWhatToUse(t *testing.T) {
	t.Parallel()
	s := serve(t, &source{}, config{rpc: rpc.Config{Origins: []string{"https://example.com"}}})
	got, err := do(limited(t), s.h1, http.MethodPost, s.url+chatfeedv1connect.FeedServiceSubscribeProcedure, "AAAAAAA=",
		"Content-Type", "application/grpc-web-text", "Origin", "https://example.com")
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, got.status, "else the client does not look at what is said")
	require.Equal(t, "12", got.header.Get("Grpc-Status"))
	require.Contains(t, got.header.Get("Grpc-Message"), "mode=grpcweb")
	require.Contains(t, got.header.Get("Access-Control-Expose-Headers"), "Grpc-Message")
}
