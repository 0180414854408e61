package rpc_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"

	"chatfeed/db"
	"chatfeed/rpc"
	v1 "chatfeed/rpc/chatfeedv1"
)

// watcher is a client that keeps the list of workflows.
type watcher struct {
	stream   *connect.ServerStreamForClient[v1.WatchWorkflowsResponse]
	list     map[string]*v1.Workflow
	upToDate bool
	frames   []*v1.WatchWorkflowsResponse
	token    string // of the latest beginning
}

func (s *server) watch(t *testing.T, size int32, options ...connect.ClientOption) *watcher {
	t.Helper()
	stream, err := s.rpc(options...).WatchWorkflows(limited(t), &v1.WatchWorkflowsRequest{PageSize: size})
	require.NoError(t, err)
	t.Cleanup(func() { _ = stream.Close() })
	return &watcher{stream: stream, list: map[string]*v1.Workflow{}}
}

// next applies a frame.
func (w *watcher) next(t *testing.T) *v1.WatchWorkflowsResponse {
	t.Helper()
	require.True(t, w.stream.Receive(), "%v", w.stream.Err())
	frame := w.stream.Msg()
	w.frames = append(w.frames, frame)
	if frame.GetAnew() {
		clear(w.list)
		w.token = frame.GetNextPageToken()
	}
	for _, id := range frame.GetGone() {
		delete(w.list, id)
	}
	for _, workflow := range frame.GetWorkflows() {
		w.list[workflow.GetId()] = workflow
	}
	w.upToDate = frame.GetUpToDate()
	return w.frames[len(w.frames)-1]
}

// until applies frames until the list is up to date and as it should be.
func (w *watcher) until(t *testing.T, done func(map[string]*v1.Workflow) bool) {
	t.Helper()
	for !w.upToDate || !done(w.list) {
		w.next(t)
	}
}

func has(ids ...string) func(map[string]*v1.Workflow) bool {
	return func(list map[string]*v1.Workflow) bool {
		for _, id := range ids {
			if list[id] == nil {
				return false
			}
		}
		return len(list) == len(ids)
	}
}

func TestTheListOfWorkflowsIsLive(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := serve(t, d.source(t), config{})
	d.append(t, db.Log{WorkflowID: "old", ID: "1"})
	for name, option := range map[string]connect.ClientOption{
		"Connect": connect.WithProtoJSON(), "gRPC": connect.WithGRPC(), "gRPC-Web": connect.WithGRPCWeb(),
	} {
		client := *s
		if name == "gRPC" {
			client.h1 = s.h2
		}
		w := client.watch(t, 0, option)
		w.until(t, has("old"))
		require.True(t, w.frames[0].GetAnew(), name)
		require.Empty(t, w.token)

		wf := "new " + name
		d.append(t, db.Progress{WorkflowID: wf, ID: "1", Progress: 42.5, Status: "running"})
		w.until(t, has("old", wf))
		require.Equal(t, "running", w.list[wf].GetStatus())
		require.InDelta(t, 42.5, w.list[wf].GetProgress(), 0)
		require.False(t, w.list[wf].GetFinal())
		require.Equal(t, d.cursors(t, wf)["1"], w.list[wf].GetHead().AsTime().UnixMicro())

		d.append(t, db.Progress{WorkflowID: wf, ID: "2", Progress: 100, Status: "done", Final: true})
		w.until(t, func(list map[string]*v1.Workflow) bool { return list[wf].GetFinal() })
		listed, err := s.rpc().ListWorkflows(limited(t), &v1.ListWorkflowsRequest{})
		require.NoError(t, err)
		require.Equal(t, w.list[wf].String(), listed.GetWorkflows()[0].String())

		// The newest item is erased: the head goes back. Then all of them, and then the workflow.
		d.exec(t, `delete from chatfeed.progress where workflow_id = $1 and id = '2'`, wf)
		w.until(t, func(list map[string]*v1.Workflow) bool {
			return list[wf].GetStatus() == "running" && !list[wf].GetFinal()
		})
		d.exec(t, `delete from chatfeed.progress where workflow_id = $1`, wf)
		w.until(t, has("old"))
		d.exec(t, `delete from chatfeed.workflows where id = $1`, wf)
		for _, frame := range w.frames[1:] {
			require.False(t, frame.GetAnew(), "the list does not begin again")
		}
		require.NoError(t, w.stream.Close())
	}
}

func TestAPageOfTheLiveListGoesOnInTheListOfWorkflows(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := serve(t, d.source(t), config{})
	var all []string
	for i := range 30 {
		all = append(all, fmt.Sprint("wf", i))
		d.append(t, db.Log{WorkflowID: all[i], ID: "1"})
	}
	for _, size := range []int32{1, 7, 29, 30, 31} {
		w := s.watch(t, size)
		w.until(t, func(list map[string]*v1.Workflow) bool { return len(list) == min(int(size), 30) })
		got := map[string]bool{}
		for id := range w.list {
			got[id] = true
		}
		require.True(t, got["wf29"])
		for token := w.token; token != ""; {
			page, err := s.rpc().ListWorkflows(limited(t), &v1.ListWorkflowsRequest{PageSize: 10, PageToken: token})
			require.NoError(t, err)
			for _, workflow := range page.GetWorkflows() {
				got[workflow.GetId()] = true
			}
			token = page.GetNextPageToken()
		}
		require.Len(t, got, 30)
	}
}

// A viewer is told of what it may read and of nothing else, not even that something has changed.
func TestTheLiveListHidesWorkflows(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := serve(t, d.source(t), config{rpc: rpc.Config{Gate: viewer{unseen: "secret"}.gate, Heartbeat: patience}})
	for i := range 40 {
		d.append(t, db.Log{WorkflowID: fmt.Sprint("secret", i), ID: "1"})
		if i%10 == 0 {
			d.append(t, db.Log{WorkflowID: fmt.Sprint("seen", i), ID: "1"})
		}
	}
	w := s.watch(t, 2)
	w.until(t, has("seen20", "seen30"))
	require.NotEmpty(t, w.token)
	frames := len(w.frames)
	for i := range 5 {
		d.append(t, db.Progress{WorkflowID: "secret1", ID: fmt.Sprint(i), Status: "x"}, db.Log{WorkflowID: fmt.Sprint("secret new", i), ID: "1"})
		d.exec(t, `delete from chatfeed.workflows where id = $1`, fmt.Sprint("secret", 20+i))
	}
	d.append(t, db.Log{WorkflowID: "seen0", ID: "2"})
	w.next(t)
	require.Len(t, w.frames, frames+1, "nothing came between")
	require.Len(t, w.frames[frames].GetWorkflows(), 1)
	require.Empty(t, w.frames[frames].GetGone())
	require.NotNil(t, w.list["seen0"])
}

func TestAWatchEndsWithItsViewer(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	expires := serve(t, d.source(t), config{rpc: rpc.Config{Gate: expiring(2 * time.Second)}}).watch(t, 0)
	for expires.stream.Receive() {
		continue
	}
	require.Equal(t, connect.CodeUnauthenticated, connect.CodeOf(expires.stream.Err()), "%v", expires.stream.Err())
}

func TestWatchingIsRefusedWhereThereIsNoDirectory(t *testing.T) {
	t.Parallel()
	stream, err := serve(t, &source{}, config{}).rpc().WatchWorkflows(limited(t), &v1.WatchWorkflowsRequest{})
	require.NoError(t, err)
	require.False(t, stream.Receive())
	require.Equal(t, connect.CodeUnimplemented, connect.CodeOf(stream.Err()))
}

func TestTheStatusSaysWhatCanBeUsed(t *testing.T) {
	t.Parallel()
	building := "Temporal is still being built: package 1 of at most 2"
	chats := &chat{}
	for _, c := range []struct {
		cfg  rpc.Config
		want *v1.GetStatusResponse
	}{
		{rpc.Config{}, &v1.GetStatusResponse{
			Database: &v1.Availability{Available: true}, Chat: &v1.Availability{Reason: "this server does not offer ChatService"},
		}},
		{rpc.Config{Chat: chats, About: rpc.About{
			Version: "1.2.3", TemporalUI: "http://ui/namespaces/default/workflows/", DatabaseURL: "postgres://me@127.0.0.1/chatfeed",
		}}, &v1.GetStatusResponse{
			Database: &v1.Availability{Available: true}, Chat: &v1.Availability{Available: true},
			Version: "1.2.3", TemporalUi: "http://ui/namespaces/default/workflows/", DatabaseUrl: "postgres://me@127.0.0.1/chatfeed",
		}},
		{rpc.Config{
			Chat: chats, About: rpc.About{ChatAway: func() string { return building }},
			Ready: func(context.Context) error { return errInternal },
		}, &v1.GetStatusResponse{
			Database: &v1.Availability{Reason: "the database cannot be reached; try again"}, Chat: &v1.Availability{Reason: building},
		}},
		{rpc.Config{
			Chat: chats, About: rpc.About{ChatAway: func() string { return "" }},
			Ready: func(context.Context) error { return &rpc.AwayError{Reason: "not prepared"} },
		}, &v1.GetStatusResponse{
			Database: &v1.Availability{Reason: "not prepared"}, Chat: &v1.Availability{Available: true},
		}},
	} {
		got, err := serve(t, &source{}, config{rpc: c.cfg}).rpc().GetStatus(limited(t), &v1.GetStatusRequest{})
		require.NoError(t, err)
		require.Equal(t, c.want.String(), got.String())
	}
}
