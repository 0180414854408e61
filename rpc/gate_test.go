package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"

	"chatfeed/db"
	"chatfeed/feed"
	"chatfeed/rpc"
	v1 "chatfeed/rpc/chatfeedv1"
	"chatfeed/rpc/chatfeedv1/chatfeedv1connect"
)

// viewer may see and write what does not have these words in its id.
type viewer struct {
	unseen, unwritten string
	expires           time.Time
}

func (v viewer) CanRead(id string) bool { return v.unseen == "" || !strings.Contains(id, v.unseen) }
func (v viewer) CanWrite(id string) bool {
	return v.unwritten == "" || !strings.Contains(id, v.unwritten)
}
func (v viewer) Expires() time.Time { return v.expires }

// gate lets everyone in as this viewer.
func (v viewer) gate(*http.Request) (rpc.Viewer, error) { return v, nil }

// hides is a promise of every transport.
func hides(t *testing.T, tr transport, d *database) {
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
	last := tr.follow(t, s, follow{from: []from{{workflow: unseen, last: 5}}})
	require.Empty(t, last.frame(t).items)
	if tr.polls {
		return
	}
	// Who comes with a cursor is told of each that it has no history.
	r := tr.follow(t, s, follow{from: []from{{workflow: unseen, after: at["3"]}, {workflow: another, after: at["7"]}}})
	var anew []string
	for told := (frame{}); !told.upToDate; {
		told = r.frame(t)
		require.Empty(t, told.items)
		anew = append(anew, told.anew...)
	}
	require.Equal(t, []string{unseen, another}, anew)
}

// expiring makes of whoever comes a viewer that expires so long after the first has come.
func expiring(after time.Duration) rpc.Gate {
	first := sync.OnceValue(time.Now)
	return func(*http.Request) (rpc.Viewer, error) { return viewer{expires: first().Add(after)}, nil }
}

// ends is a promise of every transport.
func ends(t *testing.T, tr transport, d *database) {
	s := tr.start(t, d, config{rpc: rpc.Config{Gate: expiring(2 * time.Second)}})
	wf := d.prefix + "wf"
	d.append(t, db.Log{WorkflowID: wf, ID: "one"})
	began := time.Now()
	r := tr.follow(t, s, all(wf))
	requireSame(t, []string{"one"}, ids(r.items(t, 1)))
	for {
		_, err, ok := r.next()
		require.True(t, ok)
		if err != nil {
			require.Equal(t, connect.CodeUnauthenticated, connect.CodeOf(err), "%v", err)
			require.ErrorContains(t, err, "has expired")
			break
		}
	}
	require.GreaterOrEqual(t, time.Since(began), 2*time.Second)
	s.followed(t, 0)
	_, err, _ := tr.follow(t, s, all(wf)).next() // and is refused from then on
	require.Equal(t, connect.CodeUnauthenticated, connect.CodeOf(err), "%v", err)
}

func TestAStreamThatAlwaysHasMoreEndsWhenItsViewerDoes(t *testing.T) {
	t.Parallel()
	endless := &source{
		before: func(feed.Position, feed.Window) (feed.Page, error) {
			return feed.Page{Items: []*feed.Item{complete(&feed.Item{}, 1<<40)}, More: true}, nil
		},
		after: func(at feed.Position, _ feed.Window) (feed.Page, error) {
			return feed.Page{Items: []*feed.Item{complete(&feed.Item{}, at.Cursor+1)}, More: true}, nil
		},
	}
	for _, tr := range transports {
		if tr.tls || tr.polls {
			continue
		}
		s := serve(t, endless, config{rpc: rpc.Config{Gate: expiring(200 * time.Millisecond)}})
		r := tr.follow(t, s, all("wf"))
		for n := 0; ; n++ {
			_, err, ok := r.next()
			require.True(t, ok)
			if err != nil {
				require.Equal(t, connect.CodeUnauthenticated, connect.CodeOf(err), "%v", err)
				require.Positive(t, n)
				break
			}
		}
	}
	s := serve(t, endless, config{rpc: rpc.Config{Gate: expiring(200 * time.Millisecond)}})
	_, err := get(limited(t), s.h1, s.url+"/workflows/wf/chatData")
	require.Error(t, err, "an answer that is broken off")
}

// ask is a request whose whole answer is compared; a stream ends with the drain.
type ask struct {
	method, path, kind, body string
	until                    string // what a stream has said when it has caught up
}

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
		got[a] = strings.ReplaceAll(fmt.Sprint(response.Status, response.Header, text), workflow, "WF")
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
		Gate: viewer{unseen: "secret", unwritten: "secret"}.gate, Chat: &chat{cancel: none}, Heartbeat: patience,
	}})
	d.append(t, varied("secret7", "")...)
	at := d.cursors(t, "secret7")["4"]
	stamp := time.UnixMicro(at).UTC().Format(time.RFC3339Nano)
	ahead := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	const (
		subscribe = chatfeedv1connect.FeedServiceSubscribeProcedure
		read      = chatfeedv1connect.FeedServiceGetChatDataProcedure
		cancel    = chatfeedv1connect.ChatServiceCancelWorkflowProcedure
	)
	upToDate := `{"upToDate":true}`
	event := "event: up-to-date\ndata: true\n\n"
	asks := []ask{
		{method: "GET", path: "/workflows/WF/chatData"},
		{method: "HEAD", path: "/workflows/WF/chatData"},
		{method: "GET", path: "/workflows/WF/chatData?last=5"},
		{method: "GET", path: "/workflows/WF/chatData?wait=50ms"},
		{method: "GET", path: "/workflows/WF/chatData?afterTimestamp=" + seconds(at)},
		{method: "GET", path: "/workflows/WF/chatData?afterTimestamp=" + ahead},
		{method: "GET", path: "/workflows/WF/chatData?limit=0"},
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
		{method: "GET", path: "/workflows/WF/events", until: event},
		{method: "GET", path: "/workflows/WF/events?last=5", until: event},
		{method: "GET", path: "/workflows/WF/events?after=" + seconds(at), until: event},
		{method: "GET", path: "/workflows/WF/events?after=" + ahead},
		{method: "GET", path: "/events?workflow=seen&workflow=WF", until: event},
		{method: "GET", path: "/events?workflow=WF&workflow=WF"},
		{method: "POST", path: cancel, kind: "application/json", body: `{"workflowId": "WF"}`},
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

// A list of very many workflows of which a viewer may read few is not walked to its end for one page.
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

func TestOnlyWhoMayWriteSendsAndCancels(t *testing.T) {
	t.Parallel()
	var done []string
	chats := &chat{
		send: func(id string, _ rpc.ChatMessage) (rpc.Sent, error) {
			done = append(done, "send "+id)
			return rpc.Sent{}, nil
		},
		cancel: func(id string) error {
			done = append(done, "cancel "+id)
			return nil
		},
	}
	s := serve(t, &source{}, config{rpc: rpc.Config{Gate: viewer{unseen: "secret", unwritten: "fixed"}.gate, Chat: chats}})
	for _, c := range []struct {
		workflow     string
		send, cancel connect.Code // zero: it is done
	}{
		{"open", 0, 0}, {"secret", 0, 0},
		{"fixed", connect.CodePermissionDenied, connect.CodePermissionDenied},
		{"secret fixed", connect.CodePermissionDenied, connect.CodeNotFound},
	} {
		for request, want := range map[any]connect.Code{
			&v1.SendMessageRequest{WorkflowId: c.workflow, Text: "a"}: c.send,
			&v1.CancelWorkflowRequest{WorkflowId: c.workflow}:         c.cancel,
		} {
			err := s.call(limited(t), request)
			if want == 0 {
				require.NoError(t, err, c.workflow)
			} else {
				require.Equal(t, want, connect.CodeOf(err), "%s: %v", c.workflow, err)
			}
		}
	}
	require.ElementsMatch(t, []string{"send open", "cancel open", "send secret", "cancel secret"}, done)
}

func TestAGateSaysWhoARequestComesFrom(t *testing.T) {
	t.Parallel()
	log := new(buffer)
	s := serve(t, fixed(complete(&feed.Item{}, 5)), config{rpc: rpc.Config{
		Log: slog.New(slog.NewTextHandler(log, nil)), Origins: []string{"https://example.com"},
		Gate: func(r *http.Request) (rpc.Viewer, error) {
			switch token := r.Header.Get("Authorization"); token {
			case "Bearer good":
				return viewer{}, nil
			case "Bearer late":
				return viewer{expires: time.Now().Add(-time.Second)}, nil
			case "Bearer broken":
				return nil, errInternal
			case "Bearer none":
				return nil, nil
			default:
				return nil, fmt.Errorf("%q of %s: %w", token, "10.1.2.3", rpc.ErrUnauthenticated)
			}
		},
	}})
	for token, want := range map[string]struct {
		code connect.Code
		say  string
	}{
		"": {connect.CodeUnauthenticated, "new one"}, "Bearer bad": {connect.CodeUnauthenticated, "new one"},
		"Bearer late": {connect.CodeUnauthenticated, "has expired"}, "Bearer broken": {connect.CodeUnavailable, "try again"},
		"Bearer none": {connect.CodeUnavailable, "try again"}, "Bearer good": {},
	} {
		for name, err := range s.asked(limited(t), token) {
			if want.code == 0 {
				require.NoError(t, err, name)
				continue
			}
			require.Equal(t, want.code, connect.CodeOf(err), "%s: %v", name, err)
			require.ErrorContains(t, err, want.say, name)
			requirePublic(t, err.Error())
			said := new(connect.Error)
			require.ErrorAs(t, err, &said)
			if want.code == connect.CodeUnauthenticated && !strings.HasPrefix(name, "gRPC") { // whose trailers cannot hold it
				require.Equal(t, "Bearer", said.Meta().Get("WWW-Authenticate"), name)
			}
		}
	}
	require.Contains(t, log.String(), "SELECT secret")
	require.NotContains(t, log.String(), "bad")
	answer, err := get(limited(t), s.h1, s.url+"/workflows/wf/chatData", "Origin", "https://example.com")
	require.NoError(t, err)
	require.Equal(t, "https://example.com", answer.header.Get("Access-Control-Allow-Origin"), "a page can read why")
	for _, path := range []string{"/healthz", "/readyz"} {
		answer, err := get(limited(t), s.h1, s.url+path)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, answer.status)
	}
}

// bearer sends a token with each request.
type bearer struct {
	token string
	next  http.RoundTripper
}

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r.Header.Set("Authorization", b.token)
	return b.next.RoundTrip(r)
}

// asked is what every way to read says to a token.
func (s *server) asked(ctx context.Context, token string) map[string]error {
	said := map[string]error{}
	c := &http.Client{Transport: bearer{token, s.h2.Transport}}
	for name, option := range map[string]connect.ClientOption{
		"Connect": connect.WithClientOptions(), "gRPC": connect.WithGRPC(), "gRPC-Web": connect.WithGRPCWeb(), "GET": connect.WithHTTPGet(),
	} {
		client := chatfeedv1connect.NewFeedServiceClient(c, s.url, option)
		_, said[name] = client.GetChatData(ctx, &v1.GetChatDataRequest{WorkflowId: "wf"})
		stream, err := client.Subscribe(ctx, &v1.SubscribeRequest{Cursors: cursors(1)})
		if err == nil {
			stream.Receive()
			err = stream.Err()
			_ = stream.Close()
		}
		said[name+" stream"] = err
	}
	_, said["chatData"] = chatData(ctx, c, s.url, "wf", nil)
	for _, path := range []string{"/workflows/wf/events", "/events?" + url.Values{"workflow": {"a", "b"}}.Encode()} {
		response, err := request(ctx, c, s.url+path)
		if err == nil {
			err = errors.Join(response.Body.Close())
		}
		said[path] = err
	}
	return said
}
