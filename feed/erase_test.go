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

// batchesUntilUpToDate takes batches until one is up to date, and returns their news combined.
func batchesUntilUpToDate(t *testing.T, s *feed.Subscription) feed.Batch {
	t.Helper()
	var all feed.Batch
	for range 1000 {
		batch := next(t, s)
		all.Items = append(all.Items, batch.Items...)
		all.Gone = append(all.Gone, batch.Gone...)
		all.Anew = append(all.Anew, batch.Anew...)
		if batch.UpToDate {
			return all
		}
	}
	require.Fail(t, "it did not become up to date")
	return all
}

func goneIDs(gone []feed.Gone) []string {
	got := []string{}
	for _, g := range gone {
		got = append(got, g.ID)
	}
	return got
}

func TestAnErasedItemIsTakenFromTheTailAndItsFollowersAreToldAtOnce(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ erased, left []string }{
		"the newest":      {[]string{"w/3"}, []string{"w/1", "w/2"}},
		"one between":     {[]string{"w/2"}, []string{"w/1", "w/3"}},
		"several":         {[]string{"w/1", "w/3"}, []string{"w/2"}},
		"all but the end": {[]string{"w/1", "w/2"}, []string{"w/3"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				src := newSource()
				src.messages("w", 3)
				f := run(t, src, feed.Config{})
				s := live(t, f, "w")
				promptly(t, func() {
					src.redact("w", c.erased...)
					batch := batchesUntilUpToDate(t, s)
					requireSame(t, c.erased, goneIDs(batch.Gone))
					requireSame(t, feed.Gone{WorkflowID: "w", Type: "message", ID: c.erased[0], Mark: 1}, batch.Gone[0])
					require.Empty(t, batch.Items)
					require.Empty(t, batch.Anew)
					requireSame(t, c.left, catchUp(t, follow(t, f, feed.Options{From: all("w")})))
				})
				src.messages("w", 1)
				promptly(t, func() { requireSame(t, numbered("w", 4, 4), catchUp(t, s)) })
				elapse(time.Hour)
				batch := batchesUntilUpToDate(t, s)
				require.Empty(t, batch.Gone, "each is reported once")
				require.Zero(t, f.Stats().Rewound)
				require.Zero(t, f.Stats().Lost)
			})
		})
	}
}

func TestAnErasureWithoutANotificationIsFoundByTheSweep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		src.messages("w", 3)
		f := run(t, src, feed.Config{})
		s := live(t, f, "w")
		src.eraseItems("w", "w/2")
		began := time.Now()
		requireSame(t, []string{"w/2"}, goneIDs(batchesUntilUpToDate(t, s).Gone))
		require.LessOrEqual(t, time.Since(began), sweep)
		requireSame(t, []string{"w/1", "w/3"}, catchUp(t, follow(t, f, feed.Options{From: all("w")})))
	})
}

func TestFollowersAreToldOfErasedItemsThatTheTailDoesNotHold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		src.messages("w", 20)
		f := run(t, src, small())
		s := live(t, f, "w")
		src.redact("w", "w/2", "w/5")
		batch := batchesUntilUpToDate(t, s)
		requireSame(t, []string{"w/2", "w/5"}, goneIDs(batch.Gone))
		require.Empty(t, batch.Items)
	})
}

func TestEveryFollowerIsToldOfEachErasureOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		src.messages("w", 9)
		src.messages("v", 1)
		f := run(t, src, feed.Config{})
		one, two := live(t, f, "w"), live(t, f, "v", "w")
		src.redact("w", "w/1")
		requireSame(t, []string{"w/1"}, goneIDs(batchesUntilUpToDate(t, one).Gone))
		src.redact("w", "w/2")
		src.redact("w", "w/3")
		synctest.Wait()
		late := live(t, f, "w")
		requireSame(t, []string{"w/2", "w/3"}, goneIDs(batchesUntilUpToDate(t, one).Gone))
		requireSame(t, []string{"w/1", "w/2", "w/3"}, goneIDs(batchesUntilUpToDate(t, two).Gone))
		src.redact("w", "w/4")
		requireSame(t, []string{"w/4"}, goneIDs(batchesUntilUpToDate(t, late).Gone)) // only what was erased since it came
	})
}

func TestALoadOvertakenByAnErasureHasNoErasedItems(t *testing.T) {
	t.Parallel()
	for name, notified := range map[string]bool{"by a wake": true, "by a comparison": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				src := newSource()
				src.messages("w", 3)
				f := run(t, src, feed.Config{})
				load := src.holdNext(opBefore, afterSnapshot)
				s := follow(t, f, feed.Options{From: all("w")})
				<-load.reached
				src.eraseItems("w", "w/2")
				if notified {
					src.notify("w", 0)
				} else {
					follow(t, f, feed.Options{From: all("w")})
				}
				synctest.Wait()
				close(load.release)
				promptly(t, func() { requireSame(t, []string{"w/1", "w/3"}, catchUp(t, s)) })
			})
		})
	}
}

func TestAReadOvertakenByAnErasureHasNoErasedItems(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		src.messages("w", 3)
		f := run(t, src, feed.Config{})
		s := live(t, f, "w")
		read := src.holdNext(opAfter, afterSnapshot)
		src.messages("w", 2)
		<-read.reached
		src.redact("w", "w/4")
		synctest.Wait()
		close(read.release)
		synctest.Wait()
		batch := batchesUntilUpToDate(t, s)
		requireSame(t, numbered("w", 5, 5), ids(batch.Items))
		requireSame(t, []string{"w/4"}, goneIDs(batch.Gone))
		requireSame(t, []string{"w/1", "w/2", "w/3", "w/5"}, catchUp(t, follow(t, f, feed.Options{From: all("w")})))
	})
}

func TestAPageOvertakenByAnErasureIsReadAgain(t *testing.T) {
	t.Parallel()
	for name, ask := range map[string]func(t *testing.T, f *feed.Feed) []string{
		"of a subscription": func(t *testing.T, f *feed.Feed) []string {
			return catchUp(t, follow(t, f, feed.Options{From: all("w")}))[:3]
		},
		"of a single read": func(t *testing.T, f *feed.Feed) []string {
			page, err := f.Page(t.Context(), readAfter("w", 0))
			require.NoError(t, err)
			return ids(page.Items)[:3]
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				src := newSource()
				src.messages("w", 12)
				f := run(t, src, small())
				live(t, f, "w")
				page := src.holdNext(opAfter, afterSnapshot)
				got := make(chan []string, 1)
				go func() { got <- ask(t, f) }()
				<-page.reached
				src.redact("w", "w/2")
				synctest.Wait()
				close(page.release)
				requireSame(t, []string{"w/1", "w/3", "w/4"}, <-got)
			})
		})
	}
}

func TestErasuresThatAFailoverHasLostDoNotHideThoseThatFollow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		src.messages("w", 3)
		f := run(t, src, feed.Config{})
		s := live(t, f, "w")
		src.mu.Lock()
		before := src.items["w"]
		src.mu.Unlock()
		src.redact("w", "w/1")
		requireSame(t, []string{"w/1"}, goneIDs(batchesUntilUpToDate(t, s).Gone))
		src.mu.Lock()
		src.items["w"], src.pasts["w"].mark, src.pasts["w"].gone = before, 0, nil
		src.mu.Unlock()
		elapse(2 * sweep)
		requireSame(t, numbered("w", 1, 3), catchUp(t, follow(t, f, feed.Options{From: all("w")})))
		src.redact("w", "w/2")
		requireSame(t, []string{"w/2"}, goneIDs(batchesUntilUpToDate(t, s).Gone))
	})
}

func TestAFollowerTooFarBehindTheErasuresStartsAgain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		erased int
		pass   time.Duration
		anew   bool
	}{
		"a thousand are kept":        {1000, time.Second, false},
		"more are not":               {1001, time.Second, true},
		"not for over a minute":      {1, 2 * time.Minute, true},
		"for half a minute they are": {1, 30 * time.Second, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				src := newSource()
				src.messages("w", c.erased+2)
				f := run(t, src, feed.Config{})
				s := live(t, f, "w")
				var erased []string
				for n := range c.erased {
					erased = append(erased, fmt.Sprint("w/", n+1))
				}
				src.redact("w", erased...)
				synctest.Wait()
				elapse(c.pass)
				batch := batchesUntilUpToDate(t, s)
				if !c.anew {
					requireSame(t, erased, goneIDs(batch.Gone))
					require.Empty(t, batch.Items)
					return
				}
				requireSame(t, []string{"w"}, batch.Anew)
				require.Empty(t, batch.Gone)
				requireSame(t, numbered("w", c.erased+1, c.erased+2), ids(batch.Items))
			})
		})
	}
}

func TestATopicWithoutFollowersDropsItsTailAfterAnErasure(t *testing.T) {
	t.Parallel()
	for name, notified := range map[string]bool{"by a wake": true, "by a sweep": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				src := newSource()
				src.messages("w", 3)
				f := run(t, src, feed.Config{Linger: time.Hour})
				live(t, f, "w").Close()
				src.eraseItems("w", "w/2")
				if notified {
					src.notify("w", 0)
				} else {
					elapse(sweep)
				}
				require.Zero(t, f.Stats().Topics)
				requireSame(t, []string{"w/1", "w/3"}, catchUp(t, follow(t, f, feed.Options{From: all("w")})))
			})
		})
	}
}

func TestATopicIsLoadedThoughItemsAreErasedDuringEachLoad(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		src.messages("w", 500)
		loads := 0
		src.after = func(_ context.Context, q query) error {
			if q.op == opBefore {
				loads++
				src.redact("w", fmt.Sprint("w/", loads))
			}
			return nil
		}
		f := run(t, src, feed.Config{})
		s := follow(t, f, feed.Options{From: []feed.Start{last("w", 1)}})
		batch := next(t, s)
		for len(batch.Items) == 0 { // the erased items may be reported first
			batch = next(t, s)
		}
		requireSame(t, numbered("w", 500, 500), ids(batch.Items))
	})
}
