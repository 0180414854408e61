package feed_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"chatfeed/feed"
)

func TestASubscriptionStartsFromTheLastItems(t *testing.T) {
	t.Parallel()
	// The window has 4 items, so the tail has 9 to 12.
	for name, c := range map[string]struct {
		n, first int
		pages    uint64
	}{
		"that the tail holds":                   {n: 3, first: 10},
		"that are all of the tail":              {n: 4, first: 9},
		"beyond the tail":                       {n: 5, first: 8, pages: 1},
		"beyond many windows":                   {n: 11, first: 2, pages: 1}, // a page on the way back has four windows
		"that are the whole history":            {n: 12, first: 1, pages: 1},
		"beyond the whole history":              {n: 1000, first: 1, pages: 1},
		"none, only what is new":                {n: 0, first: 13},
		"less than none, only what is new, too": {n: -5, first: 13},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				src := newSource()
				src.messages("w", 12)
				f := run(t, src, small())
				s := follow(t, f, feed.Options{From: []feed.Start{last("w", c.n)}})
				requireSame(t, numbered("w", c.first, 12), catchUp(t, s))
				require.Equal(t, c.pages, f.Stats().PageReads)
				src.messages("w", 1)
				requireSame(t, numbered("w", 13, 13), catchUp(t, s))
			})
		})
	}
}

func TestAPageOfTheSearchForTheStartIsNotReadAgain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ window, n, served int }{
		"one page before the tail":   {window: 256, n: 200, served: 64 + 136},
		"four windows":               {window: 16, n: 70, served: 16 + 54},
		"the start of several pages": {window: 4, n: 40, served: 4 + 36 + 36}, // 16, 16 and 4 back; then from where the 4 end
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				src := newSource()
				src.messages("w", 300)
				f := run(t, src, feed.Config{Window: feed.Bounds{Items: c.window}})
				s := follow(t, f, feed.Options{From: []feed.Start{last("w", c.n)}})
				requireSame(t, numbered("w", 300-c.n+1, 300), catchUp(t, s))
				require.Equal(t, c.served, src.served)
			})
		})
	}
}

func TestTheLastItemsOfAShortHistoryNeedNoPage(t *testing.T) {
	t.Parallel()
	for _, items := range []int{0, 1, 4} {
		t.Run(fmt.Sprintf("%d items", items), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				src := newSource()
				src.messages("w", items)
				f := run(t, src, small())
				s := follow(t, f, feed.Options{From: []feed.Start{last("w", 50)}})
				requireSame(t, numbered("w", 1, items), catchUp(t, s))
				require.Zero(t, f.Stats().PageReads)
			})
		})
	}
}

func TestTheLastItemsAreOfTheTypesThatTheSubscriptionTakes(t *testing.T) {
	t.Parallel()
	// Items 1 to 20: messages have odd numbers, logs even ones; the tail has 17 to 20.
	for name, c := range map[string]struct {
		n     int
		types []string
		first int
	}{
		"that the tail holds":      {n: 2, types: []string{"log"}, first: 18},
		"beyond the tail":          {n: 6, types: []string{"log"}, first: 10},
		"beyond the whole history": {n: 100, types: []string{"log"}, first: 2},
		"none":                     {n: 0, types: []string{"log"}, first: 22},
		"of a type that is absent": {n: 3, types: []string{"stat"}, first: 22},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				src := newSource()
				src.add("w", slices.Repeat([]string{"message", "log"}, 10)...)
				f := run(t, src, small())
				s := follow(t, f, feed.Options{From: []feed.Start{last("w", c.n)}, Types: c.types})
				want := []string{}
				for n := c.first; n <= 20; n += 2 {
					want = append(want, fmt.Sprintf("w/%d", n))
				}
				requireSame(t, want, catchUp(t, s))
				src.commit("w", "message", c.types[0])
				requireSame(t, numbered("w", 22, 22), catchUp(t, s))
			})
		})
	}
}

func TestALastItemThatCommitsWhileTheStartIsSoughtArrives(t *testing.T) {
	t.Parallel()
	for name, at := range map[string]stage{"before its snapshot": beforeSnapshot, "after its snapshot": afterSnapshot} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				src := newSource()
				src.messages("w", 12)
				f := run(t, src, small())
				live(t, f, "w")
				back := src.holdNext(opBefore, at)
				s := follow(t, f, feed.Options{From: []feed.Start{last("w", 7)}})
				done := make(chan []string)
				go func() { done <- catchUp(t, s) }()
				<-back.reached
				src.messages("w", 6)
				synctest.Wait()
				close(back.release)
				requireSame(t, numbered("w", 6, 18), <-done)
			})
		})
	}
}

func TestACursorBeyondTheHeadCountsAsTheHead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		head := src.messages("w", 2)
		f := run(t, src, feed.Config{})
		ahead := follow(t, f, feed.Options{From: []feed.Start{after("w", head+2)}})
		end := follow(t, f, feed.Options{From: []feed.Start{after("w", feed.End)}})
		require.Empty(t, catchUp(t, ahead))
		require.Empty(t, catchUp(t, end))
		src.messages("w", 4) // two of them are not after the cursor
		requireSame(t, numbered("w", 3, 6), catchUp(t, ahead))
		requireSame(t, numbered("w", 3, 6), catchUp(t, end))
	})
}

// The topic may have read less than the client, which was connected to another server.
func TestACursorBeyondTheTopicIsNotTakenForTheHeadBeforeTheSourceHasBeenAsked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		f := run(t, src, feed.Config{})
		live(t, f, "w")
		heads := src.holdNext(opHeads, beforeSnapshot)
		head := src.add("w", "message", "message") // the topic has not heard of them
		s := follow(t, f, feed.Options{From: []feed.Start{after("w", head)}, Idle: time.Second})
		<-heads.reached
		requireSame(t, feed.Batch{}, next(t, s))
		close(heads.release)
		require.Empty(t, catchUp(t, s))
		src.messages("w", 1)
		requireSame(t, numbered("w", 3, 3), catchUp(t, s))
	})
}

func TestACursorBeforeTheBeginningMeansTheBeginning(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		f := run(t, src, feed.Config{})
		s := follow(t, f, feed.Options{From: []feed.Start{after("w", -5)}})
		require.Empty(t, catchUp(t, s))
		src.messages("w", 2)
		requireSame(t, numbered("w", 1, 2), catchUp(t, s))
	})
}

func TestSubscribeRejectsInvalidOptions(t *testing.T) {
	t.Parallel()
	f, err := feed.New(newSource(), newSource(), feed.Config{})
	require.NoError(t, err)
	_, err = f.Subscribe(t.Context(), feed.Options{Idle: -1})
	require.ErrorContains(t, err, "Options.Idle")
	_, err = f.Subscribe(t.Context(), feed.Options{From: all("v", "w", "v")})
	require.ErrorContains(t, err, `"v"`)
	requireSame(t, feed.Stats{}, f.Stats())
}

func TestNewNamesTheFieldThatIsWrong(t *testing.T) {
	t.Parallel()
	for field, cfg := range map[string]feed.Config{
		"Config.Window.Items": {Window: feed.Bounds{Items: -1}},
		"Config.Window.Bytes": {Window: feed.Bounds{Bytes: -1}},
		"Config.Sweep":        {Sweep: -1},
		"Config.Linger":       {Linger: -1},
	} {
		t.Run(field, func(t *testing.T) {
			t.Parallel()
			_, err := feed.New(newSource(), newSource(), cfg)
			require.ErrorContains(t, err, field)
		})
	}
}
