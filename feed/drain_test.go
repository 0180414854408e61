package feed_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"chatfeed/feed"
)

// start runs a feed as run does, but ends it on demand; ended is closed when Run has returned.
func start(t *testing.T, src *source, cfg feed.Config) (f *feed.Feed, end func(), ended <-chan struct{}) {
	t.Helper()
	cfg.Log = slog.New(slog.DiscardHandler)
	f, err := feed.New(src, src, cfg)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = f.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		f.Drain() // so that Run ends even where it asks for pages without end
		<-done
	})
	synctest.Wait()
	return f, cancel, done
}

// nexts calls Next of each subscription until it fails, and gives the errors.
func nexts(subscriptions ...*feed.Subscription) <-chan error {
	errs := make(chan error, len(subscriptions))
	for _, s := range subscriptions {
		go func() {
			for {
				if _, err := s.Next(); err != nil {
					errs <- err
					return
				}
			}
		}()
	}
	synctest.Wait()
	return errs
}

func TestDrainEndsEveryNext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		src.messages("w", 20)
		f := run(t, src, small())
		waits := live(t, f, "w")
		page := src.holdNext(opAfter, beforeSnapshot)
		paged := follow(t, f, feed.Options{From: all("w")})
		back := src.holdNext(opBefore, beforeSnapshot)
		sought := follow(t, f, feed.Options{From: []feed.Start{last("w", 10)}})
		errs := nexts(waits, paged, sought)
		<-page.reached
		<-back.reached
		src.holdNext(opBefore, beforeSnapshot)
		errs2 := nexts(follow(t, f, feed.Options{From: all("v")})) // waits for its topic
		require.Empty(t, errs)
		require.Empty(t, errs2)

		promptly(t, func() {
			f.Drain()
			f.Drain()
			for range 3 {
				require.ErrorIs(t, <-errs, feed.ErrDraining)
			}
			require.ErrorIs(t, <-errs2, feed.ErrDraining)
		})
		late := follow(t, f, feed.Options{From: all("w")})
		_, err := late.Next()
		require.ErrorIs(t, err, feed.ErrDraining)
		_, err = waits.Next()
		require.ErrorIs(t, err, feed.ErrDraining)
	})
}

func TestNextEndsWithTheContextOfItsSubscription(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(t *testing.T, src *source){
		"live":        func(_ *testing.T, src *source) { src.messages("w", 2) },
		"for a topic": func(_ *testing.T, src *source) { src.holdNext(opBefore, beforeSnapshot) },
		"for a page": func(_ *testing.T, src *source) {
			src.messages("w", 20)
			src.holdNext(opAfter, beforeSnapshot)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				src := newSource()
				f := run(t, src, small())
				prepare(t, src)
				ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errGone)
				defer cancel()
				s, err := f.Subscribe(ctx, feed.Options{From: all("w")})
				require.NoError(t, err)
				defer s.Close()
				began := time.Now()
				require.ErrorIs(t, <-nexts(s), errGone)
				require.Equal(t, time.Second, time.Since(began))
			})
		})
	}
}

func TestAContextThatEndsBetweenTwoNextsIsNotForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		f := run(t, src, small())
		ctx, cancel := context.WithCancelCause(t.Context())
		s, err := f.Subscribe(ctx, feed.Options{From: all("w")})
		require.NoError(t, err)
		defer s.Close()
		catchUp(t, s)
		src.messages("w", 2)
		synctest.Wait()
		cancel(errGone)
		synctest.Wait()
		promptly(t, func() {
			for range 2 {
				require.ErrorIs(t, <-nexts(s), errGone)
			}
		})
	})
}

var errGone = errors.New("the client is gone")

func TestRunReturnsWhenItsContextEndsAndDrains(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(t *testing.T, src *source, f *feed.Feed) *feed.Subscription{
		"idle": func(t *testing.T, _ *source, f *feed.Feed) *feed.Subscription { return live(t, f, "w") },
		"in a load": func(t *testing.T, src *source, f *feed.Feed) *feed.Subscription {
			src.holdNext(opBefore, beforeSnapshot)
			return follow(t, f, feed.Options{From: all("w")})
		},
		"in a batch read": func(t *testing.T, src *source, f *feed.Feed) *feed.Subscription {
			s := live(t, f, "w")
			src.holdNext(opAfter, afterSnapshot)
			src.messages("w", 1)
			return s
		},
		"in a page read": func(t *testing.T, src *source, f *feed.Feed) *feed.Subscription {
			src.messages("w", 20)
			live(t, f, "w")
			src.holdNext(opAfter, afterSnapshot)
			return follow(t, f, feed.Options{From: all("w")})
		},
		"in a sweep": func(t *testing.T, src *source, f *feed.Feed) *feed.Subscription {
			s := live(t, f, "w")
			src.holdNext(opHeads, afterSnapshot)
			elapse(2 * sweep)
			return s
		},
		"while the source is unavailable": func(t *testing.T, src *source, f *feed.Feed) *feed.Subscription {
			src.messages("w", 20)
			live(t, f, "w")
			src.disconnect()
			follow(t, f, feed.Options{From: all("v")})
			elapse(time.Minute)
			return follow(t, f, feed.Options{From: all("w")})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				src := newSource()
				f, end, ended := start(t, src, small())
				errs := nexts(prepare(t, src, f))
				promptly(t, func() {
					end()
					<-ended
					require.ErrorIs(t, <-errs, feed.ErrDraining)
				})
				_, err := follow(t, f, feed.Options{From: all("w")}).Next()
				require.ErrorIs(t, err, feed.ErrDraining)
			})
		})
	}
}

func TestRunReturnsThoughSubscriptionsAskForPagesAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		src.before = func(ctx context.Context, q query) error {
			if q.op == opAfter {
				<-ctx.Done()
				sleep(time.Millisecond) // it takes a moment to give up
			}
			return ctx.Err()
		}
		workflows := []string{"a", "b", "c", "d", "e"}
		for _, id := range workflows {
			src.messages(id, 20)
		}
		f, end, ended := start(t, src, small())
		var errs []<-chan error
		for _, id := range workflows { // two of them occupy the page readers, the others wait
			errs = append(errs, nexts(follow(t, f, feed.Options{From: all(id)})))
		}
		require.Len(t, src.asked(opAfter), 2, "both page readers read")
		end()
		elapse(time.Second)
		select {
		case <-ended:
		default:
			require.Fail(t, "Run has not returned", "it has asked for pages %d times", len(src.asked(opAfter)))
		}
		for n := range errs {
			require.ErrorIs(t, <-errs[n], feed.ErrDraining)
		}
	})
}

func TestAPageAskedForAfterRunHasReturnedDoesNotHang(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, end, ended := start(t, newSource(), feed.Config{})
		end()
		<-ended
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		promptly(t, func() {
			_, err := f.Page(ctx, readAfter("w", 0))
			require.Error(t, err)
			_, err = f.Await(ctx, readAfter("w", 0), time.Second)
			require.Error(t, err)
		})
	})
}
