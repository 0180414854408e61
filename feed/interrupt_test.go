package feed_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"chatfeed/feed"
)

func TestAnInterruptedSubscriptionReturnsAtOnceAndMissesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		src.messages("w", 1)
		f := run(t, src, feed.Config{})
		s := live(t, f, "w")
		began := time.Now()
		s.Interrupt() // before the call
		s.Interrupt()
		require.Equal(t, feed.Batch{UpToDate: true}, next(t, s))
		done := make(chan feed.Batch)
		go func() {
			batch, _ := s.Next()
			done <- batch
		}()
		synctest.Wait()
		select {
		case <-done:
			require.Fail(t, "one call is interrupted, not two")
		default:
		}
		s.Interrupt() // during the call
		require.Equal(t, feed.Batch{UpToDate: true}, <-done)
		require.Zero(t, time.Since(began))
		src.messages("w", 2)
		s.Interrupt()
		got := ids(next(t, s).Items)
		requireSame(t, numbered("w", 2, 3), append(got, receive(t, s, 2-len(got))...))
	})
}
