package rpc_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"chatfeed/db"
	"chatfeed/feed"
	"chatfeed/rpc"
	v1 "chatfeed/rpc/chatfeedv1"
	"chatfeed/rpc/chatfeedv1/chatfeedv1connect"
)

// narrow makes a connection take little that its client has not read.
func narrow(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetWriteBuffer(16 << 10)
	}
}

// large is items of so many bytes.
func large(workflow string, n, size int) []db.Item {
	items := make([]db.Item, n)
	for i := range items {
		items[i] = db.Message{WorkflowID: workflow, ID: fmt.Sprint(i), Role: "user", Message: strings.Repeat("x", size)}
	}
	return items
}

// raw opens a stream and gives its bytes, of which nothing is read ahead.
func (s *server) raw(ctx context.Context, t *testing.T, over *http.Client, workflow string) io.ReadCloser {
	t.Helper()
	message, err := proto.Marshal(&v1.SubscribeRequest{Cursors: []*v1.Cursor{{WorkflowId: workflow}}})
	require.NoError(t, err)
	body := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message)))
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+chatfeedv1connect.FeedServiceSubscribeProcedure,
		bytes.NewReader(append(body, message...)))
	require.NoError(t, err)
	request.Header.Set("Content-Type", "application/connect+proto")
	response, err := over.Do(request)
	require.NoError(t, err)
	t.Cleanup(func() { _ = response.Body.Close() })
	return response.Body
}

// versions are those of HTTP.
var versions = map[string]transport{
	"HTTP/1.1": streaming("", h1),
	"h2c":      streaming("", h2),
	"TLS":      streaming("", h2).over(true),
}

func (tr transport) client(s *server, version string) *http.Client {
	if version == "HTTP/1.1" {
		return s.h1
	}
	return s.h2
}

func TestAClientThatStopsReadingIsDisconnectedAndOthersGoOn(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	for version, tr := range versions {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			wf := version
			s := tr.start(t, d, config{rpc: rpc.Config{WriteTimeout: 4 * time.Second}, connected: narrow})
			fast := tr.follow(t, s, all(wf))
			fast.history(t)
			slow := s.raw(limited(t), t, tr.client(s, version), wf)
			s.followed(t, 2)

			items := large(wf, 8, 256<<10)
			d.append(t, items...)
			requireSame(t, d.wanted(t, items), fast.items(t, len(items)))
			s.followed(t, 1)
			d.append(t, db.Log{WorkflowID: wf, ID: "later"})
			requireSame(t, []string{"later"}, ids(fast.items(t, 1)))

			_, err := io.Copy(io.Discard, slow)
			require.Error(t, err, "the stream was not aborted")
		})
	}
}

func TestASilentStreamLongerThanTheWriteTimeoutIsNotCut(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	for version, tr := range versions {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			wf := version
			s := tr.start(t, d, config{rpc: rpc.Config{WriteTimeout: 300 * time.Millisecond, Heartbeat: time.Second}})
			r := tr.follow(t, s, all(wf))
			r.history(t)
			require.Empty(t, r.frame(t).items) // a second later
			d.append(t, db.Log{WorkflowID: wf, ID: "one"})
			requireSame(t, []string{"one"}, ids(r.items(t, 1)))
			require.Empty(t, r.frame(t).items)

			got, err := chatData(limited(t), tr.client(s, version), s.url, wf+" silent", pairs([]string{"wait", "700ms"}))
			require.NoError(t, err)
			require.Empty(t, got.items)
		})
	}
}

// A write is stuck when nothing of it moves. The connection is as slow as 64 KiB in a tenth of the timeout, which for the
// default timeout would be 22 KB/s.
func TestASlowClientThatKeepsReadingReceivesTheLargestItem(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	for version, tr := range versions {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			wf := version
			s := tr.start(t, d, config{
				rpc: rpc.Config{WriteTimeout: 500 * time.Millisecond}, connected: narrow,
			})
			d.append(t, large(wf, 1, 1<<20)...)
			stream := s.raw(limited(t), t, tr.client(s, version), wf)
			pace := time.NewTicker(50 * time.Millisecond)
			defer pace.Stop()
			for read := int64(0); read < 1<<20; {
				<-pace.C
				n, err := io.CopyN(io.Discard, stream, 64<<10)
				read += n
				if err != nil {
					require.GreaterOrEqual(t, read, int64(1<<20), "cut off: %v", err)
				}
			}
		})
	}
}

// What is left of an answer when its handler returns is a write like any other.
func TestAClientThatLeavesTheEndOfAnAnswerUnreadIsDisconnected(t *testing.T) {
	t.Parallel()
	const window = 64 << 10 // what the client takes without reading
	item := func(size int) *source {
		return fixed(&feed.Item{
			WorkflowID: "wf", ID: "one", Type: "log", CreatedAt: 5, Body: []byte(`{"message":"` + strings.Repeat("x", size) + `"}`),
		})
	}
	ask := func(t *testing.T, source *source) *http.Response {
		server := serveInBubble(t, source, rpc.Config{WriteTimeout: time.Second})
		transport := &http.Transport{
			Protocols:   protocols(false, true),
			HTTP2:       &http.HTTP2Config{MaxReceiveBufferPerStream: window},
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return server.dial(ctx) },
		}
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://bubble/workflows/wf/chatData", nil)
		require.NoError(t, err)
		request.Header.Set("Accept-Encoding", "identity")
		response, err := (&http.Client{Transport: transport}).Do(request)
		require.NoError(t, err)
		t.Cleanup(func() {
			_ = response.Body.Close()
			transport.CloseIdleConnections()
		})
		return response
	}
	synctest.Test(t, func(t *testing.T) {
		small, err := io.ReadAll(ask(t, item(0)).Body)
		require.NoError(t, err)
		without := len(small) - len("], \"upToDate\": true}\n")

		response := ask(t, item(window-without)) // all but these bytes fit
		elapse(time.Minute)                      // the time that the client has for them, and more
		_, err = io.ReadAll(response.Body)
		require.Error(t, err, "the server still waited")
	})
}
