package watcher_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"chatfeed/cmd/internal/watcher"
)

func TestTwoServersCostNoMoreCallsThanOne(t *testing.T) {
	t.Parallel()
	var counts []int
	for _, servers := range [][]string{{"a"}, {"a", "b", "c"}} {
		inBubble(t, func(t *testing.T, w *world) {
			for _, id := range many(20) {
				w.run(id, "r-"+id)
			}
			w.follow(many(20)...)
			for _, name := range servers {
				w.watched(t, name, "progress")
			}
			elapse(10 * time.Minute)
			counts = append(counts, w.count())
		})
	}
	require.InEpsilon(t, counts[0], counts[1], 0.02)
}

func TestAnotherServerGoesOnWhenTheOneThatWatchesIsGone(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		w.run("wf", "r")
		w.follow("wf")
		stop := make(map[string]func())
		for _, name := range []string{"a", "b"} {
			_, stop[name] = w.watched(t, name, "")
		}
		elapse(time.Minute)
		for range 6 {
			w.mu.Lock()
			owner := w.owners["wf"].name
			w.mu.Unlock()
			stop[owner]()
			elapse(3 * time.Second)
			require.NotNil(t, w.owners["wf"])
			require.NotEqual(t, owner, w.owners["wf"].name)
			_, stop[owner] = w.watched(t, owner, "")
			elapse(3 * time.Second)
		}
		w.end("wf", watcher.Terminated)
		elapse(6 * time.Second)
		require.Equal(t, []string{"0 running", "0 terminated"}, w.told("wf"))
	})
}

func TestAServerThatLosesItsLocksStopsAndComesBack(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		for _, id := range many(50) {
			w.run(id, "r-"+id)
		}
		w.follow(many(50)...)
		stats, _ := w.watched(t, "a", "")
		elapse(time.Minute)
		w.set(func() { w.hangs = func(id string, _ bool) bool { return id == "wf0" } })
		elapse(5 * time.Second)
		require.Equal(t, "a", w.die(t, "wf1"))
		elapse(1250 * time.Millisecond)
		require.Zero(t, stats().Watched)
		require.Zero(t, w.running, "calls are given up, too")
		calls := w.count()
		elapse(time.Hour)
		require.Equal(t, calls, w.count(), "as long as it has no locks")
	})
}

func TestALockIsFreeAsSoonAsItsOwnerHasStoppedAsking(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		w.run("wf", "r")
		w.set(func() { w.hangs = func(string, bool) bool { return true } })
		w.follow("wf")
		_, stop := w.watched(t, "a", "")
		elapse(1100 * time.Millisecond)
		w.leave("wf")
		elapse(250 * time.Millisecond)
		require.Zero(t, w.running)
		require.Empty(t, w.owners)
		w.follow("wf")
		elapse(time.Second)
		require.Len(t, w.owners, 1)
		stop()
		require.Zero(t, w.running)
		require.Empty(t, w.owners)
	})
}
