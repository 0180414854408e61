package feed_test

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"chatfeed/feed"
)

// broker is a waker that is separate from the items: it forwards wakes.
type broker struct{ heads chan feed.Position }

func (b broker) Listen(ctx context.Context, connected func(), wake func(string, feed.Cursor)) error {
	connected()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case head := <-b.heads:
			wake(head.WorkflowID, head.Cursor)
		}
	}
}

func TestTheWakerNeedNotBeTheReader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src, waker := newSource(), broker{make(chan feed.Position)}
		f, err := feed.New(src, waker, feed.Config{Log: slog.New(slog.DiscardHandler)})
		require.NoError(t, err)
		ended := make(chan struct{})
		go func() { defer close(ended); _ = f.Run(t.Context()) }()
		t.Cleanup(func() { <-ended })
		s := live(t, f, "w")

		src.messages("w", 1)
		began := time.Now()
		waker.heads <- feed.Position{WorkflowID: "w", Cursor: 1}
		requireSame(t, numbered("w", 1, 1), catchUp(t, s))
		require.Zero(t, time.Since(began), "at once")

		src.messages("w", 1) // of which the broker says nothing
		requireSame(t, numbered("w", 2, 2), catchUp(t, s))
		require.LessOrEqual(t, time.Since(began), sweep, "by the sweep")
		require.Empty(t, src.listened(), "nobody listens to the source itself")
	})
}

func TestAFeedRunsOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		f, err := feed.New(src, src, feed.Config{Log: slog.New(slog.DiscardHandler)})
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- f.Run(ctx) }()
		synctest.Wait()
		require.ErrorContains(t, f.Run(ctx), "a feed runs once")
		s := live(t, f, "w")
		src.messages("w", 1)
		requireSame(t, numbered("w", 1, 1), catchUp(t, s))
		cancel()
		require.NoError(t, <-ended)
		require.ErrorContains(t, f.Run(t.Context()), "a feed runs once")
	})
}
