package rpc_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"chatfeed/db"
	"chatfeed/feed"
	"chatfeed/rpc"
	v1 "chatfeed/rpc/chatfeedv1"
	"chatfeed/rpc/chatfeedv1/chatfeedv1connect"
)

// hidesWorkflows is a guarantee of every transport.
func hidesWorkflows(t *testing.T, tr transport, d *database) {
	s := tr.start(t, d, config{rpc: rpc.Config{Gate: viewer{unseen: "secret"}.gate}})
	seen, unseen, another := d.prefix+"seen", d.prefix+"secret", d.prefix+"secret too"
	d.append(t, varied(unseen, "")...)
	d.append(t, db.Log{WorkflowID: another, ID: "old"})
	at := d.cursors(t, unseen)
	for i, f := range []follow{
		all(unseen, seen+"0", another),
		{from: []from{{workflow: unseen, after: at["3"]}, {workflow: seen + "1"}, {workflow: another, after: at["7"]}}},
	} {
		r := tr.follow(t, s, f)
		require.Empty(t, r.history(t))
		d.append(t, db.Message{WorkflowID: unseen, ID: fmt.Sprint("live", i)})
		d.append(t, db.Message{WorkflowID: f.from[1].workflow, ID: "live"})
		got := r.items(t, 1)
		requireSame(t, []string{"live"}, ids(got))
		require.Equal(t, f.from[1].workflow, got[0].Workflow)
		r.disconnect()
	}
	if tr.durable {
		return
	}
	last := tr.follow(t, s, follow{from: []from{{workflow: unseen, last: 5}}})
	require.Empty(t, last.frame(t).items)
	if tr.polls {
		return
	}
	// A client with a cursor is told for each that its history begins anew.
	r := tr.follow(t, s, follow{from: []from{{workflow: unseen, after: at["3"]}, {workflow: another, after: at["7"]}}})
	var anew []string
	for told := (frame{}); !told.upToDate; {
		told = r.frame(t)
		require.Empty(t, told.items)
		anew = append(anew, told.anew...)
	}
	require.Equal(t, []string{unseen, another}, anew)
}

// ask is a request whose whole answer is compared; a stream ends with the drain.
type ask struct {
	method, path, kind, body string
	until                    string // what a stream has said when it has caught up
}

// hashed is where the id of an event has the hash of what the client has asked for.
var hashed = regexp.MustCompile("id: p.{6}")

// answers are the status, the headers and the bytes of all answers for a workflow, whose name is replaced.
func (s *server) answers(t *testing.T, asks []ask, workflow string) map[ask]string {
	t.Helper()
	got := map[ask]string{}
	for _, a := range asks {
		request, err := http.NewRequestWithContext(limited(t), a.method, s.url+strings.ReplaceAll(a.path, "WF", workflow),
			strings.NewReader(strings.ReplaceAll(a.body, "WF", workflow)))
		require.NoError(t, err)
		request.Header.Set("Content-Type", a.kind)
		request.Header.Set("Connect-Protocol-Version", "1")
		response, err := s.h1.Do(request)
		require.NoError(t, err)
		response.Header.Del("Date")
		text := new(strings.Builder)
		if a.until == "" {
			_, err = io.Copy(text, response.Body)
			require.NoError(t, err)
		}
		for a.until != "" && !strings.HasSuffix(text.String(), a.until) {
			_, err = io.CopyN(text, response.Body, 1)
			require.NoError(t, err, text)
		}
		require.NoError(t, response.Body.Close())
		said := hashed.ReplaceAllString(text.String(), "id: p")
		got[a] = strings.ReplaceAll(fmt.Sprint(response.Status, response.Header, said), workflow, "WF")
	}
	return got
}

func enveloped(message string) string {
	return string([]byte{0, 0, 0, 0, byte(len(message))}) + message
}

func TestAWorkflowThatMayNotBeReadIsByteForByteOneThatDoesNotExist(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	none := func(string) error { return rpc.ErrWorkflowNotFound }
	s := serve(t, d.source(t), config{rpc: rpc.Config{
		Gate: viewer{unseen: "secret", unwritten: "secret"}.gate, Heartbeat: patience, LegacyEndpoints: true,
		Chat: &chat{
			cancel: none, told: func(string, rpc.Approval) error { return rpc.ErrWorkflowNotFound },
			called: func(context.Context, string, string, rpc.Call) (string, error) { return "", rpc.ErrWorkflowNotFound },
		},
		Allowed: rpc.Allowed{Signals: []string{"s"}, Updates: []string{"u"}, Queries: []string{"q"}, Terminate: true},
	}})
	d.append(t, varied("secret7", "")...)
	at := d.cursors(t, "secret7")["4"]
	stamp := time.UnixMicro(at).UTC().Format(time.RFC3339Nano)
	ahead := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	const (
		subscribe = chatfeedv1connect.FeedServiceSubscribeProcedure
		read      = chatfeedv1connect.FeedServiceGetChatDataProcedure
		counts    = chatfeedv1connect.FeedServiceCountMessagesProcedure
		cancel    = chatfeedv1connect.ChatServiceCancelWorkflowProcedure
		stop      = chatfeedv1connect.ChatServiceStopAnswerProcedure
		approve   = chatfeedv1connect.ChatServiceAnswerApprovalProcedure
		signal    = chatfeedv1connect.ChatServiceSignalWorkflowProcedure
		update    = chatfeedv1connect.ChatServiceUpdateWorkflowProcedure
		query     = chatfeedv1connect.ChatServiceQueryWorkflowProcedure
		terminate = chatfeedv1connect.ChatServiceTerminateWorkflowProcedure
	)
	upToDate := `{"upToDate":true}`
	event := "\ndata: true\n\n"
	asks := []ask{
		{method: "GET", path: "/workflows/WF/chatData"},
		{method: "HEAD", path: "/workflows/WF/chatData"},
		{method: "GET", path: "/workflows/WF/chatData?last=5"},
		{method: "GET", path: "/workflows/WF/chatData?wait=50ms"},
		{method: "GET", path: "/workflows/WF/chatData?afterTimestamp=" + seconds(at)},
		{method: "GET", path: "/workflows/WF/chatData?afterTimestamp=" + ahead},
		{method: "GET", path: "/workflows/WF/chatData?limit=0"},
		{method: "GET", path: "/workflows/WF/messages"},
		{method: "GET", path: "/workflows/WF/logs?afterTimestamp=" + seconds(at)},
		{method: "GET", path: "/workflows/WF/stats?last=2"},
		{method: "POST", path: read, kind: "application/json", body: `{"workflowId": "WF"}`},
		{method: "POST", path: read, kind: "application/json", body: `{"workflowId": "WF", "last": 5}`},
		{method: "POST", path: read, kind: "application/json", body: `{"workflowId": "WF", "after": "` + stamp + `", "wait": "0.05s"}`},
		{method: "POST", path: read, kind: "application/json", body: `{"workflowId": "WF", "after": "` + ahead + `"}`},
		{method: "POST", path: subscribe, kind: "application/connect+json", until: upToDate, body: enveloped(`{"cursors":[{"workflowId":"WF!"}]}`)},
		{method: "POST", path: subscribe, kind: "application/connect+json", until: upToDate, body: enveloped(`{"cursors":[{"workflowId":"WF!","last":3}]}`)},
		{
			method: "POST", path: subscribe, kind: "application/connect+json", until: upToDate,
			body: enveloped(`{"cursors":[{"workflowId":"WF!","after":"` + stamp + `"}]}`),
		},
		{
			method: "POST", path: subscribe, kind: "application/connect+json", until: upToDate,
			body: enveloped(`{"cursors":[{"workflowId":"WF!"},{"workflowId":"WF?"},{"workflowId":"seen"}]}`),
		},
		{method: "POST", path: subscribe, kind: "application/connect+json", body: enveloped(`{"cursors":[{"workflowId":"WF!","after":"` + ahead + `"}]}`)},
		{method: "POST", path: counts, kind: "application/json", body: `{"cursors":[{"workflowId":"WF"},{"workflowId":"seen"}]}`},
		{method: "GET", path: "/workflows/WF/events", until: event},
		{method: "GET", path: "/workflows/WF/events?last=5", until: event},
		{method: "GET", path: "/workflows/WF/events?after=" + seconds(at), until: event},
		{method: "GET", path: "/workflows/WF/events?after=" + ahead},
		{method: "GET", path: "/events?workflow=seen&workflow=WF", until: event},
		{method: "GET", path: "/v1/stream/workflows/WF"},
		{method: "HEAD", path: "/v1/stream/workflows/WF"},
		{method: "PUT", path: "/v1/stream/workflows/WF"},
		{method: "GET", path: "/v1/stream/workflows/WF?offset=now"},
		{method: "GET", path: "/v1/stream/workflows/WF?offset=-1&live=long-poll"},
		{method: "GET", path: "/v1/stream/workflows/WF?offset=now&live=sse"},
		{method: "GET", path: "/v1/stream/workflows/WF?live=sse&offset=" + offset(at)},
		{method: "GET", path: "/v1/stream/workflows/WF?offset=" + ahead},
		{method: "GET", path: "/v1/stream/workflows/WF?offset=5x"},
		{method: "GET", path: "/events?workflow=WF&workflow=WF"},
		{method: "POST", path: cancel, kind: "application/json", body: `{"workflowId": "WF"}`},
		{method: "POST", path: stop, kind: "application/json", body: `{"workflowId": "WF"}`},
		{method: "POST", path: approve, kind: "application/json", body: `{"workflowId": "WF", "callId": "c"}`},
		{method: "POST", path: signal, kind: "application/json", body: `{"workflowId": "WF", "name": "s"}`},
		{method: "POST", path: signal, kind: "application/json", body: `{"workflowId": "WF", "name": "unknown to all"}`},
		{method: "POST", path: update, kind: "application/json", body: `{"workflowId": "WF", "name": "u"}`},
		{method: "POST", path: query, kind: "application/json", body: `{"workflowId": "WF", "name": "q"}`},
		{method: "POST", path: terminate, kind: "application/json", body: `{"workflowId": "WF"}`},
	}
	for i := range asks { // the length of an envelope is that of the name in place
		if strings.HasPrefix(asks[i].body, "\x00") {
			message := strings.NewReplacer("WF!", "WF", "WF?", "WF too").Replace(asks[i].body[5:])
			asks[i].body = string([]byte{0, 0, 0, 0, byte(len(strings.ReplaceAll(message, "WF", "unknown")))}) + message
		}
	}
	d.append(t, db.Log{WorkflowID: "secret7 too", ID: "old"})
	unknown, unseen := s.answers(t, asks, "unknown"), s.answers(t, asks, "secret7")
	for _, a := range asks {
		if a.path == "/events?workflow=WF&workflow=WF" {
			require.Contains(t, unknown[a], "WF", "the answer names the workflow")
		}
		require.Equal(t, unknown[a], unseen[a], "%s %s %s", a.method, a.path, a.body)
	}
}

func TestOnlyWhatMayBeReadIsListed(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := serve(t, d.source(t), config{rpc: rpc.Config{Gate: viewer{unseen: "secret"}.gate}})
	var want []string
	for i := range 30 {
		d.append(t, db.Log{WorkflowID: fmt.Sprint("secret", i), ID: "1"})
		if i%3 == 0 {
			d.append(t, db.Log{WorkflowID: fmt.Sprint("seen", i), ID: "1"})
			want = append([]string{fmt.Sprint("seen", i)}, want...)
		}
	}
	for _, size := range []int32{1, 3, 9, 10, 11} {
		workflows, _ := s.listed(t, size)
		var got []string
		for _, w := range workflows {
			got = append(got, w.GetId())
		}
		requireSame(t, want, got, size)
	}
}

// One page does not read all of a long list of workflows of which the viewer may read few.
func TestAPageOfWorkflowsLooksAtABoundedNumber(t *testing.T) {
	t.Parallel()
	const there = 25_000
	var list []feed.Workflow // some of one time, also around where pages end
	for i := range there {
		id := fmt.Sprintf("%05d secret", there-i)
		if i%2500 == 7 || i > 9_990 && i < 10_010 {
			id = fmt.Sprintf("%05d seen", there-i)
		}
		list = append(list, feed.Workflow{ID: id, Active: feed.Cursor(there - i/50), Head: feed.Cursor(there - i/50)})
	}
	read := 0
	s := serve(t, &source{workflows: func(after feed.Workflow, limit int) ([]feed.Workflow, error) {
		var found []feed.Workflow
		for _, w := range list {
			if after.Active == 0 || w.Active < after.Active || w.Active == after.Active && w.ID < after.ID {
				found = append(found, w)
			}
			if len(found) == limit {
				break
			}
		}
		read += len(found)
		return found, nil
	}}, config{rpc: rpc.Config{Gate: viewer{unseen: "secret"}.gate}})
	seen := map[string]int{}
	pages, token := 0, ""
	for {
		before := read
		page, err := s.rpc().ListWorkflows(limited(t), &v1.ListWorkflowsRequest{PageSize: 1000, PageToken: token})
		require.NoError(t, err)
		require.LessOrEqual(t, read-before, 12_000)
		for _, w := range page.GetWorkflows() {
			seen[w.GetId()]++
		}
		pages++
		if token = page.GetNextPageToken(); token == "" {
			break
		}
	}
	require.GreaterOrEqual(t, pages, 3)
	for _, w := range list {
		if strings.HasSuffix(w.ID, "seen") {
			require.Equal(t, 1, seen[w.ID], w.ID)
		}
	}
	require.Len(t, seen, 28)
}
