package progress_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"chatfeed/activities/progress"
)

// endings are the ways in which a workflow ends, with the last item of the feed.
var endings = map[string]struct {
	run  func(ctx workflow.Context) error
	last string
}{
	"completed": {func(workflow.Context) error { return nil }, "100 completed"},
	"failed":    {func(workflow.Context) error { return errors.New("the oven is cold") }, "30 failed: the oven is cold"},
	"failed with a type": {func(workflow.Context) error {
		return temporal.NewApplicationError("the oven is cold", "Cold", "secret")
	}, "30 failed: the oven is cold"},
	"an activity failed": {func(ctx workflow.Context) error {
		ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Second})
		return workflow.ExecuteActivity(ctx, "Fail").Get(ctx, nil)
	}, "30 failed: no flour"},
	"an activity panicked": {func(ctx workflow.Context) error {
		ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
			StartToCloseTimeout: time.Second, RetryPolicy: &temporal.RetryPolicy{MaximumAttempts: 1},
		})
		return workflow.ExecuteActivity(ctx, "Panic").Get(ctx, nil)
	}, "30 failed: The code has panicked."},
	"cancelled": {func(ctx workflow.Context) error { return workflow.Sleep(ctx, 24*time.Hour) }, "30 cancelled"},
	"completed after a cancellation": {func(ctx workflow.Context) error {
		_ = workflow.Sleep(ctx, 24*time.Hour)
		return nil
	}, "100 completed"},
	"continued as new": {func(ctx workflow.Context) error { return workflow.NewContinueAsNewError(ctx, "next") }, ""},
}

func prepare(env *testsuite.TestWorkflowEnvironment) {
	env.RegisterActivityWithOptions(func(context.Context) error {
		return temporal.NewNonRetryableApplicationError("no flour", "Empty", errors.New("dial tcp: refused"))
	}, activity.RegisterOptions{Name: "Fail"})
	env.RegisterActivityWithOptions(func(context.Context) error { panic("a secret") }, activity.RegisterOptions{Name: "Panic"})
	env.RegisterDelayedCallback(env.CancelWorkflow, time.Hour)
}

func TestTheEndIsRecordedHoweverTheWorkflowEnds(t *testing.T) {
	t.Parallel()
	for name, ending := range endings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			expected := []string{"30 baking"}
			if ending.last != "" {
				expected = append(expected, ending.last)
			}
			var alone error
			for _, deferred := range []bool{true, false} {
				feed := &memory{}
				env := newEnvironment(feed)
				prepare(env)
				env.ExecuteWorkflow(func(ctx workflow.Context) (err error) {
					tracker := progress.Track(ctx, progress.Feed{}, progress.LongPoll{}, progress.Hybrid{})
					tracker.Set(30, "baking")
					if deferred {
						defer func() { err = tracker.End(ctx, err) }()
						return ending.run(ctx)
					}
					return tracker.End(ctx, ending.run(ctx))
				})
				require.True(t, env.IsWorkflowCompleted())
				require.Equal(t, expected, feed.texts())
				if deferred {
					alone = env.GetWorkflowError()
				} else if alone != nil {
					require.EqualError(t, env.GetWorkflowError(), alone.Error())
				}
			}
		})
	}
}

func TestAPanicIsNotAnEnd(t *testing.T) {
	t.Parallel()
	feed := &memory{}
	env := newEnvironment(feed)
	env.ExecuteWorkflow(func(ctx workflow.Context) (err error) {
		tracker := progress.Track(ctx)
		defer func() { err = tracker.End(ctx, err) }()
		tracker.Set(30, "baking")
		if err := workflow.Sleep(ctx, time.Second); err != nil {
			return err
		}
		panic("burnt")
	})
	require.ErrorContains(t, env.GetWorkflowError(), "burnt")
	require.Equal(t, []string{"30 baking"}, feed.texts())
}

func TestTheLastItemIsFinalWhereThatIsAskedFor(t *testing.T) {
	t.Parallel()
	for last, err := range map[string]error{"100 completed final": nil, "0 failed: cold final": errors.New("cold")} {
		feed := &memory{}
		env := newEnvironment(feed)
		env.ExecuteWorkflow(func(ctx workflow.Context) error {
			tracker := progress.Track(ctx, progress.Feed{Final: true})
			tracker.Set(0, "begun")
			return tracker.End(ctx, err)
		})
		require.Equal(t, []string{"0 begun", last}, feed.texts())
	}
}
