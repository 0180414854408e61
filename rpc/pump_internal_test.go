package rpc

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"chatfeed/feed"
)

// endlessSource has an item after every cursor, each on a page of its own.
type endlessSource struct{ busySource }

func (*endlessSource) After(_ context.Context, at []feed.Position, _ feed.Window) ([]feed.Page, error) {
	return endless(at[0].Cursor + 1), nil
}

func (*endlessSource) Before(context.Context, []feed.Position, feed.Window) ([]feed.Page, error) {
	return endless(1 << 40), nil
}

func endless(at feed.Cursor) []feed.Page {
	return []feed.Page{{Items: []*feed.Item{{WorkflowID: "wf", ID: "1", Type: "log", CreatedAt: at, Body: []byte(`{}`)}}, More: true}}
}

// A client is slow, so that the next items are there whenever it has taken the last.
func TestNothingIsSentAfterTheViewerHasExpired(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := slog.New(slog.DiscardHandler)
		f, err := feed.New(&endlessSource{}, &endlessSource{}, feed.Config{Log: log})
		require.NoError(t, err)
		running, stop := context.WithCancel(t.Context())
		defer stop()
		go func() { _ = f.Run(running) }()

		expires := time.Now().Add(10500 * time.Millisecond)
		ctx, cancel := context.WithDeadlineCause(t.Context(), expires, errExpired)
		defer cancel()
		sent := 0
		s := &feedService{Config{Feed: f, Log: log, Heartbeat: time.Minute}, nil}
		err = s.pump(ctx, request{from: []start{{workflowID: "wf"}}}, subscribeForm, func(func() []start) (func(feed.Batch) error, error) {
			return func(batch feed.Batch) error {
				require.Len(t, batch.Items, 1)
				require.True(t, time.Now().Before(expires), "batch %d", sent)
				sent++
				taken := time.NewTimer(time.Second)
				<-taken.C
				synctest.Wait() // the next page has been read
				return nil
			}, nil
		})
		require.ErrorIs(t, err, errExpired)
		require.Equal(t, 11, sent)
	})
}
