package progress_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"
	"go.uber.org/goleak"

	"chatfeed/activities"
	"chatfeed/activities/progress"
	"chatfeed/db"
	"chatfeed/internal/dbtest"
)

// dataConverter decodes what a workflow passes on.
var dataConverter = converter.GetDefaultDataConverter()

func TestMain(m *testing.M) {
	const environment = "go.temporal.io/sdk/internal.(*testWorkflowEnvironmentImpl)"
	goleak.VerifyTestMain(m, append(dbtest.Goroutines(), // it leaves activities that are retried when their workflow ends
		goleak.IgnoreAnyFunction(environment+".ExecuteActivity.func2"),
		goleak.IgnoreAnyFunction(environment+".executeActivityWithRetryForTest"))...)
}

// memory is a feed in memory: an item whose id it has is not written again.
type memory struct {
	mu     sync.Mutex
	items  []db.Progress
	calls  int
	before func(call int) error // may be nil
}

func (m *memory) Write(_ context.Context, items ...db.Item) ([]db.Written, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls++
	if m.before != nil {
		if err := m.before(m.calls); err != nil {
			return nil, err
		}
	}
	written := make([]db.Written, len(items))
	for i, item := range items {
		p := item.(db.Progress)
		written[i].ID = p.ID
		written[i].Already = slices.ContainsFunc(m.items, func(have db.Progress) bool { return have.ID == p.ID })
		if !written[i].Already {
			m.items = append(m.items, p)
		}
	}
	return written, nil
}

// texts returns the items, as "50 packing", with the result where there is one, and "final".
func (m *memory) texts() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	texts := make([]string, len(m.items))
	for i, p := range m.items {
		texts[i] = fmt.Sprintf("%g %s", p.Progress, p.Status)
		if p.Result != "" {
			texts[i] += ": " + p.Result
		}
		if p.Final {
			texts[i] += " final"
		}
	}
	return texts
}

func newEnvironment(feed *memory) *testsuite.TestWorkflowEnvironment {
	env := newBareEnvironment()
	activities.Register(env, feed)
	return env
}

func newBareEnvironment() *testsuite.TestWorkflowEnvironment {
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	return suite.NewTestWorkflowEnvironment().SetTestTimeout(time.Minute) // of the machine's time
}

func TestEachChangeIsRecordedInOrderAndNoneIsWaitedFor(t *testing.T) {
	t.Parallel()
	for name, option := range map[string]progress.Option{"activities": progress.Feed{}, "local activities": progress.Feed{Local: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			feed := &memory{before: func(call int) error {
				if call%2 == 1 {
					return errors.New("away")
				}
				return nil
			}}
			env := newEnvironment(feed)
			var took time.Duration
			env.ExecuteWorkflow(func(ctx workflow.Context) (err error) {
				tracker := progress.Track(ctx, option)
				defer func() { err = tracker.End(ctx, err) }()
				begin := workflow.Now(ctx)
				for i := range 250 {
					if i == 1 || i == 249 {
						if err := workflow.Sleep(ctx, time.Second); err != nil {
							return err
						}
					}
					tracker.Set(float64(i)/2.5, "counting")
				}
				took = workflow.Now(ctx).Sub(begin)
				return nil
			})
			require.NoError(t, env.GetWorkflowError())
			var expected []string
			for i := range 250 {
				expected = append(expected, fmt.Sprintf("%g counting", float64(i)/2.5))
			}
			require.Equal(t, append(expected, "100 completed"), feed.texts())
			require.Less(t, feed.calls, 20, "what waits is recorded together")
			require.Equal(t, 2*time.Second, took.Round(time.Second), "only its own sleep")
		})
	}
}

func TestWithoutOptionsTheFeedHasTheProgress(t *testing.T) {
	t.Parallel()
	feed := &memory{}
	env := newEnvironment(feed)
	env.ExecuteWorkflow(func(ctx workflow.Context) error {
		tracker := progress.Track(ctx)
		tracker.Set(50, "half")
		tracker.Set(50, "half") // no change
		return tracker.End(ctx, nil)
	})
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, []string{"50 half", "100 completed"}, feed.texts())
}

func TestWhatCannotBeStoredIsMadeStorable(t *testing.T) {
	t.Parallel()
	feed := &memory{}
	env := newEnvironment(feed)
	nan := func() float64 { zero := 0.0; return zero / zero }()
	long := ""
	for range 400 {
		long += "äöü"
	}
	env.ExecuteWorkflow(func(ctx workflow.Context) error {
		tracker := progress.Track(ctx)
		tracker.Set(-3, "a\x00b\xff")
		tracker.Set(1e9, "")
		tracker.Set(nan, long)
		return tracker.End(ctx, errors.New("no\x00"))
	})
	require.Error(t, env.GetWorkflowError())
	require.Equal(t, []string{"0 a\uFFFDb\uFFFD", "100 ", "100 " + long[:1000], "100 failed: no\uFFFD"}, feed.texts())
}

func TestAfterTheEndNothingIsRecorded(t *testing.T) {
	t.Parallel()
	feed := &memory{}
	env := newEnvironment(feed)
	env.ExecuteWorkflow(func(ctx workflow.Context) error {
		tracker := progress.Track(ctx)
		err := tracker.End(ctx, nil)
		tracker.Set(3, "again")
		require.Equal(t, progress.Snapshot{Version: 1, Progress: 100, Status: "completed", Done: true}, tracker.Snapshot())
		return tracker.End(ctx, errors.Join(err, workflow.Sleep(ctx, time.Minute)))
	})
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, []string{"100 completed"}, feed.texts())
}

func TestAnItemThatIsRefusedIsGivenUp(t *testing.T) {
	t.Parallel()
	feed := &memory{before: func(call int) error {
		if call == 2 {
			return &db.InvalidItemError{Index: -1, Field: "workflowId", Reason: "is closed"}
		}
		return nil
	}}
	env := newEnvironment(feed)
	env.ExecuteWorkflow(func(ctx workflow.Context) error {
		tracker := progress.Track(ctx)
		for i, status := range []string{"one", "two", "three"} {
			tracker.Set(float64(i), status)
			if err := workflow.Sleep(ctx, time.Second); err != nil {
				return err
			}
		}
		return tracker.End(ctx, nil)
	})
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, []string{"0 one", "2 three", "100 completed"}, feed.texts())
}
