package rpc_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"

	"chatfeed/db"
	"chatfeed/feed"
	"chatfeed/rpc"
)

// promises are the guarantees of every transport.
var promises = []struct {
	name string
	keep func(*testing.T, transport, *database)
}{
	{"history and what commits later arrive once, in order, with all their fields", deliversEverything},
	{"history larger than what is kept in memory arrives once, in order", deliversLongHistory},
	{"a stream resumes exactly after its cursor", resumes},
	{"the last items are those before the head, and all that follow", deliversLast},
	{"many workflows share a stream, each in its order", followsMany},
	{"only the types that were asked for arrive", filtersTypes},
	{"deltas and tool calls arrive for those who ask, and give way to their message", deliversChat},
	{"a stream ends when its workflows are closed", endsWithWorkflows},
	{"a silent stream has a heartbeat", sendsHeartbeats},
	{"an unknown workflow is up to date and its first item arrives", awaitsTheFirstItem},
	{"a workflow id may be any text", acceptsUnusualIDs},
	{"an item is delivered without what the wire cannot hold", deliversWhatFitsTheWire},
	{"an erased item is reported, and no longer delivered", reportsErasedItems},
	{"an erased workflow is reported, and its new history is delivered", reportsNewHistories},
	{"a client that cannot be up to date is told so", reportsOutages},
	{"a workflow that the viewer may not read looks as if it did not exist", hidesWorkflows},
	{"a stream ends when its viewer expires, and asks for a new token", endsWithViewer},
	{"a client that disconnects leaves nothing behind", releases},
	{"a drain ends the stream", drains},
}

func TestEveryTransport(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	for i, tr := range transports {
		t.Run(tr.name, func(t *testing.T) {
			t.Parallel()
			for j, promise := range promises {
				t.Run(promise.name, func(t *testing.T) {
					t.Parallel()
					promise.keep(t, tr, &database{d.pool, fmt.Sprintf("t%d-%d ", i, j)})
				})
			}
		})
	}
}

// start serves the database for one transport.
func (tr transport) start(t *testing.T, d *database, cfg config) *server {
	t.Helper()
	cfg.tls = tr.tls
	if cfg.rpc.Heartbeat == 0 {
		cfg.rpc.Heartbeat = patience
	}
	return serve(t, d.source(t), cfg)
}

// varied is items of all types, with all fields and with none.
func varied(workflow, prefix string) []db.Item {
	metadata := func(text string) json.RawMessage { return json.RawMessage(text) }
	text := "line\n\ttab \"quoted\" \\ back, <b>&amp;</b> {\"a\": [1,2]} \u2028 żółć 🙂"
	id := func(n int) string { return fmt.Sprintf("%s%d", prefix, n) }
	return []db.Item{
		db.Message{WorkflowID: workflow, ID: id(1), Message: "Hello world", Role: "user", Status: "first"},
		db.Log{WorkflowID: workflow, ID: id(2), Level: "warn", Message: text, Metadata: metadata(`{"a": {"b, c": [1, null, "d:\"e"]}}`)},
		db.Stat{WorkflowID: workflow, ID: id(3), ProcessingTime: 0.1, TokenCount: 2147483647, Metadata: metadata(`[1.5, true]`)},
		db.Progress{WorkflowID: workflow, ID: id(4), Progress: 99.5, Status: "running", Result: text, Metadata: metadata(`"text"`)},
		db.Message{WorkflowID: workflow, ID: id(5), Message: "", Role: "assistant", Metadata: metadata(`null`)},
		db.Log{WorkflowID: workflow, ID: id(6), Level: "info", Message: ""},
		db.Stat{WorkflowID: workflow, ID: id(7), Metadata: metadata(`7`)},
		db.Progress{WorkflowID: workflow, ID: id(8)},
		db.Message{WorkflowID: workflow, ID: id(9), Message: text, Role: text[:20], Status: text[:20], Metadata: metadata(`{}`)},
	}
}

// wanted is what a client sees of committed items, whose ids must differ.
func (d *database) wanted(t *testing.T, items []db.Item) []item {
	t.Helper()
	var want []item
	stamped := map[string]map[string]int64{}
	for _, i := range items {
		text, err := json.Marshal(i)
		require.NoError(t, err)
		one := item{Body: map[string]any{}}
		switch i := i.(type) {
		case db.Message:
			one.Type, one.Body = "message", map[string]any{"message": i.Message, "role": i.Role, "status": i.Status}
		case db.Log:
			one.Type, one.Body = "log", map[string]any{"level": i.Level, "message": i.Message}
		case db.Stat:
			one.Type = "stat"
			one.Body = map[string]any{"processingTime": i.ProcessingTime, "tokenCount": float64(i.TokenCount)}
		case db.Progress:
			one.Type, one.Body = "progress", map[string]any{"progress": i.Progress, "status": i.Status, "result": i.Result}
		}
		var common struct {
			WorkflowID, ID string
			Metadata       json.RawMessage
		}
		require.NoError(t, json.Unmarshal(text, &common))
		one.Workflow, one.ID = common.WorkflowID, common.ID
		if common.Metadata != nil {
			one.Metadata = sameJSON(common.Metadata)
		}
		if stamped[one.Workflow] == nil {
			stamped[one.Workflow] = d.cursors(t, one.Workflow)
		}
		one.At = stamped[one.Workflow][one.ID]
		require.NotZero(t, one.At, "item %s is not there", one.ID)
		want = append(want, one)
	}
	return want
}

func deliversEverything(t *testing.T, tr transport, d *database) {
	s := tr.start(t, d, config{})
	wf := d.prefix + "wf"
	items := varied(wf, "old")
	d.append(t, items...)
	r := tr.follow(t, s, all(wf))
	requireSame(t, d.wanted(t, items), r.history(t))

	live := varied(wf, "new")
	for _, one := range live {
		d.append(t, one)
		requireSame(t, d.wanted(t, []db.Item{one}), r.items(t, 1))
	}
	live = varied(wf, "together")
	d.append(t, live...)
	requireSame(t, d.wanted(t, live), r.items(t, len(live)))
}

func deliversLongHistory(t *testing.T, tr transport, d *database) {
	s := tr.start(t, d, config{feed: feed.Config{Window: feed.Bounds{Items: 7, Bytes: 500}}})
	wf := d.prefix + "wf"
	var items []db.Item
	for i := range 60 {
		items = append(items, db.Log{WorkflowID: wf, ID: fmt.Sprint(i), Message: strings.Repeat("x", i*i/3), Level: "info"})
	}
	d.append(t, items[:50]...)
	r := tr.follow(t, s, all(wf))
	got := r.items(t, 40)
	d.append(t, items[50:]...)
	got = append(got, r.items(t, 60-len(got))...)
	requireSame(t, d.wanted(t, items), got)
}

func resumes(t *testing.T, tr transport, d *database) {
	s := tr.start(t, d, config{})
	wf := d.prefix + "wf"
	items := varied(wf, "")
	d.append(t, items...)
	want := d.wanted(t, items)
	for n := range want {
		r := tr.follow(t, s, follow{from: []from{{workflow: wf, after: want[n].At}}})
		requireSame(t, ids(want[n+1:]), ids(r.history(t)))
		before := tr.follow(t, s, follow{from: []from{{workflow: wf, after: want[n].At - 1}}})
		requireSame(t, ids(want[n:]), ids(before.history(t)))
		if n == len(want)-1 {
			d.append(t, db.Log{WorkflowID: wf, ID: "live"})
			requireSame(t, []string{"live"}, ids(r.items(t, 1)))
		}
	}
}

func deliversLast(t *testing.T, tr transport, d *database) {
	if tr.durable {
		return
	}
	s := tr.start(t, d, config{feed: feed.Config{Window: feed.Bounds{Items: 4}}})
	wf := d.prefix + "wf"
	items := varied(wf, "")
	d.append(t, items...)
	want := ids(d.wanted(t, items))
	for _, n := range []int{1, 3, 6, len(want), len(want) + 5} {
		r := tr.follow(t, s, follow{from: []from{{workflow: wf, last: n}}})
		requireSame(t, want[max(0, len(want)-n):], ids(r.history(t)), n)
	}
	r := tr.follow(t, s, follow{from: []from{{workflow: wf, last: 2}}, types: []string{"message"}})
	requireSame(t, []string{"5", "9"}, ids(r.history(t)))
	d.append(t, db.Log{WorkflowID: wf, ID: "no"}, db.Message{WorkflowID: wf, ID: "live"})
	requireSame(t, []string{"live"}, ids(r.items(t, 1)))
}

func followsMany(t *testing.T, tr transport, d *database) {
	s := tr.start(t, d, config{})
	const workflows, each = 4, 12
	var f follow
	want := map[string][]string{}
	name := func(w int) string { return fmt.Sprintf("%swf%d", d.prefix, w) }
	for w := range workflows {
		d.append(t, varied(name(w), "old")...)
		stamped := d.cursors(t, name(w))
		f.from = append(f.from, from{workflow: name(w), after: stamped["old7"]})
		want[name(w)] = []string{"old8", "old9"}
		for n := range each {
			want[name(w)] = append(want[name(w)], fmt.Sprint(n))
		}
	}
	r := tr.follow(t, s, f)
	got := map[string][]string{}
	old := r.history(t)
	require.Len(t, old, 2*workflows)
	for _, one := range old {
		got[one.Workflow] = append(got[one.Workflow], one.ID)
	}
	var writers sync.WaitGroup
	for w := range workflows {
		writers.Go(func() {
			for n := range each {
				d.exec(t, `insert into chatfeed.logs (workflow_id, id, message) values ($1, $2, '')`, name(w), fmt.Sprint(n))
			}
		})
	}
	for n := 0; n < workflows*each; {
		live := r.items(t, 1)
		n += len(live)
		for _, one := range live {
			got[one.Workflow] = append(got[one.Workflow], one.ID)
		}
	}
	writers.Wait()
	requireSame(t, want, got)
}

func filtersTypes(t *testing.T, tr transport, d *database) {
	s := tr.start(t, d, config{})
	wf := d.prefix + "wf"
	d.append(t, varied(wf, "old")...)
	r := tr.follow(t, s, follow{from: []from{{workflow: wf}}, types: []string{"stat", "message"}})
	requireSame(t, []string{"old1", "old3", "old5", "old7", "old9"}, ids(r.history(t)))
	d.append(t, db.Log{WorkflowID: wf, ID: "no"})
	d.append(t, varied(wf, "new")...)
	requireSame(t, []string{"new1", "new3", "new5", "new7", "new9"}, ids(r.items(t, 5)))
}

func deliversChat(t *testing.T, tr transport, d *database) {
	s := tr.start(t, d, config{})
	wf := d.prefix + "wf"
	pieces := []db.Item{
		db.Delta{WorkflowID: wf, MessageID: "m", Attempt: 2, Part: 1, Kind: "reasoning", At: 3, Delta: `"so" ü`},
		db.Tool{WorkflowID: wf, CallID: "c", MessageID: "m", Name: "search", State: db.InputAvailable, Input: []byte(`{"q": [1, null]}`)},
	}
	last := []db.Item{
		db.Message{WorkflowID: wf, ID: "m", Message: "done", Replaces: "first"},
		db.Progress{WorkflowID: wf, ID: "p", Progress: 100, Final: true},
	}
	d.append(t, pieces...)
	asking := tr.follow(t, s, follow{from: []from{{workflow: wf}}, types: []string{"message", "progress", "delta", "tool"}})
	others := tr.follow(t, s, all(wf))
	got := asking.history(t)
	requireSame(t, []string{"m:2:1:3", "c:input-available"}, ids(got))
	requireSame(t, map[string]any{"messageId": "m", "attempt": 2., "part": 1., "kind": "reasoning", "at": 3., "delta": `"so" ü`}, got[0].Body)
	requireSame(t, map[string]any{
		"callId": "c", "messageId": "m", "name": "search", "state": "input-available", "input": map[string]any{"q": []any{1., nil}}, "output": nil, "error": "",
	}, got[1].Body)
	d.append(t, last...)
	for _, r := range []*reader{asking, others} {
		got := r.items(t, 2)
		requireSame(t, []string{"m", "p"}, ids(got))
		requireSame(t, "first", got[0].Body["replaces"])
		requireSame(t, true, got[1].Body["final"])
	}
	late := tr.follow(t, s, follow{from: []from{{workflow: wf, after: got[0].At}}, types: []string{"message", "delta"}})
	requireSame(t, []string{"m"}, ids(late.history(t)))
}

func endsWithWorkflows(t *testing.T, tr transport, d *database) {
	s := tr.start(t, d, config{})
	open, shut := d.prefix+"open", d.prefix+"shut"
	d.append(t, db.Log{WorkflowID: open, ID: "one"}, db.Progress{WorkflowID: shut, ID: "end", Final: true})
	messages := follow{from: []from{{workflow: open}}, types: []string{"message"}}
	readers := []*reader{tr.follow(t, s, all(shut, open)), tr.follow(t, s, messages)}
	for _, r := range readers {
		r.history(t)
	}
	d.append(t, db.Progress{WorkflowID: open, ID: "end", Final: true})
	readers = append(readers, tr.follow(t, s, all(open)), tr.follow(t, s, messages))
	for _, r := range readers {
		f := r.frame(t)
		for ; !f.final; f = r.frame(t) {
			require.True(t, tr.polls || !f.upToDate || len(f.items) == 0 || f.items[0].ID != "one")
		}
		require.True(t, f.upToDate)
		if tr.polls {
			continue
		}
		f, err, ok := r.next()
		require.NoError(t, err)
		requireSame(t, frame{}, f)
		_, _, more := r.next()
		require.False(t, ok && more)
	}
	s.followed(t, 0)
}

func sendsHeartbeats(t *testing.T, tr transport, d *database) {
	s := tr.start(t, d, config{rpc: rpc.Config{Heartbeat: 50 * time.Millisecond}})
	wf := d.prefix + "wf"
	d.append(t, db.Log{WorkflowID: wf, ID: "one"})
	r := tr.follow(t, s, all(wf))
	requireSame(t, []string{"one"}, ids(r.history(t)))
	for range 3 {
		heartbeat := r.frame(t)
		require.Empty(t, heartbeat.items)
		require.True(t, heartbeat.upToDate)
	}
	d.append(t, db.Log{WorkflowID: wf, ID: "two"})
	requireSame(t, []string{"two"}, ids(r.items(t, 1)))
}

func awaitsTheFirstItem(t *testing.T, tr transport, d *database) {
	s := tr.start(t, d, config{})
	wf := d.prefix + "unknown"
	r := tr.follow(t, s, all(wf))
	first := r.frame(t)
	require.Empty(t, first.items)
	require.True(t, first.upToDate)
	d.append(t, db.Message{WorkflowID: wf, ID: "hello"})
	requireSame(t, []string{"hello"}, ids(r.items(t, 1)))
}

func acceptsUnusualIDs(t *testing.T, tr transport, d *database) {
	s := tr.start(t, d, config{})
	for _, odd := range []string{
		" spaces  all around ", "a/b//c", "../up", "100%", "%2F", "q?x=1&y#z;", "żółć 🙂", "line\nbreak", `back\slash "quoted"`, "+",
		strings.Repeat("ü", 490),
	} {
		wf := d.prefix + odd
		d.append(t, db.Message{WorkflowID: wf, ID: "one"})
		r := tr.follow(t, s, all(wf))
		got := r.history(t)
		requireSame(t, []string{"one"}, ids(got), odd)
		require.Equal(t, wf, got[0].Workflow)
		d.append(t, db.Message{WorkflowID: wf, ID: "two"})
		requireSame(t, []string{"two"}, ids(r.items(t, 1)), odd)
		r.disconnect()
	}
}

func releases(t *testing.T, tr transport, d *database) {
	s := tr.start(t, d, config{})
	subscriptions := 1
	if tr.durable {
		d.append(t, db.Log{WorkflowID: d.prefix + "a", ID: "one"}, db.Log{WorkflowID: d.prefix + "b", ID: "one"})
		subscriptions = 2
	}
	r := tr.follow(t, s, all(d.prefix+"a", d.prefix+"b"))
	r.history(t)
	ended := make(chan error, 1)
	go func() {
		_, err, _ := r.next()
		ended <- err
	}()
	s.followed(t, subscriptions)
	r.disconnect()
	s.followed(t, 0)
	require.Error(t, <-ended)
}

func drains(t *testing.T, tr transport, d *database) {
	s := tr.start(t, d, config{})
	wf := d.prefix + "wf"
	d.append(t, db.Log{WorkflowID: wf, ID: "one"})
	r := tr.follow(t, s, all(wf))
	r.history(t)
	type result struct {
		frame frame
		err   error
	}
	ended := make(chan result, 1)
	go func() {
		f, err, _ := r.next()
		ended <- result{f, err}
	}()
	s.followed(t, 1)
	s.feed.Drain()
	got := <-ended
	s.followed(t, 0)
	if tr.polls && !tr.durable { // it is answered at once
		require.NoError(t, got.err)
		requireSame(t, nil, got.frame.items)
		return
	}
	require.Equal(t, connect.CodeUnavailable, connect.CodeOf(got.err))
	require.ErrorContains(t, got.err, "subscribe again from your cursors")
	if tr.polls { // what is there can still be read
		return
	}

	again := tr.follow(t, s, all(wf))
	_, err, _ := again.next()
	require.Equal(t, connect.CodeUnavailable, connect.CodeOf(err))
}
