package rpc_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"chatfeed/feed"
	"chatfeed/rpc"
	v1 "chatfeed/rpc/chatfeedv1"
	"chatfeed/rpc/chatfeedv1/chatfeedv1connect"
)

// forgetful sends requests whose bodies end when it says so.
type forgetful struct {
	t      *testing.T
	client *http.Client
}

func newForgetful(t *testing.T, server *pipes, version2 bool) *forgetful {
	transport := &http.Transport{
		Protocols:   protocols(!version2, version2),
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return server.dial(ctx) },
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &forgetful{t, &http.Client{Transport: transport}}
}

// send sends the beginning of a body and returns what ends it.
func (f *forgetful) send(method, path, contentType, begin string) (*http.Response, io.Closer) {
	f.t.Helper()
	body, rest := io.Pipe()
	f.t.Cleanup(func() { _ = rest.CloseWithError(io.ErrUnexpectedEOF) })
	request, err := http.NewRequestWithContext(f.t.Context(), method, "http://bubble"+path, struct {
		io.Reader
		io.Closer
	}{io.MultiReader(strings.NewReader(begin), body), body})
	require.NoError(f.t, err)
	request.Header.Set("Content-Type", contentType)
	response, err := f.client.Do(request)
	require.NoError(f.t, err)
	f.t.Cleanup(func() { _ = response.Body.Close() })
	return response, rest
}

func forEachVersion(t *testing.T, run func(t *testing.T, f *forgetful)) {
	for name, version2 := range map[string]bool{"HTTP/1.1": false, "h2c": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				item := &feed.Item{WorkflowID: "wf", ID: "one", Type: "log", CreatedAt: 5, Body: []byte(`{"message":"x"}`)}
				run(t, newForgetful(t, serveInBubble(t, fixed(item), rpc.Config{Heartbeat: time.Second}), version2))
			})
		})
	}
}

func TestARequestThatDoesNotEndIsAnsweredAfterTheReadTimeout(t *testing.T) {
	t.Parallel()
	forEachVersion(t, func(t *testing.T, f *forgetful) {
		const large = 5 << 20 // more than a message may have
		for _, c := range []struct{ path, contentType, begin string }{
			{chatfeedv1connect.FeedServiceGetChatDataProcedure, "application/json", `{"workflowId": "wf"`},
			{chatfeedv1connect.FeedServiceGetChatDataProcedure, "application/json", strings.Repeat(" ", large)},
			{chatfeedv1connect.FeedServiceSubscribeProcedure, "application/connect+json", "\x00\x00"},
			{chatfeedv1connect.FeedServiceSubscribeProcedure, "application/connect+json", "\x00\x00\x00\x00\x09{"},
			{chatfeedv1connect.FeedServiceSubscribeProcedure, "application/connect+json", "\x00\x00\x00\x00\x02{}"},
			{chatfeedv1connect.FeedServiceGetChatDataProcedure, "application/grpc-web+proto", "\x00\x00"},
			{"/hiddenID", "application/json", "{"},
		} {
			begun := time.Now()
			response, _ := f.send(http.MethodPost, c.path, c.contentType, c.begin)
			answer, err := io.ReadAll(response.Body)
			require.NoError(t, err)
			require.LessOrEqual(t, time.Since(begun), 31*time.Second)
			for _, inside := range []string{"i/o", "deadline exceeded", "pipe"} {
				require.NotContains(t, string(answer), inside)
			}
			if strings.HasPrefix(c.path, "/chatfeed") && len(c.begin) < large && !strings.Contains(c.contentType, "grpc") {
				require.Contains(t, string(answer), "the request has not ended within 30s")
				require.Contains(t, string(answer), `"deadline_exceeded"`)
			}
		}
	})
}

func TestAStreamOutlivesTheReadTimeout(t *testing.T) {
	t.Parallel()
	forEachVersion(t, func(t *testing.T, f *forgetful) {
		message, err := proto.Marshal(&v1.SubscribeRequest{Cursors: []*v1.Cursor{{WorkflowId: "wf"}}})
		require.NoError(t, err)
		subscribe := string(append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...))
		goesOn := func(response *http.Response) {
			t.Helper()
			begun, some := time.Now(), make([]byte, 5)
			for time.Since(begun) < 3*time.Minute {
				_, err := io.ReadFull(response.Body, some)
				require.NoError(t, err, "after %v: %s, %q", time.Since(begun), response.Status, some)
			}
			require.NoError(t, response.Body.Close())
		}
		for _, c := range []struct{ method, path, contentType, begin string }{
			{http.MethodPost, chatfeedv1connect.FeedServiceSubscribeProcedure, "application/connect+proto", subscribe},
			{http.MethodGet, "/workflows/wf/events", "text/plain", "what nobody reads"},
			{http.MethodGet, "/workflows/wf/events", "text/plain", strings.Repeat("what nobody reads", 20_000)},
		} {
			request, err := http.NewRequestWithContext(t.Context(), c.method, "http://bubble"+c.path, bytes.NewReader([]byte(c.begin)))
			require.NoError(t, err)
			request.Header.Set("Content-Type", c.contentType)
			whole, err := f.client.Do(request)
			require.NoError(t, err)
			goesOn(whole)
		}
	})
}
