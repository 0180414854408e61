package progress_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"chatfeed/activities/progress"
)

// answer is what became of an update, and when, counted from the beginning of the workflow.
type answer struct {
	progress.Snapshot
	rejected, failed error
	at               time.Duration
}

// watchers send updates to a workflow.
type watchers struct {
	env     *testsuite.TestWorkflowEnvironment
	begin   time.Time
	answers map[string]answer
}

func newWatchers(env *testsuite.TestWorkflowEnvironment) *watchers {
	return &watchers{env, env.Now(), map[string]answer{}}
}

// ask sends an update after a time.
func (w *watchers) ask(name string, after time.Duration, lastKnown any) {
	w.env.RegisterDelayedCallback(func() {
		answered := func(a answer) {
			a.at = w.env.Now().Sub(w.begin).Round(time.Second)
			w.answers[name] = a
		}
		w.env.UpdateWorkflow(progress.WaitUpdate, name, &testsuite.TestUpdateCallback{
			OnReject: func(err error) { answered(answer{rejected: err}) },
			OnComplete: func(result any, err error) {
				a := answer{failed: err}
				if err == nil {
					a.Snapshot = result.(progress.Snapshot)
				}
				answered(a)
			},
		}, lastKnown)
	}, after)
}

// paced sets a progress every minute.
func paced(ctx workflow.Context) (err error) {
	tracker := progress.Track(ctx, progress.LongPoll{})
	defer func() { err = tracker.End(ctx, err) }()
	for i := range 3 {
		tracker.Set(float64(10*(i+1)), "pacing")
		if err := workflow.Sleep(ctx, time.Minute); err != nil {
			return err
		}
	}
	return nil
}

func snapshot(version int64, percent float64) progress.Snapshot {
	return progress.Snapshot{Version: version, Progress: percent, Status: "pacing"}
}

func TestAnUpdateIsAnsweredWhenTheProgressHasMoved(t *testing.T) {
	t.Parallel()
	env := newEnvironment(&memory{})
	w := newWatchers(env)
	w.ask("first", 5*time.Second, 0)
	w.ask("waits", 45*time.Second, 1)
	w.ask("nothing happens", 65*time.Second, 2)
	w.ask("behind", 66*time.Second, 1)
	w.ask("ahead", 67*time.Second, 99) // of a run that was reset
	w.ask("until the end", 175*time.Second, 3)
	w.ask("negative", 10*time.Second, -1)
	w.ask("garbage", 10*time.Second, "a lot")
	env.ExecuteWorkflow(paced)
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, answer{Snapshot: snapshot(1, 10), at: 5 * time.Second}, w.answers["first"])
	require.Equal(t, answer{Snapshot: snapshot(2, 20), at: 60 * time.Second}, w.answers["waits"])
	require.Equal(t, answer{Snapshot: snapshot(2, 20), at: 95 * time.Second}, w.answers["nothing happens"], "30 s, and unchanged")
	require.Equal(t, answer{Snapshot: snapshot(2, 20), at: 66 * time.Second}, w.answers["behind"])
	require.Equal(t, answer{Snapshot: snapshot(2, 20), at: 67 * time.Second}, w.answers["ahead"])
	require.Equal(t, answer{
		Snapshot: progress.Snapshot{Version: 4, Progress: 100, Status: "completed", Done: true}, at: 180 * time.Second,
	}, w.answers["until the end"])
	require.EqualError(t, w.answers["negative"].rejected, "lastKnown: is -1; the version of the last answer is accepted, or 0")
	require.Error(t, w.answers["garbage"].rejected)
}

func TestAtMostEightWatchersWait(t *testing.T) {
	t.Parallel()
	env := newEnvironment(&memory{})
	w := newWatchers(env)
	for i := range 10 {
		w.ask(fmt.Sprint("waits ", i), time.Duration(45+i)*time.Second, 1)
	}
	w.ask("is answered at once", 56*time.Second, 0)
	w.ask("waits again", 61*time.Second, 2)
	env.ExecuteWorkflow(paced)
	require.NoError(t, env.GetWorkflowError())
	for i := range 10 {
		a := w.answers[fmt.Sprint("waits ", i)]
		if i < 8 {
			require.Equal(t, answer{Snapshot: snapshot(2, 20), at: time.Minute}, a)
		} else {
			require.EqualError(t, a.rejected, "8 watchers wait for this workflow already, which is the most; ask again later, or follow the feed")
		}
	}
	require.Equal(t, snapshot(1, 10), w.answers["is answered at once"].Snapshot)
	require.Equal(t, snapshot(2, 20), w.answers["waits again"].Snapshot)
}

func TestUpdatesAreAnsweredBeforeTheWorkflowEndsOrContinues(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		end      func(ctx workflow.Context, tracker *progress.Tracker) error
		expected progress.Snapshot
	}{
		"completes": {
			func(ctx workflow.Context, tracker *progress.Tracker) error { return tracker.End(ctx, nil) },
			progress.Snapshot{Version: 2, Progress: 100, Status: "completed", Done: true},
		},
		"fails": {
			func(ctx workflow.Context, tracker *progress.Tracker) error { return tracker.End(ctx, errors.New("no")) },
			progress.Snapshot{Version: 2, Progress: 10, Status: "failed", Done: true},
		},
		"is cancelled": {
			func(ctx workflow.Context, tracker *progress.Tracker) error {
				return tracker.End(ctx, workflow.Sleep(ctx, time.Hour))
			},
			progress.Snapshot{Version: 2, Progress: 10, Status: "cancelled", Done: true},
		},
		"continues as new": {
			func(ctx workflow.Context, tracker *progress.Tracker) error {
				return tracker.End(ctx, workflow.NewContinueAsNewError(ctx, "next", tracker.Suspend(ctx)))
			},
			snapshot(1, 10),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := newEnvironment(&memory{})
			w := newWatchers(env)
			for i := range 8 {
				w.ask(fmt.Sprint(i), 5*time.Second, 1)
			}
			env.RegisterDelayedCallback(env.CancelWorkflow, 15*time.Second)
			finished := false
			env.ExecuteWorkflow(func(ctx workflow.Context) error {
				tracker := progress.Track(ctx, progress.LongPoll{})
				tracker.Set(10, "pacing")
				if err := workflow.Sleep(ctx, 10*time.Second); err != nil {
					return err
				}
				err := c.end(ctx, tracker)
				finished = workflow.AllHandlersFinished(ctx)
				return err
			})
			require.True(t, env.IsWorkflowCompleted())
			require.True(t, finished, "no handler is cut off")
			for i := range 8 {
				a := w.answers[fmt.Sprint(i)]
				require.NoError(t, a.failed)
				require.Equal(t, c.expected, a.Snapshot)
				require.LessOrEqual(t, a.at, 15*time.Second, "at once")
			}
		})
	}
}
