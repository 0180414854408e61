package feed_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"chatfeed/feed"
)

func TestNothingIsReadForWorkflowsThatNobodyFollows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		src.messages("w", 100)
		f := run(t, src, small())
		busy := src.holdNext(opBefore, beforeSnapshot)
		follow(t, f, feed.Options{From: all("busy")})
		<-busy.reached
		reads := src.reads()
		for _, id := range workflows(500) {
			s, err := f.Subscribe(t.Context(), feed.Options{From: all(id)})
			require.NoError(t, err)
			s.Close()
		}
		close(busy.release)
		elapse(time.Minute)
		require.Equal(t, reads, src.reads())
	})
}

func TestAnAbandonedPageIsNotRead(t *testing.T) {
	t.Parallel()
	for name, give := range map[string]func(t *testing.T, f *feed.Feed, at feed.Cursor) (up func()){
		"its context has ended": func(t *testing.T, f *feed.Feed, at feed.Cursor) func() {
			ctx, cancel := context.WithCancel(t.Context())
			go func() { _, _ = f.Page(ctx, readAfter("w", at)) }()
			return cancel
		},
		"its subscription is closed": func(t *testing.T, f *feed.Feed, at feed.Cursor) func() {
			ctx, cancel := context.WithCancel(t.Context())
			s, err := f.Subscribe(ctx, feed.Options{From: []feed.Start{after("w", at)}})
			require.NoError(t, err)
			go func() {
				defer s.Close()
				_, _ = s.Next()
			}()
			return cancel
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				src := newSource()
				first := src.messages("w", 1)
				src.messages("w", 300)
				f := run(t, src, small())
				live(t, f, "w")
				busy := []*hold{src.holdNext(opAfter, beforeSnapshot), src.holdNext(opAfter, beforeSnapshot)}
				var up []func()
				for n, h := range busy {
					up = append(up, give(t, f, first+feed.Cursor(n)))
					<-h.reached
				}
				reads := src.reads()
				for n := range 200 {
					up = append(up, give(t, f, first+10+feed.Cursor(n)))
				}
				synctest.Wait()
				for _, give := range up {
					give()
				}
				synctest.Wait()
				for _, h := range busy {
					close(h.release)
				}
				elapse(time.Minute)
				require.Equal(t, reads, src.reads())
			})
		})
	}
}

func TestTooManySingleReadsAreRefusedAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		f := run(t, src, feed.Config{})
		busy := []*hold{src.holdNext(opAfter, beforeSnapshot), src.holdNext(opAfter, beforeSnapshot)}
		for n, h := range busy {
			go func() { _, _ = f.Page(t.Context(), readAfter("w", feed.Cursor(n))) }()
			<-h.reached
		}
		refused := make(chan time.Duration, 1000)
		began := time.Now()
		for n := range 300 {
			go func() {
				if _, err := f.Page(t.Context(), readAfter("w", feed.Cursor(n/2))); err != nil {
					require.ErrorIs(t, err, feed.ErrBusy)
					refused <- time.Since(began)
				}
			}()
		}
		synctest.Wait()
		require.Len(t, refused, 300-256)
		for range 300 - 256 {
			require.Zero(t, <-refused)
		}
		_, err := f.Await(t.Context(), readAfter("w", 0), time.Minute)
		require.ErrorIs(t, err, feed.ErrBusy)
		elapse(4 * time.Second)
		require.Empty(t, refused)
		elapse(time.Second)
		require.Len(t, refused, 256, "and nobody waits for more than five seconds")
		for _, h := range busy {
			close(h.release)
		}
		_, err = f.Page(t.Context(), readAfter("w", 0))
		require.NoError(t, err)
	})
}

func TestAwaitDoesNotCountAsASingleReadWhileItWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		f := run(t, src, feed.Config{})
		for n := range 500 {
			await(t.Context(), f, readAfter(fmt.Sprint("w", n), 0), time.Minute)
		}
		promptly(t, func() {
			_, err := f.Page(t.Context(), readAfter("w", 0))
			require.NoError(t, err)
		})
		elapse(time.Hour)
	})
}
