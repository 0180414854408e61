package watcher_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"chatfeed/cmd/internal/watcher"
	"chatfeed/db"
	"chatfeed/internal/dbtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, dbtest.Goroutines()...) }

func TestIntervalsGrowByHalfFromATenthOfASecondToFiveAndAreLeastAgainOnAChange(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		w.run("wf", "r")
		w.follow("wf")
		began := time.Now()
		w.watched(t, "a", "")
		elapse(40 * time.Second)
		// The first is after the least interval twice: finding the run is a change. The item that it runs is one, too.
		at := w.describes("wf", began)
		var gaps []time.Duration
		for i := 1; i < len(at); i++ {
			gaps = append(gaps, (at[i] - at[i-1]).Round(time.Millisecond))
		}
		ms := time.Millisecond
		require.Equal(t, []time.Duration{100 * ms, 150 * ms, 225 * ms, 338 * ms, 506 * ms}, gaps[:5], "until the grace is over")
		require.Equal(t, []time.Duration{
			100 * ms, 150 * ms, 225 * ms, 338 * ms, 506 * ms, 759 * ms, 1139 * ms, 1709 * ms, 2563 * ms, 3844 * ms, 5000 * ms, 5000 * ms,
		}, gaps[5:17], "from the item on")

		last := at[len(at)-1]
		w.set(func() { w.runs["wf"].Events++ })
		elapse(5500 * time.Millisecond)
		again := w.describes("wf", began)[len(at):]
		require.Equal(t, 5*time.Second, (again[0] - last).Round(time.Millisecond))
		require.Equal(t, 100*ms, (again[1] - again[0]).Round(ms))
		require.Equal(t, 150*ms, (again[2] - again[1]).Round(ms))
	})
}

func TestNobodyFollowingCostsNoCall(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		w.run("wf", "r")
		w.run("forbidden", "f")
		stats, _ := w.watched(t, "a", "progress")
		w.follow(hidden)
		elapse(time.Hour)
		require.Zero(t, w.count())
		w.follow("wf")
		elapse(time.Minute)
		require.NotZero(t, w.count())
		require.Equal(t, 1, stats().Watched)
		w.leave("wf")
		elapse(time.Second)
		calls := w.count()
		elapse(time.Hour)
		require.Equal(t, calls, w.count())
		require.Zero(t, stats().Watched)
		require.Empty(t, w.owners, "and no lock is held")
	})
}

func TestEachEndIsToldOnceWithinSixSeconds(t *testing.T) {
	t.Parallel()
	for end, say := range map[watcher.Status]string{
		watcher.Completed: "100 completed", watcher.Failed: "0 failed", watcher.Canceled: "0 cancelled",
		watcher.Terminated: "0 terminated", watcher.TimedOut: "0 timed_out",
	} {
		inBubble(t, func(t *testing.T, w *world) {
			w.run("wf", "r")
			w.follow("wf")
			stats, stop := w.watched(t, "a", "")
			elapse(time.Minute)
			w.end("wf", end)
			elapse(6 * time.Second)
			require.Equal(t, []string{"0 running", say}, w.told("wf"))
			elapse(time.Hour)
			stop()
			require.Equal(t, uint64(2), stats().Items)
			w.watched(t, "b", "") // which knows nothing of what the other has said
			elapse(time.Hour)
			require.Equal(t, []string{"0 running", say}, w.told("wf"))
			require.Equal(t, "temporal:r:"+string(end), w.items["wf"][1].ID)
			require.False(t, w.items["wf"][1].Final, "the id may be used again")
		})
	}
}

func TestAWorkflowThatRecordsItselfCostsFewCallsAndIsToldOnlyWhatItCouldNotSay(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		last string
		end  watcher.Status
		more []string
	}{
		"it has said that it is done":     {"Done", watcher.Completed, nil},
		"it has said that it was stopped": {"cancelled", watcher.Canceled, nil},
		"it was terminated":               {"reading", watcher.Terminated, []string{"50 terminated"}},
		"it was terminated when done":     {"done", watcher.Terminated, []string{"50 terminated"}},
		"it fails":                        {"reading", watcher.Failed, []string{"50 failed"}},
		"it is silent about its end":      {"reading", watcher.Completed, []string{"100 completed"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, w *world) {
				w.run("wf", "r")
				w.record("wf", "own1", 20, "begun")
				w.follow("wf")
				w.watched(t, "a", "progress")
				elapse(time.Minute)
				require.LessOrEqual(t, w.count(), 13, "every five seconds, and no query")
				w.set(func() { w.runs["wf"].Events += 10 })
				elapse(time.Minute)
				require.LessOrEqual(t, w.count(), 26)
				w.record("wf", "own2", 50, c.last)
				w.end("wf", c.end)
				elapse(time.Hour)
				require.Equal(t, append([]string{"20 begun", "50 " + c.last}, c.more...), w.told("wf"))
			})
		})
	}
}

func TestARunThatSpeaksSoonIsNotSpokenFor(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		w.follow("wf")
		w.watched(t, "a", "")
		elapse(20 * time.Second)
		w.run("wf", "r")
		elapse(5100 * time.Millisecond)
		w.record("wf", "own", 1, "reading")
		elapse(time.Hour)
		require.Equal(t, []string{"1 reading"}, w.told("wf"))
	})
}

func TestAWorkflowThatBeginsToRecordItselfIsLeftToItself(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		w.run("wf", "r")
		w.follow("wf")
		w.watched(t, "a", "")
		elapse(time.Minute)
		w.record("wf", "own", 1, "reading")
		busy := func(d time.Duration) {
			for range d / (50 * time.Millisecond) {
				w.set(func() { w.runs["wf"].Events++ })
				elapse(50 * time.Millisecond)
			}
		}
		busy(11 * time.Second)
		calls := w.count()
		busy(time.Minute)
		require.LessOrEqual(t, w.count()-calls, 13)
		require.Equal(t, []string{"0 running", "1 reading"}, w.told("wf"))
	})
}

func TestWhatIsNoWorkflowIsAskedForSeldomAndLeavesNoTrace(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		w.follow("none")
		stats, _ := w.watched(t, "a", "progress")
		elapse(time.Minute)
		require.LessOrEqual(t, w.count(), 13)
		w.set(func() { w.down = errors.New("away") })
		elapse(time.Hour)
		require.Empty(t, w.told("none"))
		require.NotZero(t, stats().Failures)
	})
}

func TestAClosedWorkflowCostsNoCall(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		w.run("wf", "r")
		w.set(func() { w.add(db.Progress{WorkflowID: "wf", ID: "last", Progress: 100, Status: "closed", Final: true}) })
		w.follow("wf")
		w.watched(t, "a", "")
		w.end("wf", watcher.Terminated)
		elapse(time.Hour)
		require.Zero(t, w.count())
		require.Equal(t, []string{"100 closed"}, w.told("wf"))
	})
}

func TestChainsOfRunsAreFollowed(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		next := func(runID string, status watcher.Status, first string) {
			w.end("wf", status)
			w.run("wf", runID)
			w.set(func() {
				w.runs["wf"].Started = time.Now()
				if first != "" {
					w.runs["wf"].FirstRunID = first
				}
			})
			elapse(20 * time.Second)
		}
		w.run("wf", "r1")
		w.follow("wf")
		w.watched(t, "a", "")
		elapse(20 * time.Second)
		next("r2", watcher.ContinuedAsNew, "r1")
		next("r3", watcher.Terminated, "r1") // by a reset
		next("r4", watcher.Failed, "r1")     // retried
		require.Equal(t, []string{"0 running"}, w.told("wf"), "nothing has ended")
		w.end("wf", watcher.Failed)
		elapse(20 * time.Second)
		next("r5", watcher.Failed, "r1") // reset after its end
		require.Equal(t, []string{"0 running", "0 failed", "0 running"}, w.told("wf"))
		next("r6", watcher.Terminated, "") // started again at once
		require.Equal(t, []string{"0 running", "0 failed", "0 running", "0 terminated", "0 running"}, w.told("wf"))
		require.Equal(t, "temporal:r5:terminated", w.items["wf"][3].ID)
		require.Equal(t, "temporal:r6:started", w.items["wf"][4].ID)
	})
}

func TestTheEndOfARunDoesNotSupersedeWhatTheNextHasSaid(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		w.run("wf", "r1")
		w.record("wf", "own1", 10, "reading")
		w.follow("wf")
		w.watched(t, "a", "")
		elapse(time.Minute)
		w.end("wf", watcher.Terminated)
		w.run("wf", "r2")
		w.set(func() { w.runs["wf"].Started = time.Now() })
		w.record("wf", "own2", 0, "reading")
		elapse(time.Minute)
		require.Equal(t, []string{"10 reading", "0 reading"}, w.told("wf"))
	})
}

func TestAWorkflowWhoseTasksFailIsStalledUntilTheyDoNot(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		w.run("wf", "r")
		w.run("own", "o")
		w.record("own", "1", 30, "reading")
		w.follow("wf", "own")
		w.watched(t, "a", "")
		elapse(20 * time.Second)
		attempts := func(n int) {
			w.set(func() { w.runs["wf"].Attempts, w.runs["own"].Attempts = n, n })
			elapse(20 * time.Second)
		}
		attempts(4)
		require.Equal(t, []string{"0 running"}, w.told("wf"), "a few are nothing")
		attempts(9)
		attempts(12)
		attempts(0)
		attempts(7)
		attempts(1)
		require.Equal(t, []string{"0 running", "0 stalled", "0 running", "0 stalled", "0 running"}, w.told("wf"))
		require.Equal(t, []string{"30 reading", "30 stalled", "30 reading", "30 stalled", "30 reading"}, w.told("own"))
		require.Contains(t, string(w.items["wf"][1].Body), "its worker does not go on with it")
	})
}

func TestWhatCannotBeRecordedIsRecordedLater(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		w.run("wf", "r")
		w.follow("wf")
		w.watched(t, "a", "")
		elapse(time.Minute)
		w.set(func() { w.unwritten = errors.New("the database is away") })
		w.end("wf", watcher.TimedOut)
		elapse(time.Minute)
		require.Equal(t, []string{"0 running"}, w.told("wf"))
		w.set(func() { w.unwritten = nil })
		elapse(6 * time.Second)
		require.Equal(t, []string{"0 running", "0 timed_out"}, w.told("wf"))
	})
}

func TestTwoServersWriteTheSameItemsWhateverEachHasMissed(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		w.run("wf", "r")
		w.set(func() { w.answers = func(string) (json.RawMessage, error) { return json.RawMessage(`10`), nil } })
		w.follow("wf")
		w.watched(t, "a", "progress")
		elapse(time.Minute)
		w.set(func() { clear(w.owners) }) // the first does not know yet
		w.watched(t, "b", "progress")
		elapse(500 * time.Millisecond)
		for i := range 20 {
			w.set(func() {
				w.runs["wf"].Events++
				percent := []string{"20", "10"}[i%2]
				w.answers = func(string) (json.RawMessage, error) { return json.RawMessage(percent), nil }
			})
			elapse(6 * time.Second)
		}
		w.end("wf", watcher.Completed)
		elapse(6 * time.Second)
		want := []string{"10 running"}
		for range 10 {
			want = append(want, "20 running", "10 running")
		}
		require.Equal(t, append(want, "100 completed"), w.told("wf"))
	})
}
