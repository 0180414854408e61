package feed_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"chatfeed/feed"
)

func TestAHeadThatGoesBackMovesItsFollowersBack(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		had, lost, behind int // items, how many the failover loses, and how many come with stamps below the old head
		window            int
	}{
		"and nothing comes":         {had: 6, lost: 2},
		"and items come below":      {had: 6, lost: 2, behind: 2},
		"by all that there was":     {had: 3, lost: 3, behind: 3},
		"by all that the tail had":  {had: 20, lost: 4, behind: 2, window: 4},
		"by more than the tail had": {had: 20, lost: 7, behind: 2, window: 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				src := newSource()
				var stamps []feed.Cursor
				for range c.had {
					stamps = append(stamps, src.messages("w", 1))
					elapse(time.Second)
				}
				f := run(t, src, feed.Config{Window: feed.Bounds{Items: c.window}})
				s := live(t, f, "w")
				src.lose("w", c.lost)
				kept := c.had - c.lost
				var want []string
				for n := range c.behind {
					src.addAt("w", stamps[kept]-1000+feed.Cursor(n))
				}
				want = append(want, numbered("w", c.had+1, c.had+c.behind)...)
				elapse(2 * sweep)
				batch := batchesUntilUpToDate(t, s)
				if len(batch.Anew) > 0 {
					require.GreaterOrEqual(t, c.lost, max(1, c.window), "the tail says where both agree")
					want = append(numbered("w", 1, kept), want...)
				}
				if len(want) == 0 {
					want = []string{}
				}
				requireSame(t, want, ids(batch.Items))
				require.EqualValues(t, min(1, kept+c.behind), f.Stats().Rewound)
				src.addAt("w", stamps[c.had-1]-10) // below the position that it had
				src.notify("w", stamps[c.had-1]-10)
				promptly(t, func() {
					requireSame(t, numbered("w", c.had+c.behind+1, c.had+c.behind+1), ids(batchesUntilUpToDate(t, s).Items))
				})
				elapse(time.Hour)
				require.EqualValues(t, min(1, kept+c.behind), f.Stats().Rewound)
			})
		})
	}
}

func TestAHeadThatGoesBackIsLoggedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		first := src.messages("w", 1)
		elapse(time.Second)
		src.messages("w", 1)
		var log bytes.Buffer
		f, err := feed.New(src, src, feed.Config{Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))})
		require.NoError(t, err)
		ended := make(chan struct{})
		go func() { defer close(ended); _ = f.Run(t.Context()) }()
		t.Cleanup(func() { <-ended })
		live(t, f, "w")
		src.lose("w", 1)
		elapse(time.Hour)
		require.Equal(t, 1, bytes.Count(log.Bytes(), []byte("\n")), log.String())
		require.Contains(t, log.String(), "workflow=w")
		require.Contains(t, log.String(), fmt.Sprint("to=", first))
	})
}

func TestSubscriptionsMadeAfterAHeadWentBackReceiveTheNextItems(t *testing.T) {
	t.Parallel()
	for name, known := range map[string]bool{"the topic knows": true, "it does not yet": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				src := newSource()
				src.messages("w", 1)
				elapse(time.Second)
				head := src.messages("w", 1)
				f := run(t, src, feed.Config{})
				live(t, f, "w")
				src.lose("w", 1)
				if known {
					elapse(2 * sweep)
				}
				s := follow(t, f, feed.Options{From: []feed.Start{after("w", head)}})
				require.Empty(t, catchUp(t, s))
				src.addAt("w", head-10)
				src.notify("w", head-10)
				promptly(t, func() { requireSame(t, numbered("w", 3, 3), catchUp(t, s)) })
			})
		})
	}
}

func TestDeletingTheNewestItemsIsNotAHeadThatGoesBack(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ window, erased int }{
		"within the tail": {16, 2}, "all of the tail": {4, 4}, "more than the tail": {4, 6},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				src := newSource()
				src.messages("w", 12)
				f := run(t, src, feed.Config{Window: feed.Bounds{Items: c.window}})
				s := live(t, f, "w")
				erased := numbered("w", 12-c.erased+1, 12)
				src.redact("w", erased...)
				batch := batchesUntilUpToDate(t, s)
				requireSame(t, erased, goneIDs(batch.Gone))
				require.Empty(t, batch.Items)
				require.Empty(t, batch.Anew)
				src.messages("w", 1)
				promptly(t, func() { requireSame(t, numbered("w", 13, 13), catchUp(t, s)) })
				require.Zero(t, f.Stats().Rewound)
			})
		})
	}
}

// What a comparison says of the head is old when the topic has read on meanwhile.
func TestAComparisonOvertakenByAReadIsNotAHeadThatWentBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		src.messages("w", 1)
		f := run(t, src, feed.Config{})
		s := live(t, f, "w")
		heads := src.holdNext(opHeads, afterSnapshot)
		<-heads.reached
		src.messages("w", 3)
		requireSame(t, numbered("w", 2, 4), catchUp(t, s))
		reads := src.reads()
		close(heads.release)
		elapse(time.Minute)
		require.Equal(t, reads, src.reads())
		require.Zero(t, f.Stats().Rewound)
	})
}
