package watcher_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"chatfeed/cmd/internal/watcher"
)

func TestAnOutageOfTemporalIsToldOnceAndSoIsItsEnd(t *testing.T) {
	t.Parallel()
	for name, broken := range map[string]func(*world){
		"it refuses": func(w *world) { w.down = errors.New("connection refused") },
		"it hangs":   func(w *world) { w.hangs = func(string, bool) bool { return true } },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, w *world) {
				ids := many(50)
				for _, id := range ids {
					w.run(id, "r-"+id)
				}
				w.run("own", "o")
				w.record("own", "1", 30, "reading")
				w.run("over", "x")
				w.end("over", watcher.Completed)
				w.follow(append(ids, "own", "over", "none")...)
				stats, _ := w.watched(t, "a", "")
				elapse(time.Minute)
				w.set(func() { broken(w) })
				elapse(4 * time.Second)
				require.Equal(t, []string{"0 running"}, w.told("wf0"), "a blip is not worth an item")
				elapse(20 * time.Second)
				calls := w.count()
				elapse(2 * time.Minute)
				require.LessOrEqual(t, w.count()-calls, 125, "one call a second finds out that it is back")
				for _, id := range ids {
					require.Equal(t, []string{"0 running", "0 unknown"}, w.told(id))
				}
				require.Contains(t, string(w.items["wf0"][1].Body), "Temporal does not answer")
				require.False(t, strings.Contains(string(w.items["wf0"][1].Body), "refused"), "internals are for the log")
				require.NotZero(t, stats().Failures)
				w.end("wf7", watcher.Failed)
				w.set(func() { w.down, w.hangs = nil, nil })
				elapse(12 * time.Second)
				for _, id := range ids {
					want := []string{"0 running", "0 unknown", "0 running"}
					if id == "wf7" {
						want[2] = "0 failed"
					}
					require.Equal(t, want, w.told(id), id)
				}
				require.Equal(t, []string{"30 reading"}, w.told("own"), "its own word counts")
				require.Equal(t, []string{"100 completed"}, w.told("over"))
				require.Empty(t, w.told("none"))
			})
		})
	}
}

func TestAWorkflowThatTemporalDoesNotDescribeIsUnknownAndDelaysNoOther(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		for _, id := range many(100) {
			w.run(id, "r-"+id)
		}
		w.run("wf", "r")
		w.follow(append(many(100), "wf")...)
		w.watched(t, "a", "")
		elapse(time.Minute)
		w.set(func() { w.hangs = func(id string, _ bool) bool { return id != "wf" } })
		elapse(4 * time.Minute)
		require.Equal(t, []string{"0 running", "0 unknown"}, w.told("wf1"))
		w.end("wf", watcher.Terminated)
		elapse(6 * time.Second)
		require.Equal(t, []string{"0 running", "0 terminated"}, w.told("wf"))
	})
}

func TestOneWorkflowThatFailsIsNoOutage(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		w.run("bad", "b")
		w.run("wf", "r")
		w.follow("bad", "wf", "\xff")
		stats, _ := w.watched(t, "a", "")
		elapse(time.Minute)
		require.Equal(t, 2, stats().Watched)
		w.set(func() { w.refuses = func(id string) bool { return id == "bad" } })
		elapse(time.Hour)
		require.Equal(t, []string{"0 running"}, w.told("wf"))
		require.Equal(t, []string{"0 running", "0 unknown"}, w.told("bad"))
	})
}

func TestAThousandWorkflowsDoNotFloodTemporal(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		ids := many(1000)
		for _, id := range ids {
			w.run(id, "r-"+id)
		}
		w.answer(`1`)
		w.follow(ids...)
		w.watched(t, "a", "progress")
		elapse(time.Minute)
		second := 0
		for i, c := range w.calls {
			for ; c.at.Sub(w.calls[second].at) > time.Second; second++ {
			}
			if i-second > 220 {
				require.FailNow(t, "too many calls in a second", "%d", i-second)
			}
		}
		turn := make(map[string]time.Time)
		for _, c := range w.calls {
			require.False(t, c.at.Sub(turn[c.workflowID]) > 16*time.Second && !turn[c.workflowID].IsZero(), "each has its turn")
			turn[c.workflowID] = c.at
		}
		require.Len(t, turn, len(ids))
		for _, id := range ids {
			w.end(id, watcher.Completed)
		}
		elapse(16 * time.Second)
		for _, id := range ids {
			told := w.told(id) // some have to wait for their query longer than the grace
			require.Equal(t, []string{"1 running", "100 completed"}, told[len(told)-2:])
		}
	})
}

func TestFewCallsRunAtATimeHoweverSlowTheyAre(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		ids := many(1000)
		for _, id := range ids {
			w.run(id, "r-"+id)
		}
		w.answer(`1`)
		w.set(func() { w.latency = 2 * time.Second })
		w.follow(ids...)
		w.watched(t, "a", "progress")
		elapse(time.Minute)
		require.Greater(t, w.most, 16)
		w.set(func() { w.hangs = func(id string, _ bool) bool { return id != "wf0" } })
		elapse(time.Minute)
		require.LessOrEqual(t, w.most, 36)
	})
}
