package feed_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"chatfeed/feed"
)

func TestTheFirstItemOfAWorkflowCostsOneQuery(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		f := run(t, src, feed.Config{})
		s := live(t, f, "w")
		before := src.total()
		src.messages("w", 1)
		promptly(t, func() { requireSame(t, numbered("w", 1, 1), ids(batchesUntilUpToDate(t, s).Items)) })
		synctest.Wait()
		require.Equal(t, before+1, src.total())
	})
}

func TestACursorOfAnErasedHistoryWaitsUntilItIsKnownWhichOneFollowed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		old := src.messages("w", 3)
		src.erase("w")
		elapse(time.Millisecond)
		f := run(t, src, feed.Config{})
		s := live(t, f, "w")
		src.messages("w", 1)
		requireSame(t, numbered("w", 1, 1), ids(batchesUntilUpToDate(t, s).Items))

		comparison := src.holdNext(opHeads, beforeSnapshot)
		back := follow(t, f, feed.Options{From: []feed.Start{after("w", old)}})
		<-comparison.reached
		src.messages("w", 1) // reading it says nothing of the history
		requireSame(t, numbered("w", 2, 2), ids(batchesUntilUpToDate(t, s).Items))
		first := make(chan feed.Batch, 1)
		go func() {
			batch, _ := back.Next()
			first <- batch
		}()
		synctest.Wait()
		require.Empty(t, first)
		close(comparison.release)
		requireSame(t, []string{"w"}, (<-first).Anew)
		requireSame(t, numbered("w", 1, 2), ids(batchesUntilUpToDate(t, back).Items))
	})
}

func TestANewHistoryIsDetectedBeforeTheOldOnesBornTimeIsKnown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		f := run(t, src, small())
		s := live(t, f, "w")
		src.messages("w", 2)
		requireSame(t, numbered("w", 1, 2), ids(batchesUntilUpToDate(t, s).Items))
		src.erase("w") // no notification, and soon the tail has none of these items
		elapse(time.Millisecond)
		src.messages("w", 6)
		requireSame(t, []string(nil), batchesUntilUpToDate(t, s).Anew)
		batch := batchesUntilUpToDate(t, s)
		requireSame(t, []string{"w"}, batch.Anew)
		requireSame(t, numbered("w", 1, 6), ids(batch.Items))
	})
}
