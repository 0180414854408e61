package feed_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"chatfeed/feed"
)

func TestASubscriptionFollowsManyWorkflows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		src.messages("a", 10)
		b := src.messages("b", 10)
		src.messages("b", 2)
		src.messages("c", 10)
		f := run(t, src, small())
		s := follow(t, f, feed.Options{From: []feed.Start{after("a", 0), after("b", b), last("c", 6), after("d", 0)}})
		got := map[string][]string{}
		take := func(n int) {
			for _, id := range receive(t, s, n) {
				got[id[:1]] = append(got[id[:1]], id)
			}
		}
		take(18)
		requireSame(t, map[string][]string{
			"a": numbered("a", 1, 10), "b": numbered("b", 11, 12), "c": numbered("c", 5, 10),
		}, got)
		src.messages("d", 2)
		src.messages("a", 1)
		take(3)
		requireSame(t, numbered("a", 1, 11), got["a"])
		requireSame(t, numbered("d", 1, 2), got["d"])
	})
}

func TestABatchHasItemsOfOneWorkflow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		src.messages("a", 3)
		src.messages("b", 3)
		f := run(t, src, feed.Config{})
		s := follow(t, f, feed.Options{From: all("a", "b")})
		synctest.Wait()
		first, second := next(t, s), next(t, s)
		requireSame(t, numbered("a", 1, 3), ids(first.Items))
		require.False(t, first.UpToDate, "b has not been delivered")
		requireSame(t, numbered("b", 1, 3), ids(second.Items))
		require.True(t, second.UpToDate)
	})
}

func TestNoWorkflowStarvesBesideABusyOne(t *testing.T) {
	t.Parallel()
	for name, behind := range map[string]bool{"on the tail": false, "in pages": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				src := newSource()
				workflows := []string{"a", "b", "busy", "c", "d"}
				if behind {
					for _, id := range workflows {
						src.messages(id, 60)
					}
				}
				f := run(t, src, small())
				s := follow(t, f, feed.Options{From: all(workflows...)})
				if !behind {
					catchUp(t, s)
					for _, id := range workflows {
						src.messages(id, 3)
					}
				}
				synctest.Wait()
				got := map[string]int{}
				for range 25 {
					src.messages("busy", 6) // more than it gets, so it always has something
					got[next(t, s).Items[0].WorkflowID]++
					synctest.Wait()
				}
				want := 1
				if behind {
					want = 4
				}
				for _, id := range workflows {
					require.GreaterOrEqual(t, got[id], want, "%s of %v", id, got)
				}
			})
		})
	}
}

// While one waits for a page, the other does not have one read ahead.
func TestTwoWorkflowsFarBehindTakeTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		src.messages("a", 60)
		src.messages("b", 60)
		f := run(t, src, small())
		live(t, f, "a", "b")
		s := follow(t, f, feed.Options{From: all("a", "b")})
		var turns []string
		for range 6 {
			turns = append(turns, next(t, s).Items[0].WorkflowID)
			synctest.Wait()
		}
		requireSame(t, []string{"a", "b", "a", "b", "a", "b"}, turns)
	})
}

func TestASubscriptionTakesOnlyItsTypes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		src.add("w", slices.Repeat([]string{"message", "log", "stat"}, 4)...)
		f := run(t, src, small())
		types := []string{"stat", "log"}
		s := follow(t, f, feed.Options{From: all("w"), Types: types})
		requireSame(t, []string{"w/2", "w/3", "w/5", "w/6", "w/8", "w/9", "w/11", "w/12"}, catchUp(t, s))
		requireSame(t, []string{"stat", "log"}, types)
		src.commit("w", "message", "log", "message")
		requireSame(t, numbered("w", 14, 14), catchUp(t, s))
	})
}

func TestFilteredItemsMoveThePositionAndCostNoPages(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		src.add("w", slices.Repeat([]string{"message"}, 50)...)
		f := run(t, src, small())
		s := follow(t, f, feed.Options{From: all("w"), Types: []string{"log"}, Idle: time.Second})
		require.Empty(t, catchUp(t, s))
		require.EqualValues(t, 1, f.Stats().PageReads, "one page finds that all fifty are of other types")

		for range 200 {
			src.messages("w", 2)
			if got := next(t, s); len(got.Items) > 0 { // it reads while the tail moves on
				t.Fatal("an item of another type")
			}
		}
		require.EqualValues(t, 1, f.Stats().PageReads)
		src.commit("w", "log")
		promptly(t, func() { requireSame(t, numbered("w", 451, 451), catchUp(t, s)) })
		require.EqualValues(t, 1, f.Stats().PageReads)
	})
}

func TestAFilteredPageThatEndsBelowTheTailIsReadOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		src.add("w", "log", "log")
		src.add("w", slices.Repeat([]string{"message"}, 50)...)
		f := run(t, src, small())
		s := follow(t, f, feed.Options{From: all("w"), Types: []string{"log"}})
		requireSame(t, numbered("w", 1, 2), catchUp(t, s))
		elapse(time.Hour)
		require.EqualValues(t, 1, f.Stats().PageReads)
	})
}

func TestAnItemThatCommitsDuringAFilteredPageReadArrives(t *testing.T) {
	t.Parallel()
	for name, at := range map[string]stage{"before its snapshot": beforeSnapshot, "after its snapshot": afterSnapshot} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				src := newSource()
				src.messages("w", 10)
				f := run(t, src, small())
				live(t, f, "w")
				page := src.holdNext(opAfter, at)
				s := follow(t, f, feed.Options{From: all("w"), Types: []string{"log"}})
				done := make(chan []string)
				go func() { done <- receive(t, s, 2) }()
				<-page.reached
				src.commit("w", "log")
				src.messages("w", 10) // the tail has moved past it
				src.commit("w", "log")
				synctest.Wait()
				close(page.release)
				requireSame(t, []string{"w/11", "w/22"}, <-done)
			})
		})
	}
}

func TestAnEmptyWorkflowIsUpToDateOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		f := run(t, src, feed.Config{})
		s := follow(t, f, feed.Options{From: all("v", "w"), Idle: 10 * time.Second})
		promptly(t, func() { requireSame(t, feed.Batch{UpToDate: true}, next(t, s)) })
		began := time.Now()
		requireSame(t, feed.Batch{UpToDate: true}, next(t, s))
		require.Equal(t, 10*time.Second, time.Since(began), "the second one is the idle batch")
	})
}

func TestASubscriptionIsUpToDateOnlyWhenAllWorkflowsAre(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		src.messages("a", 6)
		src.messages("b", 6)
		src.messages("c", 6)
		f := run(t, src, small())
		s := follow(t, f, feed.Options{From: all("a", "b", "c")})
		delivered := 0
		for delivered < 18 {
			batch := next(t, s)
			delivered += len(batch.Items)
			require.Equal(t, delivered == 18, batch.UpToDate, "after %d items", delivered)
		}
	})
}

func TestASubscriptionIsNotUpToDateBeforeItsTopicIsLoaded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		src.messages("w", 1)
		f := run(t, src, feed.Config{})
		load := src.holdNext(opBefore, beforeSnapshot)
		s := follow(t, f, feed.Options{From: all("w"), Idle: time.Second})
		requireSame(t, feed.Batch{}, next(t, s))
		close(load.release)
		batch := next(t, s)
		require.True(t, batch.UpToDate)
		require.Len(t, batch.Items, 1)
	})
}

func TestASubscriptionIsUpToDateAgainAfterItCaughtUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		f := run(t, src, small())
		s := live(t, f, "w")
		for range 3 {
			src.messages("w", 9)
			synctest.Wait()
			var flags []bool
			for got := 0; got < 9; {
				batch := next(t, s)
				got += len(batch.Items)
				flags = append(flags, batch.UpToDate)
			}
			requireSame(t, []bool{false, true}, flags)
		}
	})
}

func TestASubscriptionIsNotUpToDateWhileItsTopicLagsBehindAWake(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		f := run(t, src, feed.Config{})
		s := follow(t, f, feed.Options{From: all("w"), Idle: time.Second})
		catchUp(t, s)
		src.messages("w", 1)
		synctest.Wait()
		read := src.holdNext(opAfter, beforeSnapshot)
		src.messages("w", 1)
		<-read.reached
		batch := next(t, s)
		requireSame(t, numbered("w", 1, 1), ids(batch.Items))
		require.False(t, batch.UpToDate, "a second item is known")
		requireSame(t, feed.Batch{}, next(t, s))
		close(read.release)
		batch = next(t, s)
		requireSame(t, numbered("w", 2, 2), ids(batch.Items))
		require.True(t, batch.UpToDate)
	})
}

func TestAnIdleBatchIsNotUpToDateWhileAKnownItemIsMissing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		f := run(t, src, feed.Config{})
		s := follow(t, f, feed.Options{From: all("w"), Idle: time.Second})
		require.Empty(t, catchUp(t, s))
		read := src.holdNext(opAfter, beforeSnapshot)
		src.messages("w", 1)
		<-read.reached
		requireSame(t, feed.Batch{}, next(t, s))
		close(read.release)
		batch := next(t, s)
		requireSame(t, numbered("w", 1, 1), ids(batch.Items))
		require.True(t, batch.UpToDate)
	})
}

func TestAnIdleBatchIsNotUpToDateAfterAWakeThatCameMeanwhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		f := run(t, src, feed.Config{})
		s := follow(t, f, feed.Options{From: all("w"), Idle: time.Second})
		require.Empty(t, catchUp(t, s))
		src.holdNext(opAfter, beforeSnapshot) // for as long as the test runs
		idle := make(chan feed.Batch)
		go func() { idle <- next(t, s) }()
		synctest.Wait() // Next waits
		src.messages("w", 1)
		requireSame(t, feed.Batch{}, <-idle)
	})
}

func TestASubscriptionThatWasIdleBehindAWakeAnnouncesThatItIsUpToDate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		f := run(t, src, feed.Config{})
		s := follow(t, f, feed.Options{From: all("w"), Types: []string{"log"}, Idle: time.Second})
		require.Empty(t, catchUp(t, s))
		read := src.holdNext(opAfter, beforeSnapshot)
		src.messages("w", 1)
		<-read.reached
		requireSame(t, feed.Batch{}, next(t, s))
		close(read.release)
		promptly(t, func() { requireSame(t, feed.Batch{UpToDate: true}, next(t, s)) })
	})
}

func TestASubscriptionIsUpToDateAfterAWakeWithTooHighAHead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		f := run(t, src, feed.Config{})
		s := live(t, f, "w")
		read := src.holdNext(opAfter, afterSnapshot)
		head := src.messages("w", 1)
		<-read.reached
		src.notify("w", head+1000)
		wait := src.holdNext(opAfter, beforeSnapshot)
		close(read.release)
		batch := next(t, s)
		requireSame(t, numbered("w", 1, 1), ids(batch.Items))
		require.False(t, batch.UpToDate)
		close(wait.release)
		promptly(t, func() { requireSame(t, feed.Batch{UpToDate: true}, next(t, s)) })
	})
}

func TestAThousandSubscriptionsOfOneWorkflowShareItsReads(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		f := run(t, src, feed.Config{})
		var subscriptions []*feed.Subscription
		for range 1000 {
			subscriptions = append(subscriptions, follow(t, f, feed.Options{From: all("w")}))
		}
		synctest.Wait()
		src.messages("w", 2)
		synctest.Wait()
		var first []*feed.Item
		for n, s := range subscriptions {
			items := next(t, s).Items
			require.Len(t, items, 2, fmt.Sprint(n))
			if first == nil {
				first = items
			}
			require.Same(t, first[0], items[0])
		}
		require.Equal(t, 2, src.reads(), "one load, one read")
	})
}
