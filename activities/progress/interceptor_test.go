package progress_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"chatfeed/activities/progress"
	"chatfeed/db"
)

func intercepted(feed *memory, option progress.Feed) *testsuite.TestWorkflowEnvironment {
	env := newEnvironment(feed)
	env.SetWorkerOptions(worker.Options{Interceptors: []interceptor.WorkerInterceptor{progress.NewInterceptor(option)}})
	return env
}

func TestTheInterceptorRecordsTheBeginningAndTheEndOfAnyWorkflow(t *testing.T) {
	t.Parallel()
	ends := map[string]string{
		"completed": "100 completed", "completed after a cancellation": "100 completed", "cancelled": "0 cancelled",
		"failed": "0 failed: the oven is cold", "failed with a type": "0 failed: the oven is cold", "an activity failed": "0 failed: no flour",
		"an activity panicked": "0 failed: The code has panicked.", "continued as new": "0 continued as new",
	}
	require.Len(t, ends, len(endings))
	for name, ending := range endings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bare := newEnvironment(&memory{})
			prepare(bare)
			bare.ExecuteWorkflow(ending.run)
			feed := &memory{}
			env := intercepted(feed, progress.Feed{})
			prepare(env)
			env.ExecuteWorkflow(ending.run)
			require.Equal(t, []string{"0 running", ends[name]}, feed.texts())
			if err := bare.GetWorkflowError(); err == nil {
				require.NoError(t, env.GetWorkflowError())
			} else {
				require.EqualError(t, env.GetWorkflowError(), err.Error())
			}
		})
	}
}

func TestTheInterceptorDoesNotDoubleTheEndOfAWorkflowThatTracksItself(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		track    func(ctx workflow.Context) error
		expected []string
	}{
		"ended by itself": {func(ctx workflow.Context) error {
			tracker := progress.Track(ctx)
			tracker.Set(10, "own")
			return tracker.End(ctx, workflow.Sleep(ctx, time.Second))
		}, []string{"0 running", "10 own", "100 completed"}},
		"not ended": {func(ctx workflow.Context) error {
			progress.Track(ctx).Set(10, "own")
			return errors.New("forgotten")
		}, []string{"0 running", "10 own", "10 failed: forgotten"}},
		"not in the feed": {func(ctx workflow.Context) error {
			tracker := progress.Track(ctx, progress.LongPoll{})
			tracker.Set(10, "own")
			return errors.New("no")
		}, []string{"0 running", "10 failed: no"}},
		"by a webhook": {func(ctx workflow.Context) error {
			progress.Track(ctx, progress.Push{URL: endpoint}).Set(10, "own")
			return nil
		}, []string{"0 running"}}, // the activity of the webhook records the others
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			feed := &memory{}
			env := intercepted(feed, progress.Feed{})
			e := &endpoints{feed: feed}
			e.register(env)
			env.ExecuteWorkflow(c.track)
			require.Equal(t, c.expected, feed.texts())
		})
	}
}

func TestARunAfterAContinuationBeginsWithoutAnItemIfItTracksItself(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		run      func(ctx workflow.Context) error
		expected []string
	}{
		"tracks itself": {func(ctx workflow.Context) error {
			progress.Track(ctx, progress.Resume(progress.State{Snapshot: snapshot(2, 20)})).Set(30, "pacing")
			return nil
		}, []string{"30 pacing", "100 completed"}},
		"does not": {func(workflow.Context) error { return nil }, []string{"0 running", "100 completed"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			feed := &memory{}
			env := intercepted(feed, progress.Feed{})
			env.SetContinuedExecutionRunID("the run before")
			env.ExecuteWorkflow(c.run)
			require.Equal(t, c.expected, feed.texts())
		})
	}
}

func TestTheResultIsThatOfTheWorkflowWhenNothingCanBeRecorded(t *testing.T) {
	t.Parallel()
	feed := &memory{before: func(int) error { return errors.New("away") }}
	env := intercepted(feed, progress.Feed{})
	var patience []time.Duration
	env.SetOnActivityStartedListener(func(info *activity.Info, _ context.Context, _ converter.EncodedValues) {
		patience = append(patience, info.ScheduleToCloseTimeout)
	})
	env.ExecuteWorkflow(func(workflow.Context) (string, error) { return "bread", nil })
	require.NoError(t, env.GetWorkflowError())
	var result string
	require.NoError(t, env.GetWorkflowResult(&result))
	require.Equal(t, "bread", result)
	require.Empty(t, feed.texts())
	require.NotEmpty(t, patience)
	for _, most := range patience {
		require.Equal(t, 10*time.Minute, most)
	}

	feed = &memory{before: func(int) error { return &db.InvalidItemError{Index: -1, Field: "workflowId", Reason: "is closed"} }}
	env = intercepted(feed, progress.Feed{})
	env.ExecuteWorkflow(func(workflow.Context) error { return errors.New("own") })
	require.ErrorContains(t, env.GetWorkflowError(), "own")
}

func TestARunThatBeganWithoutTheInterceptorGoesOnWithoutIt(t *testing.T) {
	t.Parallel()
	feed := &memory{}
	env := intercepted(feed, progress.Feed{})
	env.OnGetVersion("chatfeed-progress-interceptor", workflow.DefaultVersion, workflow.Version(1)).Return(workflow.DefaultVersion)
	env.ExecuteWorkflow(func(workflow.Context) error { return nil })
	require.NoError(t, env.GetWorkflowError())
	require.Empty(t, feed.texts())
}

func TestTheInterceptorLeavesAPanicToTheSDK(t *testing.T) {
	t.Parallel()
	feed := &memory{}
	env := intercepted(feed, progress.Feed{Final: true})
	env.ExecuteWorkflow(func(ctx workflow.Context) error {
		if err := workflow.Sleep(ctx, time.Second); err != nil {
			return err
		}
		panic("burnt")
	})
	require.ErrorContains(t, env.GetWorkflowError(), "burnt")
	require.Equal(t, []string{"0 running"}, feed.texts())
}
