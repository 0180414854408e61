package progress_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"chatfeed/activities/progress"
)

// notes are what an activity was asked to tell.
type notes struct {
	mu    sync.Mutex
	told  []string
	fails func(version int64) bool // may be nil
}

func (n *notes) register(env *testsuite.TestWorkflowEnvironment) {
	env.RegisterActivityWithOptions(func(_ context.Context, in progress.Notification) error {
		n.mu.Lock()
		defer n.mu.Unlock()
		var who []string
		for _, s := range in.Subscribers {
			who = append(who, s.ID+"@"+s.Address)
		}
		if n.fails != nil && n.fails(in.Snapshot.Version) {
			return errors.New("cannot")
		}
		n.told = append(n.told, fmt.Sprintf("%s: %d %g %s", strings.Join(who, " "), in.Snapshot.Version, in.Snapshot.Progress, in.Snapshot.Status))
		return nil
	}, activity.RegisterOptions{Name: "Tell"})
}

func signal(env *testsuite.TestWorkflowEnvironment, after time.Duration, name string, input any) {
	env.RegisterDelayedCallback(func() { env.SignalWorkflow(name, input) }, after)
}

// stepped sets a progress every minute, and continues as new after a number of them.
func stepped(ctx workflow.Context, state progress.State, steps int, onward bool) error {
	tracker := progress.Track(ctx, progress.Hybrid{Notify: "Tell"}, progress.Resume(state))
	for i := range steps {
		tracker.Set(float64(10*(i+1)), "pacing")
		if err := workflow.Sleep(ctx, time.Minute); err != nil {
			return tracker.End(ctx, err)
		}
	}
	if onward {
		return workflow.NewContinueAsNewError(ctx, "stepped", tracker.Suspend(ctx), steps, false)
	}
	return tracker.End(ctx, nil)
}

func TestSubscribersAreToldOfChangesAfterTheirSubscription(t *testing.T) {
	t.Parallel()
	env := newEnvironment(&memory{})
	n := &notes{}
	n.register(env)
	signal(env, 70*time.Second, progress.SubscribeSignal, progress.Subscriber{ID: "a", Address: "here"})
	signal(env, 75*time.Second, progress.SubscribeSignal, "garbage")
	signal(env, 75*time.Second, progress.SubscribeSignal, progress.Subscriber{ID: "", Address: "nowhere"})
	signal(env, 75*time.Second, progress.SubscribeSignal, progress.Subscriber{ID: "far", Address: strings.Repeat("x", 1001)})
	signal(env, 80*time.Second, progress.SubscribeSignal, progress.Subscriber{ID: "b"})
	signal(env, 130*time.Second, progress.UnsubscribeSignal, progress.Subscriber{ID: "b"})
	signal(env, 140*time.Second, progress.SubscribeSignal, progress.Subscriber{ID: "a", Address: "there"})
	env.ExecuteWorkflow(stepped, progress.State{}, 4, false)
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, []string{"a@here b@: 3 30 pacing", "a@there: 4 40 pacing", "a@there: 5 100 completed"}, n.told)
}

func TestASubscriptionIsCarriedIntoTheNextRun(t *testing.T) {
	t.Parallel()
	env := newEnvironment(&memory{})
	n := &notes{}
	n.register(env)
	env.RegisterWorkflow(stepped)
	signal(env, 30*time.Second, progress.SubscribeSignal, progress.Subscriber{ID: "a", Address: "here"})
	env.ExecuteWorkflow(stepped, progress.State{}, 2, true)
	var onward *workflow.ContinueAsNewError
	require.ErrorAs(t, env.GetWorkflowError(), &onward)
	require.Equal(t, []string{"a@here: 2 20 pacing"}, n.told, "the end of the run is no change")
	var state progress.State
	require.NoError(t, dataConverter.FromPayload(onward.Input.Payloads[0], &state))
	require.Equal(t, progress.State{
		Snapshot: snapshot(2, 20), Subscribers: []progress.Subscriber{{ID: "a", Address: "here"}},
	}, state)

	env = newEnvironment(&memory{})
	n = &notes{}
	n.register(env)
	env.ExecuteWorkflow(stepped, state, 1, false)
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, []string{"a@here: 3 10 pacing", "a@here: 4 100 completed"}, n.told)

	env = newEnvironment(&memory{})
	n = &notes{}
	n.register(env)
	env.ExecuteWorkflow(func(ctx workflow.Context) error {
		tracker := progress.Track(ctx, progress.Hybrid{Notify: "Tell"}, progress.Resume(state))
		return tracker.End(ctx, workflow.Sleep(ctx, time.Minute))
	})
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, []string{"a@here: 3 100 completed"}, n.told, "what the run before has told is not told again")
}

func TestASignalThatComesAtTheLastMomentIsCarriedToo(t *testing.T) {
	t.Parallel()
	env := newEnvironment(&memory{})
	var state progress.State
	env.RegisterDelayedCallback(func() { // it is in the same workflow task as the timer
		env.SignalWorkflowSkippingWorkflowTask(progress.SubscribeSignal, progress.Subscriber{ID: "late"})
	}, 5*time.Second)
	env.ExecuteWorkflow(func(ctx workflow.Context) error {
		tracker := progress.Track(ctx, progress.Hybrid{})
		err := workflow.Sleep(ctx, 10*time.Second)
		state = tracker.Suspend(ctx)
		return err
	})
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, []progress.Subscriber{{ID: "late"}}, state.Subscribers)
}

func TestThereAreAtMostAHundredSubscribers(t *testing.T) {
	t.Parallel()
	env := newEnvironment(&memory{})
	for i := range 102 {
		signal(env, time.Second, progress.SubscribeSignal, progress.Subscriber{ID: fmt.Sprint(i)})
	}
	var state progress.State
	env.ExecuteWorkflow(func(ctx workflow.Context) error {
		tracker := progress.Track(ctx, progress.Hybrid{})
		err := workflow.Sleep(ctx, time.Minute)
		state = tracker.Suspend(ctx)
		return err
	})
	require.NoError(t, env.GetWorkflowError())
	require.Len(t, state.Subscribers, 100)
}

func TestAQueryAnswersWithTheProgressIfItHasChanged(t *testing.T) {
	t.Parallel()
	env := newEnvironment(&memory{})
	ask := func(lastVersion int64) *progress.Snapshot {
		var found *progress.Snapshot
		value, err := env.QueryWorkflow(progress.ChangedQuery, lastVersion)
		require.NoError(t, err)
		require.NoError(t, value.Get(&found))
		return found
	}
	env.RegisterDelayedCallback(func() {
		require.Nil(t, ask(2))
		expected := snapshot(2, 20)
		require.Equal(t, &expected, ask(1))
		require.Equal(t, &expected, ask(7))
	}, 90*time.Second)
	env.ExecuteWorkflow(stepped, progress.State{}, 3, false)
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, &progress.Snapshot{Version: 4, Progress: 100, Status: "completed", Done: true}, ask(3))
}

func TestANotificationThatFailsIsGivenUpAndTheNextIsTold(t *testing.T) {
	t.Parallel()
	env := newEnvironment(&memory{})
	n := &notes{fails: func(version int64) bool { return version == 2 }}
	n.register(env)
	signal(env, time.Second, progress.SubscribeSignal, progress.Subscriber{ID: "a"})
	env.ExecuteWorkflow(stepped, progress.State{}, 4, false)
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, []string{"a@: 4 40 pacing", "a@: 5 100 completed"}, n.told[len(n.told)-2:])
}
