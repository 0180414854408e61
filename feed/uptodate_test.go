package feed_test

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"chatfeed/feed"
)

func TestASubscriptionIsUpToDateOnlyAfterTheSourceHasBeenAskedSinceItCame(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		kind  op
		begun bool // a comparison had begun before it came
	}{
		"a comparison":                          {opHeads, false},
		"a comparison, not the one in progress": {opHeads, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				src := newSource()
				src.messages("w", 2)
				f := run(t, src, feed.Config{})
				live(t, f, "w")
				var old *hold
				if c.begun {
					old = src.holdNext(c.kind, afterSnapshot)
					follow(t, f, feed.Options{From: all("w")})
					<-old.reached
				}
				asked := src.holdNext(c.kind, beforeSnapshot)
				s := follow(t, f, feed.Options{From: all("w"), Idle: time.Second})
				batch := next(t, s)
				requireSame(t, numbered("w", 1, 2), ids(batch.Items))
				require.False(t, batch.UpToDate, "what is known comes at once, but it may be old")
				if c.begun {
					close(old.release)
					synctest.Wait()
				}
				requireSame(t, feed.Batch{}, next(t, s))
				<-asked.reached
				src.add("w", "message") // no notification
				close(asked.release)
				batch = next(t, s)
				requireSame(t, numbered("w", 3, 3), ids(batch.Items))
				require.True(t, batch.UpToDate)
			})
		})
	}
}

func TestAThousandSubscriptionsThatJoinAtOnceCostFewComparisons(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		src.messages("w", 2)
		f := run(t, src, feed.Config{Sweep: time.Hour})
		live(t, f, "w")
		asked, reads := len(src.asked(opHeads)), src.reads()
		subscriptions := make([]*feed.Subscription, 1000)
		for n := range subscriptions {
			subscriptions[n] = follow(t, f, feed.Options{From: all("w")})
		}
		for _, s := range subscriptions {
			requireSame(t, numbered("w", 1, 2), catchUp(t, s))
		}
		require.LessOrEqual(t, len(src.asked(opHeads)), asked+6)
		require.Equal(t, reads, src.reads())
		asked = len(src.asked(opHeads))
		elapse(50 * time.Minute)
		require.Len(t, src.asked(opHeads), asked)
	})
}

func TestJoiningManyTopicsCostsFewQueries(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const topics = 2500
		src := newSource()
		f := run(t, src, feed.Config{Sweep: time.Hour})
		var workflows []string
		for n := range topics {
			workflows = append(workflows, fmt.Sprint("w", n))
		}
		live(t, f, workflows...)
		before := len(src.asked(opHeads))
		live(t, f, workflows...)
		asked := src.asked(opHeads)[before:]
		require.LessOrEqual(t, len(asked), 8)
		for _, q := range asked {
			require.LessOrEqual(t, len(q.ids), 1024)
		}
	})
}

func TestASweepAsksInBatchesAndOneThatFailsDoesNotStopTheOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const topics = 2200
		var noFaults atomic.Bool
		noFaults.Store(true)
		src := newSource()
		src.before = func(_ context.Context, q query) error {
			if q.op == opHeads && !noFaults.Load() {
				for _, id := range q.ids {
					if id == "w77" {
						return errUnavailable
					}
				}
			}
			return nil
		}
		f := run(t, src, feed.Config{})
		var followers []*feed.Subscription
		ids := workflows(topics)
		for some := range slices.Chunk(ids, 50) {
			followers = append(followers, live(t, f, some...))
		}
		noFaults.Store(false)
		src.dropListener(true)
		for _, id := range ids {
			src.add(id, "message")
		}
		began := time.Now()
		for n, s := range followers {
			want := 50
			if n == 1 {
				want-- // one of them cannot be compared
			}
			require.Len(t, receive(t, s, want), want)
		}
		require.LessOrEqual(t, time.Since(began), sweep+time.Second)
		for _, q := range src.asked(opHeads) {
			require.LessOrEqual(t, len(q.ids), 1024)
		}
		elapse(time.Minute)
		before := len(src.asked(opHeads))
		elapse(time.Minute)
		require.LessOrEqual(t, len(src.asked(opHeads))-before, 12*3+60, "what has failed is known, and the others are asked once")
	})
}

func TestASubscriptionReportsOnceThatTheSourceIsUnavailableAndOnceThatItIsBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		src.messages("w", 2)
		f := run(t, src, feed.Config{})
		s := follow(t, f, feed.Options{From: all("w"), Idle: time.Hour})
		catchUp(t, s)
		elapse(time.Minute)
		src.disconnect()
		began := time.Now()
		requireSame(t, feed.Batch{}, next(t, s))
		took := time.Since(began)
		require.GreaterOrEqual(t, took, sweep, "a sweep that fails is no news")
		require.LessOrEqual(t, took, 3*sweep)
		again := make(chan feed.Batch, 1)
		go func() { again <- next(t, s) }()
		elapse(10 * time.Minute)
		require.Empty(t, again, "it is reported once")

		late := follow(t, f, feed.Options{From: all("w"), Idle: time.Second})
		batch := next(t, late)
		requireSame(t, numbered("w", 1, 2), ids(batch.Items)) // what is known comes in any case
		require.False(t, batch.UpToDate)
		requireSame(t, feed.Batch{}, next(t, late))

		src.reconnect()
		began = time.Now()
		requireSame(t, feed.Batch{UpToDate: true}, <-again)
		require.LessOrEqual(t, time.Since(began), 2*time.Second)
		require.Empty(t, catchUp(t, late))
	})
}

func TestASourceThatMissesOneSweepIsNotUnavailable(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		f := run(t, src, feed.Config{})
		s := follow(t, f, feed.Options{From: all("w"), Idle: time.Hour})
		catchUp(t, s)
		got := make(chan feed.Batch, 1)
		go func() { got <- next(t, s) }()
		for range 10 {
			elapse(3 * sweep)
			src.disconnect()
			elapse(sweep)
			src.reconnect()
		}
		require.Empty(t, got)
		src.messages("w", 1)
		batch := <-got
		require.True(t, batch.UpToDate)
	})
}

func TestASourceThatHangsIsUnavailableLikeOneThatFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		var hangs atomic.Pointer[chan struct{}]
		open, shut := make(chan struct{}), make(chan struct{})
		close(open)
		hangs.Store(&open)
		src.before = func(ctx context.Context, _ query) error {
			select {
			case <-*hangs.Load():
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		f := run(t, src, feed.Config{})
		s := follow(t, f, feed.Options{From: all("w"), Idle: time.Hour})
		catchUp(t, s)
		hangs.Store(&shut)
		began := time.Now()
		requireSame(t, feed.Batch{}, next(t, s))
		require.LessOrEqual(t, time.Since(began), 3*sweep)
		close(shut)
		require.Empty(t, catchUp(t, s))
	})
}
