package feed_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"chatfeed/feed"
)

// small is a window in which few items are many.
func small() feed.Config { return feed.Config{Window: feed.Bounds{Items: 4}} }

// run runs a feed until the test ends, and waits until the feed has nothing left to do.
func run(t *testing.T, src *source, cfg feed.Config) *feed.Feed {
	t.Helper()
	cfg.Log = slog.New(slog.DiscardHandler)
	f, err := feed.New(src, src, cfg)
	require.NoError(t, err)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = f.Run(t.Context())
	}()
	t.Cleanup(func() {
		<-ended
		require.Empty(t, src.broken())
	})
	synctest.Wait()
	return f
}

// elapse lets virtual time pass.
func elapse(d time.Duration) {
	sleep(d)
	synctest.Wait()
}

// sleep lets virtual time pass, beside all that happens meanwhile.
func sleep(d time.Duration) { pass(context.Background(), d) }

// pass is sleep until ctx ends. It has no timer for no time: Go 1.26's race detector crashes when two goroutines of a
// bubble receive from timers that are due without waiting.
func pass(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

func after(workflowID string, at feed.Cursor) feed.Start {
	return feed.After(workflowID, at)
}

func last(workflowID string, n int) feed.Start {
	return feed.Last(workflowID, n)
}

func all(workflowIDs ...string) []feed.Start {
	from := make([]feed.Start, len(workflowIDs))
	for i, id := range workflowIDs {
		from[i] = after(id, 0)
	}
	return from
}

// follow subscribes until the test ends.
func follow(t *testing.T, f *feed.Feed, options feed.Options) *feed.Subscription {
	t.Helper()
	s, err := f.Subscribe(t.Context(), options)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return s
}

func next(t *testing.T, s *feed.Subscription) feed.Batch {
	t.Helper()
	batch, err := s.Next()
	require.NoError(t, err)
	return batch
}

// catchUp takes batches until one is up to date and returns their items' ids. The source may be out of reach meanwhile.
func catchUp(t *testing.T, s *feed.Subscription) []string {
	t.Helper()
	got := []string{}
	for empty := 0; empty < 2; {
		batch := next(t, s)
		got = append(got, ids(batch.Items)...)
		if batch.UpToDate {
			return got
		}
		if len(batch.Items) == 0 {
			empty++
		}
	}
	require.Fail(t, "nothing came before it was up to date")
	return nil
}

// receive takes batches until it has n items, and returns their ids. It gives up when nothing comes any more.
func receive(t *testing.T, s *feed.Subscription, n int) []string {
	t.Helper()
	got := []string{}
	for empty := 0; len(got) < n && empty < 3; {
		items := next(t, s).Items
		got = append(got, ids(items)...)
		if len(items) == 0 {
			empty++
		}
	}
	return got
}

// live subscribes and catches up.
func live(t *testing.T, f *feed.Feed, workflowIDs ...string) *feed.Subscription {
	t.Helper()
	s := follow(t, f, feed.Options{From: all(workflowIDs...)})
	catchUp(t, s)
	synctest.Wait()
	return s
}

func ids(items []*feed.Item) []string {
	got := make([]string, len(items))
	for i, item := range items {
		got[i] = item.ID
	}
	return got
}

// numbered is the ids of a workflow's items from first to last.
func numbered(workflowID string, first, last int) []string {
	want := []string{}
	for n := first; n <= last; n++ {
		want = append(want, fmt.Sprintf("%s/%d", workflowID, n))
	}
	return want
}

func requireSame[T any](t *testing.T, want, got T) {
	t.Helper()
	require.Empty(t, cmp.Diff(want, got), "- want, + got")
}

// promptly calls do and requires that no virtual time passes: nothing waited for a sweep or a second try.
func promptly(t *testing.T, do func()) {
	t.Helper()
	began := time.Now()
	do()
	require.Zero(t, time.Since(began), "it took virtual time")
}
