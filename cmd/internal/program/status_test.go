package program_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"chatfeed/cmd/internal/program"
	"chatfeed/db"
	"chatfeed/internal/dbtest"
	"chatfeed/internal/embedded"
	v1 "chatfeed/rpc/chatfeedv1"
	"chatfeed/rpc/chatfeedv1/chatfeedv1connect"
)

func TestTheStatusLinksToTheRunsInTemporalsUI(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	for ui, want := range map[string]string{
		"":                               "",
		"http://localhost:8233":          "http://localhost:8233/namespaces/a%2Fb%20c/workflows/",
		"https://example.com/ui/":        "https://example.com/ui/namespaces/a%2Fb%20c/workflows/",
		"http://me:pw@[::1]:8233/?x=1#y": "http://[::1]:8233/namespaces/a%2Fb%20c/workflows/",
	} {
		server := serve(t, url, func(s *program.Serve) { s.TemporalUI, s.TemporalNamespace, s.NoChat = ui, "a/b c", false })
		got, err := chatfeedv1connect.NewFeedServiceClient(http.DefaultClient, server).GetStatus(t.Context(), &v1.GetStatusRequest{})
		require.NoError(t, err)
		require.Equal(t, want, got.GetTemporalUi())
		require.NotEmpty(t, got.GetVersion())
		require.Empty(t, got.GetDatabaseUrl(), "serve does not tell it")
		require.True(t, got.GetDatabase().GetAvailable())
		require.True(t, got.GetChat().GetAvailable())
	}
	for _, ui := range []string{"localhost:8233", "javascript:alert(1)", "ftp://localhost", "http://", "http://a b"} {
		s := program.Serve{Database: program.Database{DatabaseURL: url}, Listen: "127.0.0.1:0", TemporalUI: ui}
		require.ErrorContains(t, s.Run(t.Context(), slog.New(slog.DiscardHandler)), "--temporal-ui: ")
	}
}

// While PostgreSQL is away, those who watch the list are told; when it is back, the list is right again.
func TestWhoWatchesTheListIsToldThatPostgreSQLIsAwayAndBack(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	postgres := dbtest.Server(t)
	write := func(id string) {
		pool, err := db.Open(ctx, postgres.URL())
		require.NoError(t, err)
		defer pool.Close()
		_, err = pool.Exec(ctx, `insert into chatfeed.progress (workflow_id, progress, status) values ($1, 5, 'running')`, id)
		require.NoError(t, err)
	}
	server := serve(t, postgres.URL(), func(s *program.Serve) { s.Sweep = 500 * time.Millisecond })
	client := chatfeedv1connect.NewFeedServiceClient(http.DefaultClient, server)
	stream, err := client.WatchWorkflows(ctx, &v1.WatchWorkflowsRequest{})
	require.NoError(t, err)
	defer func() { _ = stream.Close() }()
	list := map[string]string{}
	until := func(done func(frame *v1.WatchWorkflowsResponse) bool) {
		for {
			require.True(t, stream.Receive(), "%v", stream.Err())
			frame := stream.Msg()
			if frame.GetAnew() {
				clear(list)
			}
			for _, w := range frame.GetWorkflows() {
				list[w.GetId()] = w.GetStatus()
			}
			if done(frame) {
				return
			}
		}
	}
	for i, how := range []embedded.Shutdown{embedded.Fast, embedded.Kill} {
		write(fmt.Sprint("before", i))
		until(func(f *v1.WatchWorkflowsResponse) bool { return f.GetUpToDate() && len(list) == 2*i+1 })
		require.NoError(t, postgres.Halt(ctx, how))
		until(func(f *v1.WatchWorkflowsResponse) bool { return !f.GetUpToDate() && len(f.GetWorkflows()) == 0 })
		status, err := client.GetStatus(ctx, &v1.GetStatusRequest{})
		require.NoError(t, err)
		require.False(t, status.GetDatabase().GetAvailable())
		require.Contains(t, status.GetDatabase().GetReason(), "cannot be reached")
		require.NoError(t, postgres.Resume(ctx))
		write(fmt.Sprint("after", i))
		until(func(f *v1.WatchWorkflowsResponse) bool { return f.GetUpToDate() && len(list) == 2*i+2 })
	}
	require.Equal(t, map[string]string{"before0": "running", "after0": "running", "before1": "running", "after1": "running"}, list)
}
