package feed_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"chatfeed/feed"
)

func TestACommitBeforeDuringOrAfterTheFirstReadArrivesOnce(t *testing.T) {
	t.Parallel()
	for name, commit := range map[string]func(t *testing.T, src *source, subscribe func()){
		"before Subscribe": func(_ *testing.T, src *source, subscribe func()) {
			src.commit("w", "message")
			subscribe()
		},
		"between Subscribe and the first read": func(_ *testing.T, src *source, subscribe func()) {
			busy := src.holdNext(opBefore, beforeSnapshot) // of the other topic
			subscribe()
			<-busy.reached
			src.commit("w", "message")
			close(busy.release)
		},
		"during the first read, before its snapshot": func(_ *testing.T, src *source, subscribe func()) {
			read := src.holdNext(opBefore, beforeSnapshot)
			subscribe()
			<-read.reached
			src.commit("w", "message")
			close(read.release)
		},
		"during the first read, after its snapshot": func(_ *testing.T, src *source, subscribe func()) {
			read := src.holdNext(opBefore, afterSnapshot)
			subscribe()
			<-read.reached
			src.commit("w", "message")
			close(read.release)
		},
		"right after the first read": func(_ *testing.T, src *source, subscribe func()) {
			subscribe()
			synctest.Wait()
			src.commit("w", "message")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				src := newSource()
				f := run(t, src, feed.Config{})
				var s *feed.Subscription
				promptly(t, func() {
					commit(t, src, func() { s = follow(t, f, feed.Options{From: all("other", "w"), Idle: time.Second}) })
					requireSame(t, numbered("w", 1, 1), receive(t, s, 1))
				})
				for range 3 {
					require.Empty(t, next(t, s).Items)
				}
				require.Zero(t, f.Stats().Lost)
			})
		})
	}
}

func TestATopicIsRegisteredBeforeItIsRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		f := run(t, src, feed.Config{})
		read := src.holdNext(opBefore, beforeSnapshot)
		s := follow(t, f, feed.Options{From: all("w")})
		require.Equal(t, 1, f.Stats().Topics)
		<-read.reached
		src.messages("w", 1)
		close(read.release)
		promptly(t, func() { requireSame(t, numbered("w", 1, 1), catchUp(t, s)) })
	})
}

func TestACommitDuringABatchReadArrivesOnce(t *testing.T) {
	t.Parallel()
	for name, at := range map[string]stage{"before its snapshot": beforeSnapshot, "after its snapshot": afterSnapshot} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				src := newSource()
				f := run(t, src, feed.Config{})
				s := live(t, f, "w")
				read := src.holdNext(opAfter, at)
				src.messages("w", 1)
				<-read.reached
				src.messages("w", 1)
				close(read.release)
				promptly(t, func() { requireSame(t, numbered("w", 1, 2), receive(t, s, 2)) })
				elapse(time.Minute)
				require.Zero(t, f.Stats().Lost)
				want := 2
				if at == beforeSnapshot {
					want = 1 // the second wake finds that the first one's read has its item
				}
				require.Len(t, src.asked(opAfter), want)
			})
		})
	}
}

func TestAWakeForAHeadThatTheTailHasCostsNoQuery(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		f := run(t, src, feed.Config{})
		s := live(t, f, "w")
		head := src.messages("w", 3)
		requireSame(t, numbered("w", 1, 3), catchUp(t, s))
		reads := src.reads()
		for range 5 {
			src.notify("w", head)
			src.notify("w", head-1)
			src.notify("w", 0)
			synctest.Wait()
		}
		require.Equal(t, reads, src.reads())
	})
}

func TestAWakeForAWorkflowThatNobodyFollowsCostsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		f := run(t, src, feed.Config{})
		src.messages("w", 3)
		elapse(time.Minute)
		require.Zero(t, src.reads())
		requireSame(t, feed.Stats{Wakes: 1}, f.Stats())
	})
}

func TestWakesDuringAQueryAreServedByTheNextInOneBatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		f := run(t, src, feed.Config{})
		var workflows []string
		for n := range 10 {
			workflows = append(workflows, fmt.Sprintf("w%d", n))
		}
		s := live(t, f, workflows...)

		read := src.holdNext(opAfter, afterSnapshot)
		src.messages("w0", 1)
		<-read.reached
		for range 3 {
			for _, id := range workflows {
				src.messages(id, 1)
			}
		}
		close(read.release)
		got := map[string]int{}
		for _, id := range receive(t, s, 31) {
			got[id[:2]]++
		}
		require.Len(t, got, 10)
		require.Equal(t, 4, got["w0"])
		require.Equal(t, 3, got["w9"])
		asked := src.asked(opAfter)
		require.Len(t, asked, 2)
		require.Len(t, asked[1].at, 10)
	})
}

func TestManyTopicsAreReadInOneQueryUpToABound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const bound = 256
		src := newSource()
		f := run(t, src, feed.Config{})
		busy := src.holdNext(opBefore, beforeSnapshot)
		follow(t, f, feed.Options{From: all("busy")})
		<-busy.reached
		var workflows []string
		for n := range 2*bound + 10 {
			workflows = append(workflows, fmt.Sprintf("w%d", n))
		}
		s := follow(t, f, feed.Options{From: all(workflows...)})
		close(busy.release)
		require.Empty(t, catchUp(t, s))
		requireSame(t, []int{1, bound, bound, 10}, sizes(src.asked(opBefore)))

		read := src.holdNext(opAfter, beforeSnapshot)
		src.messages(workflows[0], 1)
		<-read.reached
		for _, id := range workflows[1:] {
			src.messages(id, 1)
		}
		close(read.release)
		require.Len(t, receive(t, s, len(workflows)), len(workflows))
		requireSame(t, []int{1, bound, bound, 9}, sizes(src.asked(opAfter)))
	})
}

func sizes(queries []query) []int {
	var sizes []int
	for _, q := range queries {
		sizes = append(sizes, len(q.at))
	}
	return sizes
}
