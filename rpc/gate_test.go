package rpc_test

import (
	"context"
	"errors"
	"fmt"
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
	unseen, unwritten, unrecorded string
	expires                       time.Time
}

func (v viewer) CanRead(id string) bool { return v.unseen == "" || !strings.Contains(id, v.unseen) }
func (v viewer) CanWrite(id string) bool {
	return v.unwritten == "" || !strings.Contains(id, v.unwritten)
}

func (v viewer) CanRecord(id string) bool {
	return v.unrecorded == "" || !strings.Contains(id, v.unrecorded)
}
func (v viewer) Expires() time.Time { return v.expires }

// gate lets everyone in as this viewer.
func (v viewer) gate(*http.Request) (rpc.Viewer, error) { return v, nil }

// expiring makes of whoever comes a viewer that expires so long after the first has come.
func expiring(after time.Duration) rpc.Gate {
	first := sync.OnceValue(time.Now)
	return func(*http.Request) (rpc.Viewer, error) { return viewer{expires: first().Add(after)}, nil }
}

// endsWithViewer is a guarantee of every transport.
func endsWithViewer(t *testing.T, tr transport, d *database) {
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
		s := serve(t, endless, config{rpc: rpc.Config{Gate: expiring(time.Second)}})
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
	s := serve(t, endless, config{rpc: rpc.Config{Gate: expiring(time.Second)}})
	answer, err := get(limited(t), s.h1, s.url+"/workflows/wf/chatData")
	if err == nil { // nothing was sent yet: it answers with the error instead of aborting
		require.Equal(t, connect.CodeUnauthenticated, connect.CodeOf(answer.error()), "%s", answer.body)
	}
}

func TestOnlyAViewerThatMayWriteSendsAndCancels(t *testing.T) {
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
		told: func(id string, a rpc.Approval) error {
			done = append(done, "tell "+id+a.CallID)
			return nil
		},
	}
	s := serve(t, &source{}, config{rpc: rpc.Config{Gate: viewer{unseen: "secret", unwritten: "fixed"}.gate, Chat: chats}})
	for _, c := range []struct {
		workflow     string
		send, cancel connect.Code // zero: it is done
	}{
		{"open", 0, 0},
		{"secret", 0, 0},
		{"fixed", connect.CodePermissionDenied, connect.CodePermissionDenied},
		{"secret fixed", connect.CodePermissionDenied, connect.CodeNotFound},
	} {
		for request, want := range map[any]connect.Code{
			&v1.SendMessageRequest{WorkflowId: c.workflow, Text: "a"}:          c.send,
			&v1.CancelWorkflowRequest{WorkflowId: c.workflow}:                  c.cancel,
			&v1.StopAnswerRequest{WorkflowId: c.workflow}:                      c.cancel,
			&v1.AnswerApprovalRequest{WorkflowId: c.workflow, CallId: " call"}: c.cancel,
		} {
			err := s.call(limited(t), request)
			if want == 0 {
				require.NoError(t, err, c.workflow)
			} else {
				require.Equal(t, want, connect.CodeOf(err), "%s: %v", c.workflow, err)
			}
		}
	}
	require.ElementsMatch(t, []string{
		"send open", "cancel open", "tell open", "tell open call", "send secret", "cancel secret", "tell secret", "tell secret call",
	}, done)
}

func TestTheGateDeterminesTheViewer(t *testing.T) {
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
