package rpc_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"chatfeed/db"
	"chatfeed/rpc"
)

// socket is a client's socket.
type socket struct {
	*websocket.Conn

	ctx context.Context //nolint:containedctx // of the test
	t   *testing.T
}

func openSocket(t *testing.T, s *server) *socket {
	t.Helper()
	ctx := limited(t)
	conn, _, err := dial(ctx, s, websocket.DialOptions{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.CloseNow() })
	return &socket{conn, ctx, t}
}

func (s *socket) say(format string, args ...any) {
	s.t.Helper()
	require.NoError(s.t, s.Write(s.ctx, websocket.MessageText, fmt.Appendf(nil, format, args...)))
}

// acked says something and reads until it is answered. It returns the items before the answer, and the answer's error.
func (s *socket) acked(id, format string, args ...any) (before []item, err *connect.Error) {
	s.t.Helper()
	s.say(format, args...)
	for {
		got, err := hear(s.ctx, s.Conn)
		require.NoError(s.t, err)
		if got.ack != nil {
			require.Equal(s.t, id, *got.ack)
			return before, got.error
		}
		before = append(before, got.items...)
	}
}

// items reads until so many items have come.
func (s *socket) items(n int) []string {
	s.t.Helper()
	var all []string
	for len(all) < n {
		got, err := hear(s.ctx, s.Conn)
		require.NoError(s.t, err)
		all = append(all, ids(got.items)...)
	}
	return all
}

// ends reads until the socket is closed, and returns the status code.
func (s *socket) ends() websocket.StatusCode {
	for {
		if _, _, err := s.Read(s.ctx); err != nil {
			return websocket.CloseStatus(err)
		}
	}
}

func TestASocketChangesWhatItFollows(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := serve(t, d.source(t), config{rpc: rpc.Config{Heartbeat: patience}})
	for _, wf := range []string{"a", "b"} {
		d.append(t, db.Message{WorkflowID: wf, ID: wf + "1"}, db.Log{WorkflowID: wf, ID: wf + "2"},
			db.Tool{WorkflowID: wf, CallID: wf, Name: "n", State: db.InputAvailable})
	}
	c := openSocket(t, s)
	_, err := c.acked("1", `{"id": "1", "subscribe": [{"workflow": "a"}]}`)
	require.Nil(t, err)
	require.Equal(t, []string{"a1", "a2"}, c.items(2))
	_, err = c.acked("2", `{"id": "2", "subscribe": [{"workflow": "b", "last": 1}], "types": ["log", "tool"]}`)
	require.Nil(t, err)
	require.Equal(t, []string{"b:input-available"}, c.items(1), "the types are those of all workflows, from now on")
	d.append(t, db.Message{WorkflowID: "a", ID: "a3"}, db.Log{WorkflowID: "a", ID: "a4"})
	require.Equal(t, []string{"a4"}, c.items(1))
	before, err := c.acked("", `{"unsubscribe": ["a"]}`)
	require.Nil(t, err)
	require.Empty(t, before)
	d.append(t, db.Log{WorkflowID: "a", ID: "a5"})
	d.append(t, db.Log{WorkflowID: "b", ID: "b4"})
	require.Equal(t, []string{"b4"}, c.items(1))
	_, err = c.acked("5", `{"id": "5", "unsubscribe": ["b"], "subscribe": [{"workflow": "b", "after": "1970-01-01T00:00:01Z"}, {"workflow": "a", "after": 1.5}]}`)
	require.Nil(t, err)
	require.ElementsMatch(t, []string{"a2", "a:input-available", "a4", "a5", "b2", "b:input-available", "b4"}, c.items(7))
}

func TestACommandThatCannotBeCarriedOutChangesNothing(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := serve(t, d.source(t), config{rpc: rpc.Config{Heartbeat: patience}})
	c := openSocket(t, s)
	_, err := c.acked("", `{"subscribe": [{"workflow": "there"}]}`)
	require.Nil(t, err)
	long := strings.Repeat("x", 1001)
	many, starts := make([]string, 1000), strings.Builder{}
	for i := range many {
		fmt.Fprintf(&starts, `{"workflow": "%d"},`, i)
	}
	for command, want := range map[string][]string{
		`{"id": "1"`:                          {"message:", "JSON object"},
		`[]`:                                  {"message:", "JSON object"},
		`{"id": "1"}`:                         {"message:", "asks for nothing"},
		`{"subscribed": []}`:                  {"message:", "subscribed"},
		`{"id": "` + long + `", "types": []}`: {"id:", "1001 bytes", "200 bytes"},
		`{"types": ["video"], "subscribe": [{"workflow": "new"}]}`:                       {"types:", "video", "message, log"},
		`{"subscribe": [{"workflow": ""}]}`:                                              {"subscribe[0].workflow:", "empty"},
		`{"subscribe": [{"workflow": "a"}, {"workflow": "` + long + `"}]}`:               {"subscribe[1].workflow:", "1001 bytes"},
		`{"subscribe": [{"workflow": "a\u0000"}]}`:                                       {"subscribe[0].workflow:", "NUL"},
		`{"subscribe": [{"workflow": "there"}]}`:                                         {"subscribe[0].workflow:", "already"},
		`{"subscribe": [{"workflow": "a"}, {"workflow": "a"}]}`:                          {"subscribe[1].workflow:", "twice"},
		`{"subscribe": [{"workflow": "a", "after": "soon"}]}`:                            {"after:", "soon", "RFC 3339"},
		`{"subscribe": [{"workflow": "a", "after": 99999999999}]}`:                       {"subscribe[0].after:", "ahead"},
		`{"subscribe": [{"workflow": "a", "after": 1, "last": 1}]}`:                      {"subscribe[0].after:", "backwards"},
		`{"subscribe": [{"workflow": "a", "last": 1001}]}`:                               {"subscribe[0].last:", "1001"},
		`{"subscribe": [` + starts.String() + `{"workflow": "new"}]}`:                    {"subscribe:", "1001", "1000"},
		`{"subscribe": [` + strings.TrimSuffix(starts.String(), ",") + `]}`:              {"subscribe:", "1001 workflows", "1000"},
		`{"unsubscribe": ["new"]}`:                                                       {"unsubscribe[0]:", "not subscribed"},
		`{"unsubscribe": ["there", "there"], "subscribe": [{"workflow": "new"}]}`:        {"unsubscribe[1]:", "not subscribed"},
		`{"unsubscribe": ["there"], "subscribe": [{"workflow": "new"}], "types": ["!"]}`: {"types:"},
	} {
		c.say("%s", command)
		var got said
		for got.ack == nil {
			var err error
			got, err = hear(c.ctx, c.Conn)
			require.NoError(t, err)
		}
		require.NotNil(t, got.error, command)
		require.Equal(t, connect.CodeInvalidArgument, got.error.Code(), command)
		for _, part := range want {
			require.Contains(t, got.error.Message(), part, command)
		}
	}
	d.append(t, db.Log{WorkflowID: "new", ID: "new"})
	d.append(t, db.Log{WorkflowID: "there", ID: "there"})
	require.Equal(t, []string{"there"}, c.items(1))
}

// The answer to a command stands between what came under the old terms and what comes under the new ones.
func TestItemsAreInOrderAroundTheAnswersOfASocket(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := serve(t, d.source(t), config{rpc: rpc.Config{Heartbeat: patience}})
	c := openSocket(t, s)
	writing, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for n := 0; ; n++ {
			select {
			case <-writing:
				return
			default:
				d.append(t, db.Log{WorkflowID: "w", ID: fmt.Sprint(n)})
			}
		}
	}()
	cursor := int64(0)
	take := func(items []item) {
		for _, one := range items {
			require.Greater(t, one.At, cursor)
			cursor = one.At
		}
	}
	for n := range 200 {
		before, err := c.acked("in", `{"id": "in", "subscribe": [{"workflow": "w", "after": %s}]}`, seconds(cursor))
		require.Nil(t, err)
		require.Empty(t, before, "an item after the answer to unsubscribe")
		for range rand.IntN(3) {
			got, err := hear(c.ctx, c.Conn)
			require.NoError(t, err)
			take(got.items)
		}
		before, err = c.acked("out", `{"id": "out", "unsubscribe": ["w"]}`)
		require.Nil(t, err)
		take(before)
		if n%2 == 1 {
			cursor = max(0, cursor-rand.Int64N(1000))
		}
	}
	close(writing)
	<-done
}

func TestASocketIsClosedWithACodeThatSaysWhatToDo(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := serve(t, d.source(t), config{rpc: rpc.Config{Heartbeat: patience}})

	binary := openSocket(t, s)
	require.NoError(t, binary.Write(binary.ctx, websocket.MessageBinary, []byte("{}")))
	require.Equal(t, websocket.StatusUnsupportedData, binary.ends())

	large := openSocket(t, s)
	_ = large.Write(large.ctx, websocket.MessageText, make([]byte, 5<<20)) // the server closes before it has all
	require.Equal(t, websocket.StatusMessageTooBig, large.ends())

	left := openSocket(t, s)
	s.followed(t, 1)
	require.NoError(t, left.Close(websocket.StatusNormalClosure, ""))
	s.followed(t, 0)

	expiring := serve(t, d.source(t), config{rpc: rpc.Config{Heartbeat: patience, Gate: expiring(time.Second)}})
	require.Equal(t, websocket.StatusCode(3000), openSocket(t, expiring).ends())

	stopping := openSocket(t, s)
	s.followed(t, 1)
	s.feed.Drain()
	require.Equal(t, websocket.StatusServiceRestart, stopping.ends())
	require.Equal(t, websocket.StatusServiceRestart, openSocket(t, s).ends())
}

func TestASocketWhoseClientDoesNotAnswerPingsIsClosed(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := serve(t, d.source(t), config{rpc: rpc.Config{Heartbeat: 50 * time.Millisecond, WriteTimeout: time.Second}})
	answering := openSocket(t, s)
	ended := make(chan websocket.StatusCode, 1)
	go func() { ended <- answering.ends() }()
	silent := openSocket(t, s) // nobody reads, so nobody answers
	s.followed(t, 2)
	s.followed(t, 1)
	require.Equal(t, websocket.StatusPolicyViolation, silent.ends())
	select {
	case code := <-ended:
		require.Fail(t, "the other was closed, too", "%v", code)
	default:
	}
}

func TestOnlySocketsOfTheProtocolFromAllowedPagesAreOpened(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := serve(t, d.source(t), config{rpc: rpc.Config{Origins: []string{"https://*.example.com"}}})
	for _, c := range []struct {
		options websocket.DialOptions
		want    int
	}{
		{websocket.DialOptions{}, http.StatusSwitchingProtocols},
		{websocket.DialOptions{HTTPHeader: http.Header{"Origin": {s.url}}}, http.StatusSwitchingProtocols},
		{websocket.DialOptions{HTTPHeader: http.Header{"Origin": {"https://app.example.com"}}}, http.StatusSwitchingProtocols},
		{websocket.DialOptions{HTTPHeader: http.Header{"Origin": {"http://app.example.com"}}}, http.StatusForbidden},
		{websocket.DialOptions{HTTPHeader: http.Header{"Origin": {"https://example.org"}}}, http.StatusForbidden},
		{websocket.DialOptions{Subprotocols: []string{"chat"}}, http.StatusBadRequest},
		{websocket.DialOptions{Subprotocols: []string{"chat", "chatfeed.v1.json"}}, http.StatusSwitchingProtocols},
	} {
		conn, response, err := dial(limited(t), s, c.options)
		require.Equal(t, c.want, response.StatusCode, "%+v: %v", c.options, err)
		if err == nil {
			require.Equal(t, "chatfeed.v1.json", conn.Subprotocol())
			require.NoError(t, conn.CloseNow())
		}
	}
	for _, client := range []*http.Client{s.h1, s.h2} {
		got, err := get(limited(t), client, s.url+"/socket")
		require.NoError(t, err)
		require.Equal(t, http.StatusBadRequest, got.status)
		require.Contains(t, string(got.body), "WebSocket")
	}
}

func TestPagesAreCompressedForWhoOffersIt(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	text := strings.Repeat("The sea is wide. ", 10_000)
	d.append(t, db.Message{WorkflowID: "w", Message: text})
	s := serve(t, d.source(t), config{})
	conn, response, err := dial(limited(t), s, websocket.DialOptions{CompressionMode: websocket.CompressionNoContextTakeover})
	require.NoError(t, err)
	require.Contains(t, response.Header.Get("Sec-WebSocket-Extensions"), "permessage-deflate")
	defer func() { _ = conn.CloseNow() }()
	c := &socket{conn, limited(t), t}
	_, refused := c.acked("", `{"subscribe": [{"workflow": "w"}]}`)
	require.Nil(t, refused)
	var got said
	for len(got.items) == 0 {
		got, err = hear(c.ctx, conn)
		require.NoError(t, err)
	}
	require.Equal(t, text, got.items[0].Body["message"])
}
