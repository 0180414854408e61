package feed_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"chatfeed/feed"
)

func TestASubscriptionThatReturnsWithinLingerCausesNoLoad(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		f := run(t, src, feed.Config{Linger: time.Minute})
		s := live(t, f, "w")
		head := src.messages("w", 1)
		catchUp(t, s)
		s.Close()
		elapse(40 * time.Second)
		reads := src.reads()
		src.messages("w", 1)
		elapse(10 * time.Second)
		require.Equal(t, reads, src.reads(), "nothing is read without followers")
		back := follow(t, f, feed.Options{From: []feed.Start{after("w", head)}})
		promptly(t, func() { requireSame(t, numbered("w", 2, 2), catchUp(t, back)) })
		require.Equal(t, reads+1, src.reads(), "the items that came meanwhile; the topic is not loaded again")
		elapse(time.Hour)
		require.Equal(t, 1, f.Stats().Topics, "it is followed again")
	})
}

func TestATopicIsDroppedAfterLinger(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		f := run(t, src, feed.Config{Linger: time.Minute})
		s, other := live(t, f, "w"), live(t, f, "w")
		s.Close()
		elapse(time.Hour)
		require.Equal(t, 1, f.Stats().Topics, "it still has a follower")
		other.Close()
		other.Close()
		require.Zero(t, f.Stats().Subscriptions)
		elapse(time.Minute - sweep)
		require.Equal(t, 1, f.Stats().Topics)
		elapse(2 * sweep)
		require.Zero(t, f.Stats().Topics)

		queries := src.total()
		src.messages("w", 3)
		elapse(time.Hour)
		require.Equal(t, queries, src.total())
	})
}

func TestFollowedIsWhatHasASubscriptionNow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := run(t, newSource(), feed.Config{Linger: time.Minute})
		require.Empty(t, f.Followed())
		both, one := follow(t, f, feed.Options{From: all("v", "w")}), follow(t, f, feed.Options{From: all("w")})
		require.ElementsMatch(t, []string{"v", "w"}, f.Followed())
		both.Close()
		require.Equal(t, []string{"w"}, f.Followed(), "the other is only kept")
		require.Equal(t, 2, f.Stats().Topics)
		require.NoError(t, one.Add(after("v", 0)))
		require.ElementsMatch(t, []string{"v", "w"}, f.Followed())
		one.Close()
		require.Empty(t, f.Followed())
	})
}

func TestADroppedTopicIsCreatedAgainWithEveryCommittedItem(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		f := run(t, src, small())
		s := live(t, f, "w")
		head := src.messages("w", 2)
		requireSame(t, numbered("w", 1, 2), catchUp(t, s))
		s.Close()
		elapse(time.Hour)
		require.Zero(t, f.Stats().Topics)
		src.messages("w", 9)
		back := follow(t, f, feed.Options{From: []feed.Start{after("w", head)}})
		requireSame(t, numbered("w", 3, 11), catchUp(t, back))
		src.messages("w", 1)
		promptly(t, func() { requireSame(t, numbered("w", 12, 12), catchUp(t, back)) })
	})
}

func TestAClosedSubscriptionTakesNothingFromTheOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		f := run(t, src, feed.Config{})
		leaves, stays := live(t, f, "w", "v"), live(t, f, "w")
		require.Equal(t, 2, f.Stats().Subscriptions)
		src.messages("w", 1)
		leaves.Close()
		requireSame(t, numbered("w", 1, 1), catchUp(t, stays))
		src.messages("w", 1)
		requireSame(t, numbered("w", 2, 2), catchUp(t, stays))
		elapse(time.Hour)
		requireSame(t, [2]int{1, 1}, [2]int{f.Stats().Topics, f.Stats().Subscriptions})
	})
}

func TestATopicWhoseWorkflowIsErasedForgetsItsTail(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		src.messages("w", 3)
		f := run(t, src, feed.Config{})
		live(t, f, "w")
		elapse(2 * sweep)
		src.erase("w")
		elapse(2 * sweep)
		s := follow(t, f, feed.Options{From: all("w")})
		require.Empty(t, catchUp(t, s))

		reads := src.reads()
		elapse(time.Hour)
		require.Equal(t, reads, src.reads(), "it is dropped once")
		src.messages("w", 2) // and the topic is created again
		promptly(t, func() { requireSame(t, numbered("w", 1, 2), catchUp(t, s)) })
		require.Zero(t, f.Stats().Lost)
	})
}

func TestAWorkflowErasedDuringABatchReadIsForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		src.messages("w", 3)
		f := run(t, src, feed.Config{})
		live(t, f, "w")
		read := src.holdNext(opAfter, afterSnapshot)
		src.messages("w", 1)
		<-read.reached
		src.erase("w")
		elapse(2 * sweep)
		close(read.release)
		elapse(2 * sweep)
		s := follow(t, f, feed.Options{From: all("w")})
		require.Empty(t, catchUp(t, s))
		src.messages("w", 1)
		promptly(t, func() { requireSame(t, numbered("w", 1, 1), catchUp(t, s)) })
	})
}

func TestAFirstCommitDuringASweepIsNotTakenForAnErasure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		f := run(t, src, feed.Config{})
		s := live(t, f, "w")
		heads := src.holdNext(opHeads, afterSnapshot)
		<-heads.reached // it has seen no workflow
		src.messages("w", 1)
		requireSame(t, numbered("w", 1, 1), catchUp(t, s))
		reads := src.reads()
		close(heads.release)
		elapse(time.Minute)
		src.messages("w", 1)
		promptly(t, func() { requireSame(t, numbered("w", 2, 2), catchUp(t, s)) })
		require.LessOrEqual(t, src.reads(), reads+2, "at the most one load and the read of the second item")
		fresh := follow(t, f, feed.Options{From: []feed.Start{last("w", 0)}})
		require.Empty(t, catchUp(t, fresh))
	})
}
