package rpc_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"

	"chatfeed/db"
	"chatfeed/feed"
	"chatfeed/rpc"
)

// event is one of an event stream, or a comment.
type event struct{ name, id, data, comment, retry string }

// eventsOf reads an event stream as the standard has it.
func eventsOf(body io.Reader) iter.Seq2[event, error] {
	return func(yield func(event, error) bool) {
		lines := bufio.NewReader(body)
		var e event
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				yield(event{}, err)
				return
			}
			field, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
			value = strings.TrimPrefix(value, " ")
			switch {
			case line == "\n":
				if !yield(e, nil) {
					return
				}
				e = event{}
			case field == "":
				e.comment = value
			case field == "event":
				e.name = value
			case field == "id":
				e.id = value
			case field == "data":
				e.data += value
			case field == "retry":
				e.retry = value
			}
		}
	}
}

// eventsAddress is where the events of workflows are, for as many cursors as are given.
func eventsAddress(s *server, query url.Values) string {
	workflows := query["workflow"]
	if len(workflows) != 1 {
		return s.url + "/events?" + query.Encode()
	}
	return s.url + "/workflows/" + url.PathEscape(workflows[0]) + "/events?" + query.Encode()
}

// listen follows by server-sent events.
func listen(over func(*server) *http.Client) func(context.Context, *server, follow) iter.Seq2[frame, error] {
	return func(ctx context.Context, s *server, f follow) iter.Seq2[frame, error] {
		query := url.Values{"types": {strings.Join(f.types, ",")}}
		for _, from := range f.from {
			query.Add("workflow", from.workflow)
			if from.last > 0 {
				query.Set("last", strconv.Itoa(from.last))
			}
			query.Add("after", "")
			if from.after > 0 {
				query["after"][len(query["after"])-1] = seconds(from.after)
			}
		}
		return func(yield func(frame, error) bool) {
			response, err := request(ctx, over(s), eventsAddress(s, query))
			if err != nil {
				yield(frame{}, err)
				return
			}
			defer func() { _ = response.Body.Close() }()
			upToDate, final := false, false
			for e, err := range eventsOf(response.Body) {
				got := frame{}
				if err == nil {
					got, err = e.frame(&upToDate)
				}
				if final && errors.Is(err, io.EOF) {
					err = nil
				}
				final = got.final
				if e.retry == "" && !yield(got, err) {
					return
				}
			}
		}
	}
}

// request makes a request whose answer is a stream.
func request(ctx context.Context, c *http.Client, address string, headers ...string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := c.Do(request)
	if err != nil || response.StatusCode == http.StatusOK || response.StatusCode == http.StatusNoContent {
		return response, err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	return nil, answer{response.StatusCode, response.Header, text}.error()
}

// frame is what an event says; upToDate is what was said last.
func (e event) frame(upToDate *bool) (frame, error) {
	switch e.name {
	case "":
		return frame{upToDate: *upToDate}, nil
	case "up-to-date":
		*upToDate = e.data == "true"
		return frame{upToDate: *upToDate}, nil
	case "end":
		var said struct {
			Code    connect.Code
			Message string
			Final   bool
		}
		if err := json.Unmarshal([]byte(e.data), &said); err != nil {
			return frame{}, err
		}
		if said.Final {
			return frame{upToDate: *upToDate, final: true}, nil
		}
		return frame{}, connect.NewError(said.Code, fmt.Errorf("%s", said.Message))
	case "gone":
		var gone struct {
			WorkflowID, Type, ID string
			CreatedAt            json.Number `json:"_createdAt"`
		}
		err := json.Unmarshal([]byte(e.data), &gone)
		at := feed.Cursor(micros(gone.CreatedAt.String()))
		return frame{gone: []feed.Gone{{WorkflowID: gone.WorkflowID, Type: gone.Type, ID: gone.ID, CreatedAt: at}}}, err
	case "anew":
		var anew struct{ WorkflowID string }
		err := json.Unmarshal([]byte(e.data), &anew)
		return frame{anew: []string{anew.WorkflowID}}, err
	}
	got, err := readREST([]byte(`{"items": [` + e.data + `]}`))
	if err == nil && got.items[0].Type != e.name {
		err = fmt.Errorf("event %q has a %q", e.name, got.items[0].Type)
	}
	return got, err
}

// hear opens an event stream whose events are read one by one.
func (s *server) hear(t *testing.T, query url.Values, headers ...string) (next func() event, response *http.Response) {
	t.Helper()
	ctx, cancel := context.WithCancel(limited(t))
	response, err := request(ctx, s.h1, eventsAddress(s, query), headers...)
	require.NoError(t, err)
	pull, stop := iter.Pull2(eventsOf(response.Body))
	t.Cleanup(func() {
		cancel()
		stop()
		_ = response.Body.Close()
	})
	return func() event {
		t.Helper()
		e, err, ok := pull()
		require.True(t, ok)
		require.NoError(t, err)
		return e
	}, response
}

func TestAnEventStreamHasTheBytesOfTheContract(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := serve(t, d.source(t), config{rpc: rpc.Config{Heartbeat: 3 * time.Second}})
	d.append(t, db.Message{WorkflowID: "wf", ID: "one", Message: "Hello\nworld", Role: "user", Status: "first"})
	_, response := s.hear(t, url.Values{"workflow": {"wf"}})
	require.Equal(t, "text/event-stream", response.Header.Get("Content-Type"))
	require.Equal(t, "no-store", response.Header.Get("Cache-Control"))
	require.Equal(t, "no", response.Header.Get("X-Accel-Buffering"))

	response, err := request(limited(t), s.h1, s.url+"/workflows/wf/events")
	require.NoError(t, err)
	at := strings.TrimRight(strings.TrimRight(seconds(d.cursors(t, "wf")["one"]), "0"), ".")
	want := "retry: 2000\n\n" +
		"event: message\nid: " + at + "\n" + `data: {"type": "message", "createdAt": ` + at + `, "item": {"id": "one", ` +
		`"workflowId": "wf", "message": "Hello\nworld", "role": "user", "status": "first", "_createdAt": ` + at + "}}\n\n" +
		"event: up-to-date\nid: " + at + "\ndata: true\n\n" +
		": heartbeat\n\n"
	got := make([]byte, len(want))
	_, err = io.ReadFull(response.Body, got)
	require.NoError(t, err)
	require.Equal(t, want, string(got))
	require.NoError(t, response.Body.Close())

	for _, c := range []*http.Client{s.h1, s.h2} {
		head, err := do(limited(t), c, http.MethodHead, s.url+"/workflows/wf/events", "")
		require.NoError(t, err)
		require.Equal(t, "text/event-stream", head.header.Get("Content-Type"))
	}
	s.followed(t, 1)
}

func TestTheHeadersOfAnEventStreamAreSentBeforeTheSourceAnswers(t *testing.T) {
	t.Parallel()
	s := serve(t, &source{hangs: true}, config{rpc: rpc.Config{Heartbeat: 2 * patience}})
	next, _ := s.hear(t, url.Values{"workflow": {"a", "b"}})
	require.Equal(t, event{retry: "2000"}, next())
}

// EventSource requests the same address again and sends only the id of its last event.
func TestAnEventStreamResumesExactlyAfterTheLastEventID(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := serve(t, d.source(t), config{})
	names := []string{"a", "b", "c"}
	want := map[string][]string{}
	for _, name := range names {
		d.append(t, varied(name, "")...)
		want[name] = []string{"1", "2", "3", "4", "5", "6", "7", "8", "9"}
	}
	for _, workflows := range [][]string{{"a"}, names} {
		got := map[string][]string{}
		id := ""
		total := 9 * len(workflows)
		for n := range total {
			next, _ := s.hear(t, url.Values{"workflow": workflows, "last": {"9"}}, "Last-Event-ID", id)
			e := next()
			for e.id == "" {
				require.NotEqual(t, "up-to-date", e.name, "%d events of %d", n, total)
				e = next()
			}
			one, err := e.frame(new(bool))
			require.NoError(t, err)
			got[one.items[0].Workflow] = append(got[one.items[0].Workflow], one.items[0].ID)
			id = e.id
			require.Less(t, len(id), 60)
		}
		next, _ := s.hear(t, url.Values{"workflow": workflows, "after": {id}}) // as programs do it that are not EventSource
		require.Equal(t, event{retry: "2000"}, next())
		require.Equal(t, event{name: "up-to-date", id: id, data: "true"}, next())
		for _, name := range workflows {
			requireSame(t, want[name], got[name], name)
		}
	}
}

func TestAnEventStreamTakesOnlyItsOwnCursors(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := serve(t, d.source(t), config{})
	d.append(t, db.Log{WorkflowID: "a", ID: "one"})
	next, _ := s.hear(t, url.Values{"workflow": {"a", "b"}})
	require.Equal(t, "2000", next().retry)
	id := next().id
	require.NotEmpty(t, id)
	refused := func(say string, query url.Values, headers ...string) {
		t.Helper()
		_, err := request(limited(t), s.h1, eventsAddress(s, query), headers...)
		require.Equal(t, connect.CodeInvalidArgument, connect.CodeOf(err), "%v", err)
		require.ErrorContains(t, err, say)
	}
	for _, workflows := range [][]string{{"b", "a"}, {"a", "c"}, {"a"}, {"a", "b", "c"}, {"ab", ""}} {
		if workflows[len(workflows)-1] != "" {
			refused("Last-Event-ID:", url.Values{"workflow": workflows}, "Last-Event-ID", id)
			refused("after:", url.Values{"workflow": workflows, "after": {id}})
		}
	}
	refused("after:", url.Values{"workflow": {"a"}, "after": {"yesterday"}})
	refused("after: is given 2 times for 3 workflows", url.Values{"workflow": {"a", "b", "c"}, "after": {"1", "2"}})
	refused("after:", url.Values{"workflow": {"a"}, "after": {seconds(time.Now().Add(time.Hour).UnixMicro())}})
	refused("workflow: has 0 entries; 1 to 100", url.Values{})
	refused("workflow[2]:", url.Values{"workflow": {"a", "b", "a"}})
	refused("workflow[1]:", url.Values{"workflow": {"a", ""}})
	refused("workflow: has 101 entries", url.Values{"workflow": make([]string, 101)})
	refused("types:", url.Values{"workflow": {"a"}, "types": {"reaction"}})
	refused("last:", url.Values{"workflow": {"a"}, "last": {"1001"}})
	refused("last:", url.Values{"workflow": {"a"}, "last": {"all"}})
	s.followed(t, 1)
}

func TestAnEventStreamOfManyWorkflowsBeginsAtATime(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := serve(t, d.source(t), config{})
	d.append(t, varied("a", "a")...)
	at := d.cursors(t, "a")["a9"]
	d.append(t, varied("b", "b")...)
	next, _ := s.hear(t, url.Values{"workflow": {"a", "b"}, "after": {time.UnixMicro(at).UTC().Format(time.RFC3339Nano)}})
	var got bytes.Buffer
	for e := next(); e.name != "up-to-date"; e = next() {
		one, err := e.frame(new(bool))
		require.NoError(t, err)
		for _, item := range one.items {
			got.WriteString(item.ID + " ")
		}
	}
	require.Equal(t, "b1 b2 b3 b4 b5 b6 b7 b8 b9 ", got.String())
}

// A source that gives items of another workflow is wrong, but does not break the stream or the client's cursor.
func TestAnItemOfAnotherWorkflowMovesNoCursor(t *testing.T) {
	t.Parallel()
	other := complete(&feed.Item{ID: "other"}, 2)
	other.WorkflowID = "another"
	s := serve(t, &source{after: func(at feed.Position, _ feed.Window) (feed.Page, error) {
		if at.Cursor >= 3 {
			return feed.Page{}, nil
		}
		return feed.Page{Items: []*feed.Item{complete(&feed.Item{}, 1), other, complete(&feed.Item{}, 3)}}, nil
	}, before: func(feed.Position, feed.Window) (feed.Page, error) {
		return feed.Page{Items: []*feed.Item{complete(&feed.Item{}, 3)}, More: true}, nil
	}}, config{})
	next, _ := s.hear(t, url.Values{"workflow": {"wf"}})
	require.Equal(t, "2000", next().retry)
	var ids []string
	for range 3 {
		ids = append(ids, next().id)
	}
	require.Equal(t, []string{"0.000001", "", "0.000003"}, ids)
}

// a client that follows only new items, and has received none yet, misses nothing while the connection is broken.
func TestAnEventStreamThatHadNoItemsResumesWhereItWas(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := serve(t, d.source(t), config{})
	d.append(t, append(varied("a", ""), varied("b", "")...)...)
	for i, workflows := range [][]string{{"a"}, {"a", "b"}, {"b", "a", "unknown"}} {
		next, response := s.hear(t, url.Values{"workflow": workflows, "last": {"0"}})
		require.Equal(t, "2000", next().retry)
		told := next()
		require.Equal(t, "up-to-date", told.name)
		require.NoError(t, response.Body.Close())
		id := fmt.Sprint("missed", i)
		d.append(t, db.Log{WorkflowID: "a", ID: id})
		next, _ = s.hear(t, url.Values{"workflow": workflows, "last": {"0"}}, "Last-Event-ID", told.id)
		require.Equal(t, "2000", next().retry)
		got, err := next().frame(new(bool))
		require.NoError(t, err)
		requireSame(t, []string{id}, ids(got.items))
	}
}
