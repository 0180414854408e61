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

func TestADrainEndsASubscriptionThatFollowsNothing(t *testing.T) {
	t.Parallel()
	for _, from := range [][]feed.Start{nil, all("w")} {
		synctest.Test(t, func(t *testing.T) {
			f := run(t, newSource(), feed.Config{})
			s := follow(t, f, feed.Options{From: from})
			s.Drop("w")
			require.True(t, next(t, s).UpToDate)
			began, ended := time.Now(), make(chan error)
			go func() {
				_, err := s.Next()
				ended <- err
			}()
			synctest.Wait()
			f.Drain()
			require.ErrorIs(t, <-ended, feed.ErrDraining)
			require.Zero(t, time.Since(began))
		})
	}
}

func TestARetypedSubscriptionDeliversTheOtherTypesFromWhereItIs(t *testing.T) {
	t.Parallel()
	for _, behind := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			src := newSource()
			for range 20 {
				src.commit("w", "message", "log")
			}
			f := run(t, src, small())
			s := follow(t, f, feed.Options{From: all("w"), Types: []string{"message"}})
			got := ids(next(t, s).Items)
			for !behind && len(got) < 20 {
				got = append(got, ids(next(t, s).Items)...)
			}
			synctest.Wait() // a page has been read ahead
			passed := s.Positions()
			s.Retype([]string{"log"})
			src.commit("w", "message", "log")
			fresh := follow(t, f, feed.Options{From: passed, Types: []string{"log"}})
			requireSame(t, catchUp(t, fresh), catchUp(t, s))
		})
	}
}
