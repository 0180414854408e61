package feed_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"chatfeed/feed"
)

func TestNextReturnsAnEmptyBatchWhenNothingHasComeForIdle(t *testing.T) {
	t.Parallel()
	for name, idle := range map[string]time.Duration{"as asked": 7 * time.Second, "by default": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := run(t, newSource(), feed.Config{})
				s := follow(t, f, feed.Options{From: all("w"), Idle: idle})
				require.Empty(t, catchUp(t, s))
				want := idle
				if idle == 0 {
					want = 15 * time.Second
				}
				elapse(3 * want) // what the receiver takes for a batch does not count
				for range 3 {
					began := time.Now()
					requireSame(t, feed.Batch{UpToDate: true}, next(t, s))
					require.Equal(t, want, time.Since(began))
				}
			})
		})
	}
}

func TestItemsOfOtherTypesDoNotPutOffTheIdleBatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		f := run(t, src, feed.Config{})
		s := follow(t, f, feed.Options{From: all("w"), Types: []string{"log"}, Idle: 10 * time.Second})
		require.Empty(t, catchUp(t, s))
		go func() {
			for range 15 {
				sleep(time.Second)
				src.messages("w", 1)
			}
		}()
		began := time.Now()
		require.Empty(t, next(t, s).Items)
		require.Equal(t, 10*time.Second, time.Since(began))
		elapse(10 * time.Second)
	})
}

func TestIdleBatchesAreReturnedWhileTheSourceIsUnavailable(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		src.messages("w", 20)
		f := run(t, src, small())
		live(t, f, "w")
		src.disconnect()
		for name, s := range map[string]*feed.Subscription{
			"waits for a page":  follow(t, f, feed.Options{From: all("w"), Idle: 10 * time.Second}),
			"waits for a topic": follow(t, f, feed.Options{From: all("v"), Idle: 10 * time.Second}),
		} {
			for range 5 {
				began := time.Now()
				requireSame(t, feed.Batch{}, next(t, s))
				require.Equal(t, 10*time.Second, time.Since(began), name)
			}
		}
	})
}

func TestNextWaitsWhileTheSourceIsUnavailable(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(t *testing.T, src *source, f *feed.Feed) (s *feed.Subscription, want []string){
		"during the load": func(t *testing.T, src *source, f *feed.Feed) (*feed.Subscription, []string) {
			src.messages("w", 3)
			src.disconnect()
			return follow(t, f, feed.Options{From: all("w"), Idle: time.Hour}), numbered("w", 1, 3)
		},
		"during a page": func(t *testing.T, src *source, f *feed.Feed) (*feed.Subscription, []string) {
			src.messages("w", 12)
			live(t, f, "w")
			src.disconnect()
			return follow(t, f, feed.Options{From: all("w"), Idle: time.Hour}), numbered("w", 1, 12)
		},
		"during the search for its start": func(t *testing.T, src *source, f *feed.Feed) (*feed.Subscription, []string) {
			src.messages("w", 12)
			live(t, f, "w")
			src.disconnect()
			return follow(t, f, feed.Options{From: []feed.Start{last("w", 10)}, Idle: time.Hour}), numbered("w", 3, 12)
		},
		"during a fetch": func(t *testing.T, src *source, f *feed.Feed) (*feed.Subscription, []string) {
			s := follow(t, f, feed.Options{From: all("w"), Idle: time.Hour})
			require.Empty(t, catchUp(t, s))
			read := src.holdNext(opAfter, beforeSnapshot)
			src.messages("w", 3)
			<-read.reached
			src.disconnect()
			close(read.release)
			return s, numbered("w", 1, 3)
		},
		"during a sweep": func(t *testing.T, src *source, f *feed.Feed) (*feed.Subscription, []string) {
			s := follow(t, f, feed.Options{From: all("w"), Idle: time.Hour})
			require.Empty(t, catchUp(t, s))
			src.disconnect()
			src.messages("w", 3)
			return s, numbered("w", 1, 3)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				src := newSource()
				f := run(t, src, small())
				s, want := prepare(t, src, f)
				done := make(chan []string, 1)
				go func() { done <- catchUp(t, s) }()
				elapse(5 * time.Minute)
				require.Empty(t, done)
				queries := src.total()
				elapse(time.Minute)
				require.Greater(t, src.total(), queries+15, "it tries again every 2 s at least")
				require.LessOrEqual(t, src.total(), queries+60*4, "four loops try, each once a second at most")

				src.reconnect()
				back := time.Now()
				requireSame(t, want, <-done)
				require.LessOrEqual(t, time.Since(back), 2*time.Second)
				elapse(time.Minute)
				require.Zero(t, f.Stats().Lost)
			})
		})
	}
}

func TestListeningIsRetriedWithinBounds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		run(t, src, feed.Config{})
		src.dropListener(true)
		lost := time.Now()
		elapse(time.Minute)
		tries := src.listened()[1:]
		require.LessOrEqual(t, tries[0].Sub(lost), 100*time.Millisecond)
		for n, at := range tries[1:] {
			gap := at.Sub(tries[n])
			require.GreaterOrEqual(t, gap, 50*time.Millisecond)
			require.LessOrEqual(t, gap, 2*time.Second)
			if n > 5 {
				require.GreaterOrEqual(t, gap, time.Second)
			}
		}

		src.reconnect()
		elapse(2 * time.Second)
		before := len(src.listened())
		src.dropListener(false)
		lost = time.Now()
		elapse(time.Second)
		tries = src.listened()[before:]
		require.Len(t, tries, 1)
		require.LessOrEqual(t, tries[0].Sub(lost), 100*time.Millisecond, "the back-off starts again after it has listened")
	})
}

func TestAFailedQueryIsRetriedWithinBounds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		kind op
		from []feed.Start
	}{
		"the load of a topic": {opBefore, all("v")},
		"a page":              {opAfter, all("w")},
		"a sweep":             {opHeads, []feed.Start{last("w", 0)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				src := newSource()
				src.messages("w", 12)
				f := run(t, src, small())
				live(t, f, "w")
				src.fail(c.kind)
				began := time.Now()
				s := follow(t, f, feed.Options{From: c.from, Idle: time.Hour})
				go func() { _, _ = s.Next() }()
				elapse(10 * time.Minute)
				tries := 0
				var newest time.Time
				for _, q := range src.asked(c.kind) {
					if !q.when.Before(began) {
						tries++
						newest = q.when
					}
				}
				require.Greater(t, tries, 10*60/2-5)
				require.Less(t, tries, 2*10*60+20, "two page readers try at the most, each once a second at most")
				require.LessOrEqual(t, time.Since(newest), 2*time.Second)
			})
		})
	}
}

func TestOneFailingKindOfReadDoesNotStopTheOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		f := run(t, src, feed.Config{})
		s := live(t, f, "w")
		src.fail(opBefore)
		follow(t, f, feed.Options{From: all("v")})
		elapse(time.Minute)
		began := time.Now()
		src.messages("w", 1)
		requireSame(t, numbered("w", 1, 1), catchUp(t, s))
		require.LessOrEqual(t, time.Since(began), 2*time.Second)
	})
}

func TestAFailedBatchReadIsRetriedWithoutASweep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		f := run(t, src, feed.Config{Sweep: time.Hour})
		s := live(t, f, "v", "w")
		src.fail(opAfter)
		src.messages("v", 1)
		src.messages("w", 1)
		elapse(10 * time.Second)
		src.reconnect()
		began := time.Now()
		require.Len(t, catchUp(t, s), 2)
		require.LessOrEqual(t, time.Since(began), 2*time.Second)
	})
}

func TestABatchTooLargeForOneQueryIsReadInSmallerOnes(t *testing.T) {
	t.Parallel()
	for name, read := range map[string]op{"topics": opBefore, "pages": opAfter} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				src := newSource()
				src.before = func(_ context.Context, q query) error {
					if q.op == read && len(q.at) > 3 {
						return errUnavailable // as when it takes longer than a read may
					}
					return nil
				}
				const workflows = 50
				for i := range workflows {
					src.messages(fmt.Sprint("w", i), 12)
				}
				f := run(t, src, small())
				subscriptions := make([]*feed.Subscription, workflows)
				for i := range subscriptions {
					subscriptions[i] = follow(t, f, feed.Options{From: all(fmt.Sprint("w", i))})
				}
				var reading sync.WaitGroup
				for i, s := range subscriptions {
					reading.Go(func() {
						requireSame(t, numbered(fmt.Sprint("w", i), 1, 12), catchUp(t, s))
					})
				}
				reading.Wait()
			})
		})
	}
}
