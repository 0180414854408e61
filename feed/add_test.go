package feed_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"chatfeed/feed"
)

func TestAWorkflowIsAddedWhileNextWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		src.messages("b", 3)
		f := run(t, src, small())
		s := live(t, f, "a")
		batches := make(chan feed.Batch)
		go func() {
			defer close(batches)
			for batch, err := range s.All() {
				if err != nil {
					return
				}
				batches <- batch
			}
		}()
		synctest.Wait()
		promptly(t, func() {
			require.NoError(t, s.Add(last("b", 2)))
			batch := <-batches
			requireSame(t, numbered("b", 2, 3), ids(batch.Items))
			require.True(t, batch.UpToDate)
		})
		require.ErrorContains(t, s.Add(after("b", 0)), `"b"`)
		require.True(t, s.Drop("b"))
		require.False(t, s.Drop("b"))
		src.messages("b", 1)
		a := src.messages("a", 1)
		batch := <-batches
		requireSame(t, numbered("a", 1, 1), ids(batch.Items))
		requireSame(t, []feed.Position{{WorkflowID: "a", Cursor: a}}, places(s))
		f.Drain()
		<-batches
	})
}

func TestAnAddedWorkflowIsNotUpToDateBeforeItIsCaughtUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		src.messages("b", 3)
		f := run(t, src, small())
		s := live(t, f, "a")
		held := src.holdNext(opBefore, beforeSnapshot)
		require.NoError(t, s.Add(after("b", 0)))
		require.False(t, next(t, s).UpToDate, "b has not been read yet")
		src.messages("a", 1)
		batch := next(t, s)
		requireSame(t, numbered("a", 1, 1), ids(batch.Items))
		require.False(t, batch.UpToDate)
		close(held.release)
		requireSame(t, numbered("b", 1, 3), catchUp(t, s))
	})
}

func TestASubscriptionWithoutWorkflowsIsUpToDate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		f := run(t, src, small())
		s := follow(t, f, feed.Options{})
		promptly(t, func() { require.True(t, next(t, s).UpToDate) })
		require.Empty(t, s.Positions())
		src.disconnect()
		require.NoError(t, s.Add(after("w", 0)))
		require.False(t, next(t, s).UpToDate)
		s.Drop("w")
		promptly(t, func() { require.True(t, next(t, s).UpToDate) })
		src.reconnect()
		s.Close()
		require.ErrorIs(t, s.Add(after("w", 0)), feed.ErrClosed)
		require.False(t, s.Drop("w"))
		elapse(time.Minute)
		require.Zero(t, f.Stats().Topics)
	})
}

func TestAnAddedWorkflowIsServedFromMemoryBeforeItIsCompared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		src.messages("b", 3)
		f := run(t, src, small())
		live(t, f, "b")
		s := live(t, f, "a")
		held := src.holdNext(opHeads, beforeSnapshot)
		defer close(held.release)
		batches := make(chan feed.Batch, 1)
		go func() {
			batch, _ := s.Next()
			batches <- batch
		}()
		synctest.Wait()
		promptly(t, func() {
			require.NoError(t, s.Add(after("b", 0)))
			requireSame(t, numbered("b", 1, 3), ids((<-batches).Items))
		})
	})
}

func TestAddingOrDroppingAnEmptyWorkflowEndsUpToDate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		f := run(t, src, small())
		s := live(t, f, "a")
		require.NoError(t, s.Add(after("b", 0)))
		promptly(t, func() { require.True(t, next(t, s).UpToDate) })
		src.disconnect()
		require.NoError(t, s.Add(after("c", 0)))
		batches := make(chan feed.Batch, 1)
		go func() {
			batch, _ := s.Next()
			batches <- batch
		}()
		synctest.Wait()
		promptly(t, func() {
			s.Drop("c")
			require.True(t, (<-batches).UpToDate)
		})
		src.reconnect()
	})
}

func TestThePageOfADroppedWorkflowDelaysNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		src.messages("a", 20)
		src.messages("b", 20)
		f := run(t, src, small())
		s := follow(t, f, feed.Options{From: all("a", "b")})
		synctest.Wait()
		held := src.holdNext(opAfter, beforeSnapshot)
		go func() {
			<-held.reached
			s.Drop("a")
			close(held.release)
		}()
		requireSame(t, numbered("b", 1, 20), receive(t, s, 20))
	})
}

func TestAnUnknownPositionIsReturnedAsGiven(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		head := src.messages("w", 20)
		f := run(t, src, small())
		live(t, f, "u", "v", "w") // so that the only page to come is that of the search
		held := src.holdNext(opBefore, beforeSnapshot)
		s := follow(t, f, feed.Options{From: []feed.Start{last("w", 10), after("v", 0), last("u", 0)}})
		requireSame(t, []bool{true, false, true}, unknown(s))
		require.Empty(t, next(t, s).Items)
		n, _ := s.Positions()[0].Last()
		require.Equal(t, 10, n, "the search has looked at the tail, and waits for a page")
		close(held.release)
		requireSame(t, numbered("w", 11, 20), catchUp(t, s))
		requireSame(t, []bool{false, false, false}, unknown(s))
		requireSame(t, []feed.Position{{WorkflowID: "w", Cursor: head}, {WorkflowID: "v"}, {WorkflowID: "u"}}, places(s))
	})
}

func TestPositionsAreCorrectAfterErasuresAndNewHistories(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		head := src.messages("w", 3)
		f := run(t, src, small())
		s := live(t, f, "w")
		src.redact("w", "w/1")
		require.Len(t, next(t, s).Gone, 1)
		requireSame(t, []feed.Position{{WorkflowID: "w", Cursor: head}}, places(s))
		catchUp(t, s)
		src.erase("w")
		src.notify("w", 0)
		requireSame(t, []string{"w"}, next(t, s).Anew)
		requireSame(t, []feed.Position{{WorkflowID: "w"}}, places(s))
		src.messages("w", 2)
		again := follow(t, f, feed.Options{From: s.Positions()})
		require.Len(t, receive(t, again, 2), 2)
	})
}

func places(s *feed.Subscription) (at []feed.Position) {
	for _, start := range s.Positions() {
		at = append(at, start.Position)
	}
	return at
}

func unknown(s *feed.Subscription) (of []bool) {
	for _, start := range s.Positions() {
		_, ok := start.Last()
		of = append(of, ok)
	}
	return of
}
