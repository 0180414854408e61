package feed_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"chatfeed/feed"
)

const sweep = 5 * time.Second // the default of Config.Sweep

func TestItemsCommittedWhileNobodyListenedArriveWhenTheListenerIsBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		f := run(t, src, feed.Config{})
		s := live(t, f, "w")
		src.dropListener(false)
		src.messages("w", 3)
		began := time.Now()
		requireSame(t, numbered("w", 1, 3), catchUp(t, s))
		require.LessOrEqual(t, time.Since(began), 100*time.Millisecond)
		elapse(time.Minute)
		require.Zero(t, f.Stats().Lost)
		require.Len(t, src.listened(), 2)
	})
}

func TestItemsArriveByTheSweepWhileNobodyListens(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		f := run(t, src, feed.Config{})
		s := live(t, f, "w")
		src.dropListener(true)
		for n := range 5 {
			src.messages("w", 1)
			began := time.Now()
			requireSame(t, numbered("w", n+1, n+1), catchUp(t, s))
			require.LessOrEqual(t, time.Since(began), sweep)
		}
	})
}

func TestItemsFoundByTheSweepWhileNobodyListensAreNotLostNotifications(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		f := run(t, src, feed.Config{})
		s := live(t, f, "w")
		src.dropListener(true)
		src.messages("w", 1)
		requireSame(t, numbered("w", 1, 1), catchUp(t, s))
		elapse(3 * sweep)
		src.reconnect()
		elapse(3 * sweep)
		require.Zero(t, f.Stats().Lost)
	})
}

func TestTheSweepOnConnectFindsItemsCommittedAfterATopicsFirstRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		f := run(t, src, feed.Config{})
		src.dropListener(false) // it returns after 50 ms at the earliest
		read := src.holdNext(opBefore, afterSnapshot)
		s := follow(t, f, feed.Options{From: all("w")})
		<-read.reached
		src.messages("w", 1)
		elapse(time.Second) // the listener is back and the sweep done
		require.Len(t, src.listened(), 2)
		close(read.release)
		promptly(t, func() { requireSame(t, numbered("w", 1, 1), receive(t, s, 1)) })
	})
}

func TestAListenerLostDuringASweepIsNotALostNotification(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		f := run(t, src, feed.Config{})
		s := live(t, f, "w")
		heads := src.holdNext(opHeads, beforeSnapshot)
		<-heads.reached
		src.dropListener(true)
		synctest.Wait()
		src.messages("w", 1)
		close(heads.release)
		requireSame(t, numbered("w", 1, 1), catchUp(t, s))
		elapse(3 * sweep)
		require.Zero(t, f.Stats().Lost)
	})
}

func TestALostNotificationIsFoundByTheSweepAndCountedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		f := run(t, src, feed.Config{})
		s := live(t, f, "w", "v")
		src.messages("v", 1)
		requireSame(t, numbered("v", 1, 1), catchUp(t, s))
		src.add("w", "message")
		began := time.Now()
		requireSame(t, numbered("w", 1, 1), catchUp(t, s))
		require.LessOrEqual(t, time.Since(began), sweep)
		require.Zero(t, f.Stats().Lost, "the notification may still arrive")
		elapse(sweep)
		require.EqualValues(t, 1, f.Stats().Lost)
		elapse(time.Minute)
		require.EqualValues(t, 1, f.Stats().Lost)

		src.add("w", "message")
		requireSame(t, numbered("w", 2, 2), catchUp(t, s))
		elapse(time.Minute)
		require.EqualValues(t, 2, f.Stats().Lost)
	})
}

func TestALateNotificationIsNotCountedAsLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		f := run(t, src, feed.Config{})
		s := live(t, f, "w")
		for range 3 {
			head := src.add("w", "message", "log")
			require.Len(t, catchUp(t, s), 2)
			elapse(sweep / 2)
			reads := src.reads()
			src.notify("w", head)
			elapse(3 * sweep)
			require.Equal(t, reads, src.reads(), "the items found by the sweep are not read again")
		}
		require.Zero(t, f.Stats().Lost)
	})
}

func TestRepeatedAndReorderedWakesDeliverEachItemOnceInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		f := run(t, src, feed.Config{})
		s := live(t, f, "w")
		first := src.add("w", "message")
		second := src.add("w", "message")
		third := src.add("w", "message")
		for _, head := range []feed.Cursor{second, first, third, first, second, third} {
			src.notify("w", head)
			synctest.Wait()
		}
		requireSame(t, numbered("w", 1, 3), catchUp(t, s))
		elapse(time.Minute)
		require.Zero(t, f.Stats().Lost)
		require.Len(t, src.asked(opAfter), 1)
	})
}

func TestAHeadThatMovesWithoutAnItemCostsOneReadAndIsNotLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		src.messages("w", 2)
		f := run(t, src, feed.Config{})
		s := follow(t, f, feed.Options{From: all("w"), Idle: time.Minute})
		catchUp(t, s)
		reads := src.reads()
		src.touch("w")
		elapse(time.Minute)
		require.Equal(t, reads+1, src.reads())
		require.Zero(t, f.Stats().Lost)
		require.Empty(t, next(t, s).Items)
		src.messages("w", 1)
		promptly(t, func() {
			batch := next(t, s)
			requireSame(t, numbered("w", 3, 3), ids(batch.Items))
			require.True(t, batch.UpToDate)
		})
	})
}

func TestAHeadThatMovesWithoutAnItemDuringTheFirstReadCostsNothingMore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		src.messages("w", 2)
		src.touch("w")
		f := run(t, src, feed.Config{})
		s := follow(t, f, feed.Options{From: all("w")})
		catchUp(t, s)
		elapse(time.Hour)
		require.LessOrEqual(t, src.reads(), 2)
		require.Zero(t, f.Stats().Lost)
	})
}

func TestAForgedWakeLosesNothingAndCostsOneQuery(t *testing.T) {
	t.Parallel()
	for name, forged := range map[string]feed.Cursor{
		"an hour ahead": feed.Cursor(time.Hour.Microseconds()),
		"the end":       feed.End,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				src := newSource()
				f := run(t, src, feed.Config{})
				s := live(t, f, "w")
				head := src.messages("w", 1)
				requireSame(t, numbered("w", 1, 1), catchUp(t, s))
				reads := src.reads()
				if forged != feed.End {
					forged += head
				}
				src.notify("w", forged)
				elapse(time.Minute)
				require.Equal(t, reads+1, src.reads())

				src.messages("w", 1)
				promptly(t, func() { requireSame(t, numbered("w", 2, 2), catchUp(t, s)) })
				src.add("w", "message")
				requireSame(t, numbered("w", 3, 3), catchUp(t, s))
				reads = src.reads()
				elapse(time.Hour)
				require.Equal(t, reads, src.reads())
			})
		})
	}
}

func TestAForgedWakeDuringAReadLosesNothing(t *testing.T) {
	t.Parallel()
	for name, kind := range map[string]op{"the first": opBefore, "a batch": opAfter} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				src := newSource()
				f := run(t, src, feed.Config{})
				read := src.holdNext(kind, afterSnapshot)
				s := follow(t, f, feed.Options{From: all("w")})
				synctest.Wait()
				src.messages("w", 1)
				<-read.reached
				src.notify("w", feed.End)
				close(read.release)
				promptly(t, func() { requireSame(t, numbered("w", 1, 1), receive(t, s, 1)) })
				src.messages("w", 1)
				promptly(t, func() { requireSame(t, numbered("w", 2, 2), catchUp(t, s)) })
				reads := src.reads()
				elapse(time.Hour)
				require.Equal(t, reads, src.reads())
			})
		})
	}
}

func TestIdleSubscriptionsCostNoQueryBeyondTheSweep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		src.messages("a", 300)
		f := run(t, src, feed.Config{})
		for range 20 {
			s := live(t, f, "a", "b", "c")
			filtered := follow(t, f, feed.Options{From: all("a", "b"), Types: []string{"log"}})
			catchUp(t, filtered)
			for _, idle := range []*feed.Subscription{s, filtered} {
				go func() {
					for {
						if _, err := idle.Next(); err != nil {
							return
						}
					}
				}()
			}
		}
		synctest.Wait()
		reads, sweeps := src.reads(), len(src.asked(opHeads))
		elapse(time.Hour)
		require.Equal(t, reads, src.reads())
		require.Equal(t, int(time.Hour/sweep), len(src.asked(opHeads))-sweeps)
	})
}

func TestAFeedThatNobodyFollowsAsksNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		run(t, src, feed.Config{})
		elapse(time.Hour)
		require.Zero(t, src.total())
	})
}

// A wake with a head that does not exist must not hide the losses of later notifications.
func TestAForgedWakeHidesNoLoss(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		src.messages("w", 1)
		f := run(t, src, feed.Config{Sweep: time.Second})
		s := live(t, f, "w")
		src.notify("w", feed.End)
		elapse(2 * time.Second)
		src.add("w", "message")
		requireSame(t, numbered("w", 2, 2), catchUp(t, s))
		elapse(2 * time.Second)
		require.EqualValues(t, 1, f.Stats().Lost)
	})
}
