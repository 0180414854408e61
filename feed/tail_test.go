package feed_test

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"chatfeed/feed"
)

func TestASlowSubscriptionFallsBackToPagesAndReturnsToTheTail(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		f := run(t, src, small())
		s := live(t, f, "w")
		for range 23 {
			src.messages("w", 1)
			synctest.Wait()
		}
		require.Zero(t, f.Stats().PageReads)
		requireSame(t, numbered("w", 1, 23), catchUp(t, s))
		pages := f.Stats().PageReads
		require.EqualValues(t, 2, pages, "19 items before the tail: 4 on the first page, and 15 on the one that is read ahead")

		for n := 24; n <= 40; n++ {
			src.messages("w", 1)
			requireSame(t, numbered("w", n, n), catchUp(t, s))
		}
		require.Equal(t, pages, f.Stats().PageReads, "a subscription that keeps up pasts on the tail")
	})
}

func TestATailThatMovesOnDuringAPageReadLeavesNoGapAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	for name, at := range map[string]stage{"before its snapshot": beforeSnapshot, "after its snapshot": afterSnapshot} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				src := newSource()
				src.messages("w", 10)
				f := run(t, src, small())
				slow := follow(t, f, feed.Options{From: []feed.Start{last("w", 0)}})
				catchUp(t, slow)
				src.messages("w", 6)
				synctest.Wait()
				page := src.holdNext(opAfter, at)
				done := make(chan []string)
				go func() { done <- receive(t, slow, 15) }()
				<-page.reached
				src.messages("w", 9)
				close(page.release)
				requireSame(t, numbered("w", 11, 25), <-done)
			})
		})
	}
}

func TestASubscriptionFromEveryPositionNearATailGetsTheItemsAfterIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		f := run(t, src, small())
		live(t, f, "w")
		cursors := []feed.Cursor{0}
		for range 12 {
			head := src.messages("w", 1)
			cursors = append(cursors, head-1, head)
			synctest.Wait()
		}
		for n, cursor := range cursors {
			s := follow(t, f, feed.Options{From: []feed.Start{after("w", cursor)}})
			requireSame(t, numbered("w", n/2+1, 12), catchUp(t, s))
		}
	})
}

func TestASubscriptionFromEveryPositionNearALoadedTailGetsTheItemsAfterIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		cursors := []feed.Cursor{0}
		for range 12 {
			head := src.messages("w", 1)
			cursors = append(cursors, head-1, head)
		}
		f := run(t, src, small())
		for n, cursor := range cursors {
			s := follow(t, f, feed.Options{From: []feed.Start{after("w", cursor)}})
			requireSame(t, numbered("w", n/2+1, 12), catchUp(t, s))
		}
		at := src.asked(opAfter)
		require.NotEmpty(t, at)
		for _, q := range at {
			require.Less(t, q.at[0].Cursor, cursors[2*8+1], "the tail holds items 9 to 12, so who has item 8 needs no page")
		}
	})
}

// A topic is loaded with fewer items than its tail may hold, so the tail grows at both bounds in turn.
func TestATopicIsLoadedWithFewItemsAndGrows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const load, window, before = 64, 256, 70
		src := newSource()
		heads := []feed.Cursor{0}
		write := func() {
			heads = append(heads, src.messages("w", 1))
			synctest.Wait()
		}
		for range before {
			write()
		}
		f := run(t, src, feed.Config{})
		everyPlace := func(floor int) {
			t.Helper()
			for n, head := range heads {
				pages := f.Stats().PageReads
				s := follow(t, f, feed.Options{From: []feed.Start{after("w", head)}})
				requireSame(t, numbered("w", n+1, len(heads)-1), catchUp(t, s))
				require.Equal(t, n < floor, f.Stats().PageReads > pages, "item %d", n)
				s.Close()
			}
		}
		everyPlace(before - load)
		for _, n := range []int{load - 1, load, load + 1, before, before + 1} {
			s := follow(t, f, feed.Options{From: []feed.Start{last("w", n)}})
			requireSame(t, numbered("w", max(1, before-n+1), before), catchUp(t, s))
			s.Close()
		}
		for len(heads) <= before+window {
			write()
		}
		everyPlace(before)
	})
}

func TestATailIsBoundedInBytesToo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		src.bodySize = 100
		f := run(t, src, feed.Config{Window: feed.Bounds{Bytes: 350}})
		s := live(t, f, "w")
		var heads []feed.Cursor
		for range 9 {
			heads = append(heads, src.messages("w", 1))
			synctest.Wait()
		}
		held := follow(t, f, feed.Options{From: []feed.Start{after("w", heads[5])}})
		requireSame(t, numbered("w", 7, 9), catchUp(t, held))
		require.Zero(t, f.Stats().PageReads, "three items fit")
		evicted := follow(t, f, feed.Options{From: []feed.Start{after("w", heads[4])}})
		requireSame(t, numbered("w", 6, 9), catchUp(t, evicted))
		require.NotZero(t, f.Stats().PageReads, "a fourth does not")
		requireSame(t, numbered("w", 1, 9), catchUp(t, s))
	})
}

func TestAnItemLargerThanTheWindowIsDelivered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		src.bodySize = 1000
		src.messages("w", 3)
		f := run(t, src, feed.Config{Window: feed.Bounds{Bytes: 350}})
		s := follow(t, f, feed.Options{From: all("w")})
		requireSame(t, numbered("w", 1, 3), catchUp(t, s))
		pages := f.Stats().PageReads
		src.messages("w", 1)
		batch := next(t, s)
		requireSame(t, numbered("w", 4, 4), ids(batch.Items))
		require.True(t, batch.UpToDate)
		require.Equal(t, pages, f.Stats().PageReads, "a tail holds its newest item, however large")
		src.messages("w", 5)
		requireSame(t, numbered("w", 5, 9), catchUp(t, s))
	})
}

func TestABatchIsBoundedByTheWindow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		src.bodySize = 100
		src.messages("w", 40)
		f := run(t, src, feed.Config{Window: feed.Bounds{Items: 8, Bytes: 300}})
		s := follow(t, f, feed.Options{From: all("w")})
		got := []string{}
		for len(got) < 40 {
			batch := next(t, s)
			require.LessOrEqual(t, len(batch.Items), 3)
			got = append(got, ids(batch.Items)...)
		}
		requireSame(t, numbered("w", 1, 40), got)
	})
}

func TestABatchIsUnchangedWhileTheTailMovesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		src.messages("w", 1)
		f := run(t, src, small())
		live(t, f, "w")
		var batches [][]*feed.Item
		var were [][]string
		for range 30 {
			before := src.messages("w", 1)
			src.messages("w", 2)
			synctest.Wait()
			s := follow(t, f, feed.Options{From: []feed.Start{after("w", before-1)}})
			batch := next(t, s).Items
			require.Equal(t, len(batch), cap(batch), "appending to a batch does not write into the tail")
			batches, were = append(batches, batch), append(were, ids(batch))
		}
		for n := range batches {
			requireSame(t, numbered("w", 3*n+2, 3*n+4), were[n])
			requireSame(t, were[n], ids(batches[n]))
		}
	})
}

func TestATopicFarBehindReadsAllOfItInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		f := run(t, src, small())
		s := live(t, f, "w")
		src.messages("w", 30) // one wake for more than a page holds
		requireSame(t, numbered("w", 1, 30), catchUp(t, s))
	})
}

func TestOnePageIsReadAheadWhileAnotherIsBeingSent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		src.messages("w", 100)
		f := run(t, src, small())
		s := follow(t, f, feed.Options{From: all("w")})
		synctest.Wait()
		for page, items := range []int{4, 16, 16, 16} {
			require.Len(t, next(t, s).Items, items, "who waits for a page gets a small one")
			synctest.Wait()
			require.EqualValues(t, page+2, f.Stats().PageReads, "one more than have been delivered, however long the client takes")
		}
		requireSame(t, numbered("w", 53, 100), catchUp(t, s))
	})
}
