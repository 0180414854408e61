package feed_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"chatfeed/feed"
)

// has reports whether a query reads a workflow.
func (q query) has(workflowID string) bool {
	return slices.Contains(q.ids, workflowID) ||
		slices.ContainsFunc(q.at, func(p feed.Position) bool { return p.WorkflowID == workflowID })
}

// failReads makes every query that reads the workflow fail: at once, or after a time as a query does that waits for a lock.
func failReads(workflowID string, after time.Duration) func(context.Context, query) error {
	return func(ctx context.Context, q query) error {
		pass(ctx, time.Millisecond)
		if !q.has(workflowID) || q.op == opHeads {
			return ctx.Err()
		}
		pass(ctx, after)
		return errUnavailable
	}
}

// workflows names n workflows.
func workflows(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprint("w", i)
	}
	return ids
}

// slowestReceipt commits a message to each workflow at once and returns how long the slowest of the followers waits for its own.
func slowestReceipt(t *testing.T, src *source, followers map[string]*feed.Subscription, also ...string) time.Duration {
	t.Helper()
	began := time.Now()
	var reading sync.WaitGroup
	var mu sync.Mutex
	var slowest time.Duration
	for _, s := range followers {
		reading.Go(func() {
			require.Len(t, receive(t, s, 1), 1)
			mu.Lock()
			defer mu.Unlock()
			slowest = max(slowest, time.Since(began))
		})
	}
	for _, id := range also {
		src.messages(id, 1)
	}
	for id := range followers {
		src.messages(id, 1)
	}
	reading.Wait()
	return slowest
}

func followAll(t *testing.T, f *feed.Feed, ids []string) map[string]*feed.Subscription {
	t.Helper()
	followers := make(map[string]*feed.Subscription)
	for _, id := range ids {
		followers[id] = follow(t, f, feed.Options{From: all(id), Idle: time.Hour})
	}
	var reading sync.WaitGroup
	for _, s := range followers {
		reading.Go(func() { catchUp(t, s) })
	}
	reading.Wait()
	return followers
}

func TestOneWorkflowWhoseReadsFailDelaysOnlyItself(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ hangs, first time.Duration }{
		"at once":       {0, 200 * time.Millisecond},
		"after a while": {10 * time.Second, 12500 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				src := newSource()
				f := run(t, src, feed.Config{Sweep: time.Hour})
				followers := followAll(t, f, workflows(100))
				failing := live(t, f, "failing")
				src.setBefore(failReads("failing", c.hangs))
				require.LessOrEqual(t, slowestReceipt(t, src, followers, "failing"), c.first)
				for range 20 {
					require.LessOrEqual(t, slowestReceipt(t, src, followers, "failing"), 5*time.Millisecond, "the workflow is isolated by now")
					elapse(time.Second)
				}
				src.setBefore(nil)
				began := time.Now()
				require.NotEmpty(t, receive(t, failing, 21))
				require.LessOrEqual(t, time.Since(began), 13*time.Second)
				require.LessOrEqual(t, slowestReceipt(t, src, followers, "failing"), 5*time.Millisecond)
			})
		})
	}
}

func TestAReadThatHangsDelaysOnlyItsOwnWorkflows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		f := run(t, src, feed.Config{Sweep: time.Hour})
		followers := followAll(t, f, workflows(100))
		live(t, f, "failing")
		src.setBefore(failReads("failing", 10*time.Second))
		src.messages("failing", 1)
		elapse(time.Second)
		require.LessOrEqual(t, slowestReceipt(t, src, followers, "failing"), 5*time.Millisecond)
	})
}

func TestOneWorkflowThatCannotBeLoadedDelaysOnlyItself(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ hangs, first time.Duration }{
		"at once":       {0, 200 * time.Millisecond},
		"after a while": {10 * time.Second, 12500 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				src := newSource()
				src.setBefore(failReads("failing", c.hangs))
				f := run(t, src, feed.Config{Sweep: time.Hour})
				follow(t, f, feed.Options{From: all("failing")})
				began := time.Now()
				ids := workflows(600)
				followAll(t, f, ids[:200])
				require.LessOrEqual(t, time.Since(began), c.first)
				for n := 200; n < len(ids); n += 100 {
					began = time.Now()
					followAll(t, f, ids[n:n+100])
					require.LessOrEqual(t, time.Since(began), 10*time.Millisecond)
				}
			})
		})
	}
}

func TestOneWorkflowWhosePagesFailDelaysOnlyItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		ids := workflows(100)
		for _, id := range append(ids, "failing") {
			src.messages(id, 20)
		}
		f := run(t, src, feed.Config{Window: feed.Bounds{Items: 4}, Sweep: time.Hour})
		live(t, f, append(ids, "failing")...)
		src.setBefore(failReads("failing", 10*time.Second))
		s := follow(t, f, feed.Options{From: all("failing"), Idle: time.Hour})
		go func() { _, _ = s.Next() }()
		elapse(30 * time.Second)
		began := time.Now()
		followAll(t, f, ids)
		require.LessOrEqual(t, time.Since(began), 50*time.Millisecond)
	})
}

func TestSingleReadsOfOneWorkflowThatFailDelayNoOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		src.messages("w", 1)
		f := run(t, src, feed.Config{})
		src.setBefore(failReads("failing", 10*time.Second))
		for n := range 20 {
			go func() { _, _ = f.Page(t.Context(), readAfter("failing", feed.Cursor(n))) }()
		}
		elapse(30 * time.Second)
		for n := range 20 {
			go func() { _, _ = f.Page(t.Context(), readAfter("failing", feed.Cursor(100+n))) }()
			began := time.Now()
			page, err := f.Page(t.Context(), readAfter("w", 0))
			require.NoError(t, err)
			require.Len(t, page.Items, 1)
			require.LessOrEqual(t, time.Since(began), 5*time.Millisecond)
		}
	})
}

// A read may succeed and still take so long that others must not be in it.
func TestAWorkflowThatIsSlowToReadDelaysOnlyItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		f := run(t, src, feed.Config{Sweep: time.Hour})
		followers := followAll(t, f, workflows(20))
		heavy := live(t, f, "heavy")
		src.setBefore(func(ctx context.Context, q query) error {
			pass(ctx, time.Millisecond)
			if q.has("heavy") && q.op != opHeads {
				pass(ctx, 3*time.Second)
			}
			return ctx.Err()
		})
		src.messages("heavy", 2)
		require.Len(t, receive(t, heavy, 2), 2)
		for range 10 {
			require.LessOrEqual(t, slowestReceipt(t, src, followers, "heavy"), 5*time.Millisecond)
			elapse(time.Second)
		}
		require.Len(t, receive(t, heavy, 10), 10)
	})
}

func TestAPageTooLargeForOneReadIsReadInSmallerPages(t *testing.T) {
	t.Parallel()
	for name, from := range map[string]func(feed.Cursor) feed.Start{
		"on the tail": func(head feed.Cursor) feed.Start { return after("w", head) },
		"in pages":    func(feed.Cursor) feed.Start { return after("w", 0) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				src := newSource()
				head := src.messages("w", 100)
				f := run(t, src, feed.Config{Window: feed.Bounds{Items: 64}, Sweep: time.Hour})
				live(t, f, "w")
				s := follow(t, f, feed.Options{From: []feed.Start{from(head)}, Idle: time.Hour})
				src.setBefore(func(_ context.Context, q query) error {
					if q.op == opAfter && q.window.Items > 3 {
						return errUnavailable
					}
					return nil
				})
				began := time.Now()
				src.messages("w", 60)
				require.GreaterOrEqual(t, len(receive(t, s, 60)), 60)
				require.LessOrEqual(t, time.Since(began), 15*time.Second)
				src.setBefore(nil)
				catchUp(t, s)
				for range 100 {
					src.messages("w", 1)
					receive(t, s, 1)
				}
				src.messages("w", 64)
				synctest.Wait()
				queries := src.asked(opAfter)
				require.Equal(t, 64, queries[len(queries)-1].window.Items, "the window has grown back")
			})
		})
	}
}

func TestAFailingWorkflowIsRetriedWithinBounds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		f := run(t, src, feed.Config{Sweep: time.Hour})
		s := live(t, f, "failing", "healthy")
		src.setBefore(failReads("failing", 0))
		for range 3 { // the back-off starts again each time
			src.messages("failing", 1)
			began := time.Now()
			for range 120 {
				elapse(500 * time.Millisecond)
				src.messages("healthy", 1)
			}
			var tries []time.Time
			for _, q := range src.asked(opAfter) {
				if q.has("failing") && !q.when.Before(began) {
					tries = append(tries, q.when)
				}
			}
			require.LessOrEqual(t, tries[1].Sub(tries[0]), 110*time.Millisecond)
			for n, at := range tries[1:] {
				require.GreaterOrEqual(t, at.Sub(tries[n]), 50*time.Millisecond)
				require.LessOrEqual(t, at.Sub(tries[n]), 2100*time.Millisecond)
			}
			require.Greater(t, len(tries), 30)
			require.Less(t, len(tries), 75)
			src.setBefore(nil)
			elapse(3 * time.Second)
			for range 60 { // until its window has grown back
				src.messages("failing", 1)
				elapse(time.Millisecond)
			}
			catchUp(t, s)
			src.setBefore(failReads("failing", 0))
		}
	})
}

// Each failure is of another workflow. The source is available, so no reader pauses.
func TestManyWorkflowsThatFailOneAfterTheOtherDoNotSlowTheLane(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		f := run(t, src, feed.Config{Sweep: time.Hour})
		followers := followAll(t, f, workflows(10))
		var failing []string
		for n := range 40 {
			failing = append(failing, fmt.Sprint("failing", n))
		}
		live(t, f, failing...)
		src.setBefore(func(ctx context.Context, q query) error {
			pass(ctx, time.Millisecond)
			for _, p := range q.at {
				if p.WorkflowID[0] == 'f' {
					return errUnavailable
				}
			}
			return ctx.Err()
		})
		for _, id := range failing {
			require.LessOrEqual(t, slowestReceipt(t, src, followers, id), 40*time.Millisecond)
			elapse(100 * time.Millisecond)
		}
	})
}
