package feed_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"chatfeed/feed"
)

// awaited is what a call of Await came to.
type awaited struct {
	page feed.Page
	err  error
	took time.Duration
}

func await(ctx context.Context, f *feed.Feed, read feed.Read, wait time.Duration) <-chan awaited {
	done := make(chan awaited, 1)
	go func() {
		began := time.Now()
		page, err := f.Await(ctx, read, wait)
		done <- awaited{page, err, time.Since(began)}
	}()
	synctest.Wait()
	return done
}

func TestAwaitReturnsExistingItemsAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		src.messages("w", 10)
		f := run(t, src, small())
		got := <-await(t.Context(), f, readAfter("w", 0), time.Minute)
		require.NoError(t, got.err)
		require.Zero(t, got.took)
		requireSame(t, numbered("w", 1, 4), ids(got.page.Items))
		require.True(t, got.page.More)
		require.Zero(t, f.Stats().Topics)
	})
}

func TestAwaitWithoutAWaitIsPage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		f := run(t, src, feed.Config{})
		got := <-await(t.Context(), f, readAfter("w", 0), 0)
		require.NoError(t, got.err)
		require.Zero(t, got.took)
		require.Empty(t, got.page.Items)
		require.Zero(t, f.Stats().Topics)
	})
}

func TestAwaitWaitsForACommit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		head := src.messages("w", 2)
		f := run(t, src, feed.Config{})
		done := await(t.Context(), f, readAfter("w", head), time.Minute)
		elapse(20 * time.Second)
		src.messages("w", 3)
		got := <-done
		require.NoError(t, got.err)
		require.Equal(t, 20*time.Second, got.took)
		requireSame(t, numbered("w", 3, 5), ids(got.page.Items))
		require.False(t, got.page.More)
		require.Zero(t, f.Stats().Subscriptions)
	})
}

func TestAwaitKeepsToLimitAndTypes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		f := run(t, src, feed.Config{})
		read := readAfter("w", 0)
		read.Limit, read.Types = 2, []string{"log"}
		done := await(t.Context(), f, read, time.Minute)
		src.messages("w", 3)
		elapse(time.Second)
		src.commit("w", "log", "message", "log", "log")
		got := <-done
		require.NoError(t, got.err)
		require.Equal(t, time.Second, got.took)
		requireSame(t, []string{"w/4", "w/6"}, ids(got.page.Items))
		require.True(t, got.page.More)
	})
}

func TestAwaitReturnsAnEmptyPageWhenNothingCame(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		f := run(t, src, feed.Config{})
		got := <-await(t.Context(), f, readAfter("w", 0), 25*time.Second)
		require.NoError(t, got.err)
		require.Equal(t, 25*time.Second, got.took)
		requireSame(t, feed.Page{}, got.page)
		require.Zero(t, f.Stats().Subscriptions)
	})
}

func TestAwaitWaitsNoLongerBecauseTheSourceIsSlow(t *testing.T) {
	t.Parallel()
	for name, slow := range map[string]op{"to read the page": opAfter, "to load the topic": opBefore} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				src := newSource()
				f := run(t, src, feed.Config{})
				read := src.holdNext(slow, beforeSnapshot)
				done := await(t.Context(), f, readAfter("w", 0), 25*time.Second)
				<-read.reached
				elapse(20 * time.Second)
				close(read.release)
				got := <-done
				require.NoError(t, got.err)
				require.Empty(t, got.page.Items)
				require.Equal(t, 25*time.Second, got.took)
			})
		})
	}
}

func TestAwaitReturnsAnEmptyPageWhenTheFeedDrains(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		f := run(t, src, feed.Config{})
		done := await(t.Context(), f, readAfter("w", 0), time.Minute)
		elapse(time.Second)
		f.Drain()
		got := <-done
		require.NoError(t, got.err)
		require.Equal(t, time.Second, got.took)
		requireSame(t, feed.Page{}, got.page)

		src.messages("w", 1)
		page, err := f.Page(t.Context(), readAfter("w", 0))
		require.NoError(t, err)
		require.Len(t, page.Items, 1, "single reads go on")
	})
}

func TestAwaitEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		f := run(t, src, feed.Config{})
		ctx, cancel := context.WithCancel(t.Context())
		done := await(ctx, f, readAfter("w", 0), time.Minute)
		elapse(time.Second)
		cancel()
		got := <-done
		require.ErrorIs(t, got.err, context.Canceled)
		require.Equal(t, time.Second, got.took)
		require.Zero(t, f.Stats().Subscriptions)
	})
}

func TestAwaitFailsWithTheSourcesError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		f := run(t, src, feed.Config{})
		src.disconnect()
		got := <-await(t.Context(), f, readAfter("w", 0), time.Minute)
		require.ErrorIs(t, got.err, errUnavailable)
	})
}
