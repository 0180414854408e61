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

func TestAWorkflowThatIsErasedAndWrittenAnewIsFollowedFromItsBeginning(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ notified, settled bool }{
		"notified":                  {notified: true},
		"notified, with a pause":    {notified: true, settled: true},
		"between two sweeps":        {},
		"found by one sweep in two": {settled: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				src := newSource()
				head := src.messages("w", 20)
				f := run(t, src, small())
				s := live(t, f, "w")
				elapse(time.Millisecond)
				src.erase("w")
				if c.notified {
					src.notify("w", 0)
				}
				if c.settled {
					elapse(2 * sweep)
				}
				src.add("w", "message", "message")
				if c.notified {
					src.notify("w", 0)
				}
				began := time.Now()
				got := batchesUntilUpToDate(t, s)
				for len(got.Items) == 0 {
					batch := batchesUntilUpToDate(t, s)
					got.Items, got.Anew = append(got.Items, batch.Items...), append(got.Anew, batch.Anew...)
				}
				require.LessOrEqual(t, time.Since(began), sweep)
				requireSame(t, []string{"w"}, got.Anew)
				requireSame(t, numbered("w", 1, 2), ids(got.Items))
				require.Empty(t, got.Gone)
				requireSame(t, numbered("w", 1, 2), catchUp(t, follow(t, f, feed.Options{From: all("w")})))

				back := batchesUntilUpToDate(t, follow(t, f, feed.Options{From: []feed.Start{after("w", head)}}))
				requireSame(t, []string{"w"}, back.Anew)
				requireSame(t, numbered("w", 1, 2), ids(back.Items))
				require.Zero(t, f.Stats().Rewound)
			})
		})
	}
}

func TestAHistoryThatBeginsBeforeTheOldOneEndedIsANewOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		elapse(time.Second)
		head := src.messages("w", 3)
		f := run(t, src, feed.Config{})
		s := live(t, f, "w")
		src.erase("w")
		src.addAt("w", head-1000) // the clock has stepped back
		src.addAt("w", head+1000)
		batch := batchesUntilUpToDate(t, s)
		requireSame(t, []string{"w"}, batch.Anew)
		requireSame(t, numbered("w", 1, 2), ids(batch.Items))
		require.Zero(t, f.Stats().Rewound)
	})
}

func TestAComparisonFromBeforeANewHistoryDoesNotBeginAnother(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		src.messages("w", 3)
		f := run(t, src, feed.Config{})
		s := live(t, f, "w")
		old := src.holdNext(opHeads, afterSnapshot)
		<-old.reached
		src.erase("w")
		src.add("w", "message")
		src.notify("w", 0)
		requireSame(t, []string{"w"}, batchesUntilUpToDate(t, s).Anew)
		close(old.release)
		elapse(2 * sweep)
		batch := batchesUntilUpToDate(t, s)
		require.Empty(t, batch.Anew)
		require.Empty(t, batch.Items)
	})
}

func TestAWorkflowThatVanishesIsReported(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		head := src.messages("w", 3)
		f := run(t, src, feed.Config{})
		s := live(t, f, "w")
		src.erase("w")
		src.notify("w", 0)
		promptly(t, func() { requireSame(t, feed.Batch{Anew: []string{"w"}}, batchesUntilUpToDate(t, s)) })
		back := follow(t, f, feed.Options{From: []feed.Start{after("w", head)}})
		requireSame(t, feed.Batch{Anew: []string{"w"}}, batchesUntilUpToDate(t, back))
		src.messages("w", 1)
		requireSame(t, numbered("w", 1, 1), ids(batchesUntilUpToDate(t, s).Items))
		requireSame(t, numbered("w", 1, 1), ids(batchesUntilUpToDate(t, back).Items))
	})
}

func TestTheFirstItemsOfAWorkflowAreNotANewHistory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		f := run(t, src, feed.Config{})
		s := live(t, f, "w")
		src.messages("w", 2)
		require.Empty(t, batchesUntilUpToDate(t, s).Anew)
		elapse(time.Minute)
		src.messages("w", 1)
		require.Empty(t, batchesUntilUpToDate(t, s).Anew)
		src.redact("w", "w/1")
		batch := batchesUntilUpToDate(t, s)
		require.Empty(t, batch.Anew)
		requireSame(t, []string{"w/1"}, goneIDs(batch.Gone))
	})
}

// headless is a source that gives no heads, though it has items.
type headless struct{ *source }

func (headless) Heads(context.Context, []string) (map[string]feed.Head, error) { return nil, nil }

func TestItemsOfASourceThatGivesNoHeadsAreDeliveredOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		src.messages("w", 3)
		f, err := feed.New(headless{src}, src, feed.Config{Log: slog.New(slog.DiscardHandler)})
		require.NoError(t, err)
		ended := make(chan struct{})
		go func() { defer close(ended); _ = f.Run(t.Context()) }()
		t.Cleanup(func() { <-ended })
		synctest.Wait()
		s := follow(t, f, feed.Options{From: all("w")})
		requireSame(t, numbered("w", 1, 3), ids(batchesUntilUpToDate(t, s).Items))
		elapse(time.Minute)
		src.messages("w", 1)
		batch := batchesUntilUpToDate(t, s)
		for len(batch.Items) == 0 {
			batch = batchesUntilUpToDate(t, s)
		}
		requireSame(t, numbered("w", 4, 4), ids(batch.Items))
		require.Empty(t, batch.Anew)
		reads := src.reads()
		elapse(time.Hour)
		require.Equal(t, reads, src.reads())
	})
}

func TestAWorkflowThatIsErasedBeforeTheSourceHasGivenItsHeadIsForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		f := run(t, src, feed.Config{})
		s := live(t, f, "w")
		heads := src.holdNext(opHeads, beforeSnapshot)
		src.messages("w", 2)
		requireSame(t, numbered("w", 1, 2), ids(batchesUntilUpToDate(t, s).Items))
		<-heads.reached
		src.erase("w")
		close(heads.release)
		requireSame(t, feed.Batch{Anew: []string{"w"}}, batchesUntilUpToDate(t, s))
		require.Empty(t, catchUp(t, follow(t, f, feed.Options{From: all("w")})))
	})
}

// Where an item is older than its history, by whatever has happened to the source, it is given once and not at every sweep.
func TestAnItemThatIsOlderThanItsHistoryIsGivenOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		src.messages("w", 3)
		src.mu.Lock()
		src.pastOf("w").born = src.heads["w"] + 1
		src.mu.Unlock()
		f := run(t, src, feed.Config{Sweep: time.Second})
		s := follow(t, f, feed.Options{From: all("w"), Idle: time.Minute})
		requireSame(t, numbered("w", 1, 3), catchUp(t, s))
		batch, err := s.Next()
		require.NoError(t, err)
		require.Empty(t, batch.Items)
		require.Empty(t, batch.Anew)
	})
}
