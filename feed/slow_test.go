package feed_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"chatfeed/feed"
)

// slowReads makes every query that reads the workflow's items take its time, however few there are.
func slowReads(workflowID string, takes time.Duration) func(context.Context, query) error {
	return func(ctx context.Context, q query) error {
		pass(ctx, time.Millisecond)
		if q.has(workflowID) && q.op != opHeads {
			pass(ctx, takes)
		}
		return ctx.Err()
	}
}

// Nothing fails, and there are few bytes to read: only the time tells that one of the batch is slow, and not which.
func TestOneWorkflowWhoseReadsAreSlowDelaysOnlyItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		f := run(t, src, feed.Config{Sweep: time.Hour})
		followers := followAll(t, f, workflows(100))
		slow := live(t, f, "slow")
		src.setBefore(slowReads("slow", 3*time.Second))
		require.LessOrEqual(t, slowestReceipt(t, src, followers, "slow"), 3100*time.Millisecond, "one read has all")
		require.LessOrEqual(t, slowestReceipt(t, src, followers, "slow"), 2100*time.Millisecond, "the batch is being split")
		elapse(10 * time.Second)
		for range 20 {
			require.LessOrEqual(t, slowestReceipt(t, src, followers, "slow"), 5*time.Millisecond, "the workflow is isolated by now")
			elapse(10 * time.Second)
		}
		require.NotEmpty(t, receive(t, slow, 22))
	})
}
