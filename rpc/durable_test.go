package rpc_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"

	"chatfeed/db"
	"chatfeed/feed"
	"chatfeed/rpc"
)

// stream makes a request of the Durable Streams protocol; the query is pairs of name and value.
func (s *server) stream(t *testing.T, workflow string, query ...string) answer {
	t.Helper()
	return s.streamWith(t, workflow, nil, query...)
}

func (s *server) streamWith(t *testing.T, workflow string, headers []string, query ...string) answer {
	t.Helper()
	values := url.Values{}
	for i := 0; i+1 < len(query); i += 2 {
		values.Add(query[i], query[i+1])
	}
	got, err := get(limited(t), s.h1, streamAddress(s, workflow)+"?"+values.Encode(), headers...)
	require.NoError(t, err)
	return got
}

// elements are the ids of the items of an answer.
func (a answer) elements(t *testing.T) []string {
	t.Helper()
	require.Equal(t, http.StatusOK, a.status, "%s", a.body)
	require.Equal(t, "application/json", a.header.Get("Content-Type"))
	var array []json.RawMessage
	require.NoError(t, json.Unmarshal(a.body, &array))
	got, err := readREST([]byte(`{"items": ` + string(a.body) + `}`))
	require.NoError(t, err)
	return ids(got.items)
}

// logs appends logs with these ids and returns the offset of each.
func (d *database) logs(t *testing.T, workflow string, ids ...string) map[string]string {
	t.Helper()
	for _, id := range ids {
		d.append(t, db.Log{WorkflowID: workflow, ID: id, Level: "info"})
	}
	offsets := map[string]string{}
	for id, at := range d.cursors(t, workflow) {
		offsets[id] = offset(at)
	}
	return offsets
}

func TestAStreamIsReadPageByPageToItsEnd(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := serve(t, d.source(t), config{feed: feed.Config{Window: feed.Bounds{Items: 2}}})
	at := d.logs(t, "wf", "1", "2", "3", "4", "5")
	var got, seen []string
	from := "-1"
	for {
		page := s.stream(t, "wf", "offset", from)
		items := page.elements(t)
		next := page.header.Get("Stream-Next-Offset")
		got = append(got, items...)
		require.Equal(t, at[got[len(got)-1]], next)
		require.Greater(t, next, from)
		require.Empty(t, page.header.Get("Stream-Closed"))
		seen = append(seen, next)
		if from = next; page.header.Get("Stream-Up-To-Date") == "true" {
			break
		}
		require.Len(t, items, 2)
	}
	require.Equal(t, []string{"1", "2", "3", "4", "5"}, got)
	require.IsIncreasing(t, seen)
	end := s.stream(t, "wf", "offset", from)
	require.Equal(t, "[]", string(end.body))
	require.Equal(t, from, end.header.Get("Stream-Next-Offset"))
	require.Equal(t, "true", end.header.Get("Stream-Up-To-Date"))
	require.Equal(t, []string{"1", "2"}, s.stream(t, "wf").elements(t), "without an offset it begins at the beginning")

	now := s.stream(t, "wf", "offset", "now")
	require.Equal(t, "[]", string(now.body))
	require.Equal(t, at["5"], now.header.Get("Stream-Next-Offset"))
	require.Equal(t, "true", now.header.Get("Stream-Up-To-Date"))
	require.Equal(t, "no-store", now.header.Get("Cache-Control"))
	require.Empty(t, now.header.Get("ETag"))
}

// A page of some types that has no more after it takes its client past the items of other types.
func TestAnOffsetIsPastTheItemsOfOtherTypes(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := serve(t, d.source(t), config{})
	at := d.logs(t, "wf", "1", "2")
	page := s.stream(t, "wf", "types", "message")
	require.Empty(t, page.elements(t))
	require.Equal(t, at["2"], page.header.Get("Stream-Next-Offset"))
	d.append(t, db.Message{WorkflowID: "wf", ID: "m"})
	require.Equal(t, []string{"m"}, s.stream(t, "wf", "types", "message", "offset", at["2"]).elements(t))
}

func TestAStreamTakesTheCursorsOfAnyTransport(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := serve(t, d.source(t), config{})
	d.logs(t, "wf", "1", "2", "3")
	at := d.cursors(t, "wf")["2"]
	for _, cursor := range []string{
		offset(at), seconds(at), strconv.FormatInt(at, 10) + "e-6", time.UnixMicro(at).UTC().Format(time.RFC3339Nano),
		time.UnixMicro(at).In(time.FixedZone("", -3600)).Format(time.RFC3339Nano),
	} {
		require.Equal(t, []string{"3"}, s.stream(t, "wf", "offset", cursor).elements(t), cursor)
	}
	require.Equal(t, []string{"1", "2", "3"}, s.stream(t, "wf", "offset", "0").elements(t))
	// And an offset is a cursor elsewhere, once it is a number of seconds.
	next := s.stream(t, "wf").header.Get("Stream-Next-Offset")
	d.logs(t, "wf", "4")
	got, err := chatData(limited(t), s.h1, s.url, "wf", url.Values{"afterTimestamp": {next[:13] + "." + next[13:]}})
	require.NoError(t, err)
	require.Equal(t, []string{"4"}, ids(got.items))
}

func TestAnInvalidRequestForAStreamSaysWhatIsAccepted(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := serve(t, d.source(t), config{})
	d.logs(t, "wf", "1")
	for _, c := range []struct{ query, message string }{
		{"offset=", `offset: "" is not an offset; -1 for the beginning, now for the end, a Stream-Next-Offset, and a cursor in Unix seconds with up ` +
			`to six decimals or as RFC 3339 are accepted`},
		{"offset=5x", `offset: "5x" is not an offset; `},
		{"offset=0,1", `offset: "0,1" is not an offset; `},
		{"offset=1e%2B5+", `offset: "1e+5 " is not an offset; `},
		{"offset=1e+5", `offset: "1e 5" is not an offset; `},
		{"offset=%225%22", `offset: "\"5\"" is not an offset; `},
		{"offset=9999999999999999999", `offset: "9999999999999999999" is not an offset; `},
		{"offset=-1&offset=now", `offset: is given 2 times; one is accepted`},
		{"offset=9000000000000000000", `is ahead of the server's clock and later than the workflow's newest item`},
		{"offset=9000000000000000000&live=sse", `is ahead of the server's clock and later than the workflow's newest item`},
		{"live=sse", `offset: is missing; with live, -1, now and a Stream-Next-Offset are accepted`},
		{"live=long-poll", `offset: is missing; with live, `},
		{"offset=-1&live=", `live: is ""; long-poll and sse are accepted`},
		{"offset=-1&live=websocket", `live: is "websocket"; long-poll and sse are accepted`},
		{"offset=-1&types=nothing", `types: `},
	} {
		answer, err := get(limited(t), s.h1, streamAddress(s, "wf")+"?"+c.query)
		require.NoError(t, err)
		require.Equal(t, connect.CodeInvalidArgument, connect.CodeOf(answer.error()), "%s: %v", c.query, answer.error())
		require.ErrorContains(t, answer.error(), c.message, c.query)
		require.Equal(t, "no-store", answer.header.Get("Cache-Control"))
		require.Equal(t, "nosniff", answer.header.Get("X-Content-Type-Options"))
	}
	require.Equal(t, connect.CodeNotFound, connect.CodeOf(s.stream(t, "unknown").error()))
	require.ErrorContains(t, s.stream(t, "unknown").error(), "no workflow with this id has items")
}

func TestAStreamIsOnlyRead(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := serve(t, d.source(t), config{})
	d.logs(t, "wf", "1")
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch} {
		answer, err := do(limited(t), s.h1, method, streamAddress(s, "wf"), "[1]", "Content-Type", "application/json")
		require.NoError(t, err)
		require.Equal(t, http.StatusMethodNotAllowed, answer.status)
		require.Equal(t, "GET, HEAD", answer.header.Get("Allow"))
		require.Equal(t, "nosniff", answer.header.Get("X-Content-Type-Options"))
	}
}

func TestTheHeadOfAStreamIsItsEnd(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := serve(t, d.source(t), config{})
	head := func(workflow string) answer {
		answer, err := do(limited(t), s.h1, http.MethodHead, streamAddress(s, workflow), "")
		require.NoError(t, err)
		require.Empty(t, answer.body)
		return answer
	}
	at := d.logs(t, "wf", "1", "2")
	open := head("wf")
	require.Equal(t, http.StatusOK, open.status)
	require.Equal(t, at["2"], open.header.Get("Stream-Next-Offset"))
	require.Empty(t, open.header.Get("Stream-Closed"))
	require.Equal(t, "application/json", open.header.Get("Content-Type"))
	require.Equal(t, "no-store", open.header.Get("Cache-Control"))
	require.Equal(t, "nosniff", open.header.Get("X-Content-Type-Options"))
	require.Equal(t, http.StatusNotFound, head("unknown").status)
	d.append(t, db.Progress{WorkflowID: "wf", ID: "end", Final: true})
	closed := head("wf")
	require.Equal(t, "true", closed.header.Get("Stream-Closed"))
	require.Equal(t, offset(d.cursors(t, "wf")["end"]), closed.header.Get("Stream-Next-Offset"))
}

func TestAClosedStreamSaysSoAndIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := serve(t, d.source(t), config{rpc: rpc.Config{Heartbeat: time.Hour}})
	d.logs(t, "wf", "1", "2")
	d.append(t, db.Progress{WorkflowID: "wf", ID: "end", Final: true})
	end := offset(d.cursors(t, "wf")["end"])
	for _, c := range []struct {
		query  []string
		status int
		items  int
	}{
		{[]string{"offset", "-1"}, 200, 3},
		{[]string{"offset", "-1", "types", "log"}, 200, 2},
		{[]string{"offset", end}, 200, 0},
		{[]string{"offset", "now"}, 200, 0},
		{[]string{"offset", "-1", "live", "long-poll"}, 200, 3},
		{[]string{"offset", end, "live", "long-poll"}, 204, 0},
		{[]string{"offset", "now", "live", "long-poll"}, 204, 0},
	} {
		got := s.stream(t, "wf", c.query...)
		require.Equal(t, c.status, got.status, c.query)
		if c.status == 200 {
			require.Len(t, got.elements(t), c.items, c.query)
		}
		require.Equal(t, "true", got.header.Get("Stream-Closed"), c.query)
		require.Equal(t, "true", got.header.Get("Stream-Up-To-Date"), c.query)
		require.Equal(t, end, got.header.Get("Stream-Next-Offset"), c.query)
		require.Empty(t, got.header.Get("Stream-Cursor"), c.query)
	}
	closed := "event: control\ndata: {\"streamNextOffset\":\"" + end + "\",\"upToDate\":true,\"streamClosed\":true}\n\n"
	require.Equal(t, closed, string(s.stream(t, "wf", "offset", "now", "live", "sse").body))
	all := string(s.stream(t, "wf", "offset", "-1", "live", "sse").body)
	require.True(t, strings.HasPrefix(all, "event: data\ndata: [{"), all)
	require.True(t, strings.HasSuffix(all, "\n\n"+closed), all)
}

func TestALongPollWaitsForAnItemUntilTheHeartbeat(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	at := d.logs(t, "wf", "1")
	silent := serve(t, d.source(t), config{rpc: rpc.Config{Heartbeat: 20 * time.Millisecond}})
	for _, from := range []string{"now", at["1"]} {
		got := silent.stream(t, "wf", "offset", from, "live", "long-poll")
		require.Equal(t, http.StatusNoContent, got.status)
		require.Equal(t, at["1"], got.header.Get("Stream-Next-Offset"))
		require.Equal(t, "true", got.header.Get("Stream-Up-To-Date"))
		require.NotEmpty(t, got.header.Get("Stream-Cursor"))
		require.Empty(t, got.header.Get("Stream-Closed"))
		require.Equal(t, "no-store", got.header.Get("Cache-Control"))
	}
	s := serve(t, d.source(t), config{rpc: rpc.Config{Heartbeat: time.Hour}})
	for i, from := range []string{"now", at["1"]} {
		told := make(chan answer, 1)
		go func() { told <- s.stream(t, "wf", "offset", from, "live", "long-poll") }()
		if i == 0 {
			s.followed(t, 1)
			at = d.logs(t, "wf", "2")
		}
		got := <-told
		require.Equal(t, []string{"2"}, got.elements(t), "what is there is not waited for")
		require.Equal(t, at["2"], got.header.Get("Stream-Next-Offset"))
		require.Equal(t, from == "now", got.header.Get("ETag") == "")
		require.Equal(t, "no-store", got.header.Get("Cache-Control"))
	}
	s.followed(t, 0)
}

// A client that waits while the source cannot be read is not told that there is nothing.
func TestALongPollDuringAnOutageIsAnError(t *testing.T) {
	t.Parallel()
	var away atomic.Bool
	there := fixed(complete(&feed.Item{}, 5))
	reading := func(at feed.Position, window feed.Window) (feed.Page, error) {
		if away.Load() {
			return feed.Page{}, errInternal
		}
		return there.before(at, window)
	}
	s := serve(t, &source{after: there.after, before: reading}, config{
		rpc: rpc.Config{Heartbeat: 6 * time.Second}, feed: feed.Config{Sweep: 50 * time.Millisecond},
	})
	told := make(chan answer, 1)
	go func() { told <- s.stream(t, "wf", "offset", "now", "live", "long-poll") }()
	s.followed(t, 1)
	away.Store(true)
	got := <-told
	require.Equal(t, connect.CodeUnavailable, connect.CodeOf(got.error()), "%d %s", got.status, got.body)
	require.NotContains(t, string(got.body), "secret")
}

func TestTheEventsOfAStreamAreThoseOfTheProtocol(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := serve(t, d.source(t), config{})
	at := d.logs(t, "wf", "1")
	response, err := request(limited(t), s.h1, streamAddress(s, "wf")+"?live=sse&offset=now&cursor=20000000")
	require.NoError(t, err)
	defer func() { require.NoError(t, response.Body.Close()) }()
	require.Equal(t, "text/event-stream", response.Header.Get("Content-Type"))
	require.Contains(t, response.Header.Get("Cache-Control"), "no-cache")
	require.Contains(t, response.Header.Get("Cache-Control"), "no-store")
	require.Equal(t, "nosniff", response.Header.Get("X-Content-Type-Options"))
	require.Equal(t, "no", response.Header.Get("X-Accel-Buffering"))
	control := func(text string) (offset string, cursor int64) {
		t.Helper()
		var said struct {
			StreamNextOffset, StreamCursor string
			UpToDate, StreamClosed         bool
		}
		require.NoError(t, json.Unmarshal([]byte(text), &said))
		require.True(t, said.UpToDate)
		require.False(t, said.StreamClosed)
		cursor, err := strconv.ParseInt(said.StreamCursor, 10, 64)
		require.NoError(t, err)
		return said.StreamNextOffset, cursor
	}
	before := int64(20000000)
	n := 0
	for e, err := range eventsOf(response.Body) {
		require.NoError(t, err)
		if n == 0 {
			require.Equal(t, "control", e.name)
			next, cursor := control(e.data)
			require.Equal(t, at["1"], next)
			require.Greater(t, cursor, before)
			before = cursor
			at = d.logs(t, "wf", "2")
		}
		if n == 1 {
			require.Equal(t, "data", e.name)
			got, err := readREST([]byte(`{"items": ` + e.data + `}`))
			require.NoError(t, err)
			require.Equal(t, []string{"2"}, ids(got.items))
		}
		if n == 2 {
			require.Equal(t, "control", e.name)
			next, cursor := control(e.data)
			require.Equal(t, at["2"], next)
			require.GreaterOrEqual(t, cursor, before, fmt.Sprint("a cursor goes back"))
			return
		}
		n++
	}
}
