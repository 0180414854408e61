package feed_test

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"chatfeed/feed"
)

func readAfter(workflowID string, at feed.Cursor) feed.Read {
	return feed.Read{Position: feed.Position{WorkflowID: workflowID, Cursor: at}}
}

func readBefore(workflowID string, at feed.Cursor) feed.Read {
	return feed.Read{Position: feed.Position{WorkflowID: workflowID, Cursor: at}, Backwards: true}
}

func TestPagesReadForwardsAndBackwards(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		src.messages("w", 10)
		f := run(t, src, small())

		forwards, backwards := []string{}, []string{}
		read := readAfter("w", 0)
		for more := true; more; {
			page, err := f.Page(t.Context(), read)
			require.NoError(t, err)
			forwards = append(forwards, ids(page.Items)...)
			read.Cursor, more = page.Items[len(page.Items)-1].CreatedAt, page.More
		}
		read = readBefore("w", feed.End)
		for more := true; more; {
			page, err := f.Page(t.Context(), read)
			require.NoError(t, err)
			backwards = append(ids(page.Items), backwards...)
			read.Cursor, more = page.Items[0].CreatedAt, page.More
		}
		requireSame(t, numbered("w", 1, 10), forwards)
		requireSame(t, numbered("w", 1, 10), backwards)
		require.EqualValues(t, 6, f.Stats().PageReads)
		require.Zero(t, f.Stats().Topics, "a single read makes no topic")
	})
}

func TestAPagesLimitIsAtMostTheWindow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		src.messages("w", 10)
		f := run(t, src, small())
		for limit, want := range map[int]int{-1: 4, 0: 4, 1: 1, 3: 3, 4: 4, 5: 4, 1 << 40: 4} {
			read := readAfter("w", 0)
			read.Limit = limit
			page, err := f.Page(t.Context(), read)
			require.NoError(t, err)
			require.Len(t, page.Items, want)
			require.True(t, page.More)
		}
	})
}

func TestAPageHasOnlyItemsOfTheTypes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		src.add("w", slices.Repeat([]string{"message", "log", "stat"}, 3)...)
		f := run(t, src, small())
		read := readBefore("w", feed.End)
		read.Types = []string{"stat", "log", "stat"}
		page, err := f.Page(t.Context(), read)
		require.NoError(t, err)
		requireSame(t, []string{"w/5", "w/6", "w/8", "w/9"}, ids(page.Items))
		requireSame(t, []string{"log", "stat"}, src.asked(opBefore)[0].window.Types)
		requireSame(t, []string{"stat", "log", "stat"}, read.Types)
	})
}

// askAtOnce occupies both page readers, asks for pages, and lets all go on when the requests wait.
func askAtOnce(t *testing.T, src *source, f *feed.Feed, reads ...feed.Read) []feed.Page {
	t.Helper()
	busy := []*hold{src.holdNext(opBefore, beforeSnapshot), src.holdNext(opBefore, beforeSnapshot)}
	var asking sync.WaitGroup
	for n, h := range busy {
		asking.Go(func() { _, _ = f.Page(t.Context(), readBefore("busy", feed.Cursor(n))) })
		<-h.reached
	}
	pages := make([]feed.Page, len(reads))
	for n, read := range reads {
		asking.Go(func() { pages[n], _ = f.Page(t.Context(), read) })
	}
	synctest.Wait()
	for _, h := range busy {
		close(h.release)
	}
	asking.Wait()
	return pages
}

func TestPagesAskedForAtOnceAreOneQueryAndEachPositionIsInItOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		src.messages("v", 3)
		src.messages("w", 3)
		f := run(t, src, feed.Config{})
		v, w := readAfter("v", 0), readAfter("w", 0)
		pages := askAtOnce(t, src, f, v, w, w, v, w, w)
		for n, workflowID := range []string{"v", "w", "w", "v", "w", "w"} {
			requireSame(t, numbered(workflowID, 1, 3), ids(pages[n].Items))
		}
		requireSame(t, []int{2}, sizes(src.asked(opAfter)))
	})
}

func TestSubscriptionsFarBehindShareTheirPages(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		src.messages("w", 40)
		src.after = func(context.Context, query) error { sleep(time.Millisecond); return nil }
		f := run(t, src, small())
		var behind sync.WaitGroup
		got := make([][]string, 50)
		for n := range got {
			s := follow(t, f, feed.Options{From: all("w")})
			behind.Go(func() { got[n] = catchUp(t, s) })
		}
		behind.Wait()
		for n := range got {
			requireSame(t, numbered("w", 1, 40), got[n])
		}
		positions := 0
		for _, q := range src.asked(opAfter) {
			positions += len(q.at)
		}
		require.Less(t, positions, 100, "each of fifty reads nine pages before it is on the tail")
	})
}

func TestPagesThatDifferInKindAreReadByQueriesOfTheirOwn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		src.add("w", slices.Repeat([]string{"message", "log"}, 3)...)
		f := run(t, src, feed.Config{})
		limited, logs, messages := readAfter("w", 0), readAfter("w", 0), readAfter("w", 0)
		limited.Limit, logs.Types, messages.Types = 1, []string{"log"}, []string{"message"}
		pages := askAtOnce(t, src, f, readAfter("w", 0), limited, logs, messages, readBefore("w", feed.End))
		requireSame(t, numbered("w", 1, 6), ids(pages[0].Items))
		requireSame(t, numbered("w", 1, 1), ids(pages[1].Items))
		requireSame(t, []string{"w/2", "w/4", "w/6"}, ids(pages[2].Items))
		requireSame(t, []string{"w/1", "w/3", "w/5"}, ids(pages[3].Items))
		requireSame(t, numbered("w", 1, 6), ids(pages[4].Items))
	})
}

func TestATypeWhoseNameLooksLikeTwoIsNotTwoTypes(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"log,message", "log message", `log" "message`, "log\x00message", "logmessage"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				src := newSource()
				src.add("w", "log", "message")
				src.add("v", "log", "message")
				f := run(t, src, feed.Config{})
				odd, two, elsewhere := readAfter("w", 0), readAfter("w", 0), readAfter("v", 0)
				odd.Types = []string{name}
				two.Types = []string{"log", "message"}
				elsewhere.Types = two.Types
				for _, reads := range [][]feed.Read{{odd, two, elsewhere}, {two, odd, elsewhere}} {
					for n, page := range askAtOnce(t, src, f, reads...) {
						want := 2
						if len(reads[n].Types) == 1 {
							want = 0
						}
						require.Len(t, page.Items, want, "types %q", reads[n].Types)
					}
				}
			})
		})
	}
}

func TestManyPagesAreReadInBoundedQueries(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		src.messages("w", 1)
		f := run(t, src, feed.Config{})
		var reads []feed.Read
		for n := range 256 {
			reads = append(reads, readAfter("w", feed.Cursor(n)))
		}
		for _, page := range askAtOnce(t, src, f, reads...) {
			require.Len(t, page.Items, 1)
		}
		got := sizes(src.asked(opAfter))
		slices.Sort(got)
		requireSame(t, []int{256}, got)
	})
}

func TestAPageHasEveryItemCommittedBeforeTheCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		f := run(t, src, feed.Config{})
		old := src.holdNext(opAfter, afterSnapshot)
		asked := make(chan feed.Page)
		go func() {
			page, _ := f.Page(t.Context(), readAfter("w", 0))
			asked <- page
		}()
		<-old.reached
		src.messages("w", 1)
		page, err := f.Page(t.Context(), readAfter("w", 0)) // the same page, but the read in flight is too old
		require.NoError(t, err)
		requireSame(t, numbered("w", 1, 1), ids(page.Items))
		close(old.release)
		require.Empty(t, (<-asked).Items)
	})
}

func TestAPageEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		f := run(t, src, feed.Config{})
		src.holdNext(opAfter, beforeSnapshot)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := f.Page(ctx, readAfter("w", 0))
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

func TestAPageFailsWithTheSourcesError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		src.messages("w", 1)
		f := run(t, src, feed.Config{})
		src.disconnect()
		_, err := f.Page(t.Context(), readAfter("w", 0))
		require.ErrorIs(t, err, errUnavailable)
		src.reconnect()
		page, err := f.Page(t.Context(), readAfter("w", 0))
		require.NoError(t, err)
		require.Len(t, page.Items, 1)
	})
}

// Both are asked for before anyone reads, so one reader receives both.
func TestPagesOfTwoKindsAreReadSideBySide(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		src.messages("w", 1)
		held := []*hold{src.holdNext(opAfter, beforeSnapshot), src.holdNext(opBefore, beforeSnapshot)}
		f, err := feed.New(src, src, feed.Config{Log: slog.New(slog.DiscardHandler)})
		require.NoError(t, err)
		var asking sync.WaitGroup
		for _, read := range []feed.Read{readAfter("w", 0), readBefore("w", feed.End)} {
			asking.Go(func() { _, _ = f.Page(t.Context(), read) })
		}
		synctest.Wait()
		ended := make(chan struct{})
		go func() { defer close(ended); _ = f.Run(t.Context()) }()
		t.Cleanup(func() { <-ended })
		synctest.Wait()
		require.Len(t, src.asked(opAfter), 1)
		require.Len(t, src.asked(opBefore), 1)
		for _, h := range held {
			close(h.release)
		}
		asking.Wait()
	})
}
