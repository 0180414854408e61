package e2e

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"

	"chatfeed/activities"
	"chatfeed/activities/progress"
	"chatfeed/db"
	"chatfeed/internal/tracked"
)

// trackedQueue is the task queue of the workflows that track themselves.
const trackedQueue = "tracked"

// trackedPart is the part that serves them.
const trackedPart = "tracked"

// newTracked makes a worker for workflows that track themselves or are recorded by the interceptor, with the activities.
func newTracked(c client.Client, writer *db.Writer) worker.Worker {
	w := worker.New(c, trackedQueue, worker.Options{
		Interceptors: []interceptor.WorkerInterceptor{progress.NewInterceptor(progress.Feed{TaskQueue: activities.TaskQueue})},
	})
	w.RegisterWorkflow(tracked.Steps)
	w.RegisterWorkflow(tracked.Silent)
	activities.Register(w, writer)
	return w
}

// serveTracked serves them from this process, with the shared stack.
func serveTracked(t *testing.T) (client.Client, *pgxpool.Pool) {
	t.Helper()
	c, pool := dialTemporal(t), openPool(t, shared.DatabaseURL)
	trackedOnce.Do(func() {
		// It serves all tests, and so ends with the process.
		c, err := client.Dial(client.Options{HostPort: shared.Temporal})
		require.NoError(t, err)
		pool, err := pgxpool.New(context.Background(), shared.DatabaseURL)
		require.NoError(t, err)
		require.NoError(t, newTracked(c, db.NewWriter(pool)).Start())
	})
	return c, pool
}

var trackedOnce sync.Once

func startTracked(t *testing.T, c client.Client, id string, in tracked.Input) client.WorkflowRun {
	t.Helper()
	options := client.StartWorkflowOptions{ID: id, TaskQueue: trackedQueue, WorkflowTaskTimeout: 5 * time.Second} // so that kills delay it little
	run, err := c.ExecuteWorkflow(t.Context(), options, tracked.Steps, in)
	require.NoError(t, err)
	return run
}

// progressOf returns the progress items of a workflow in order, as "50 packing", with the result where there is one, and "final".
func progressOf(t *testing.T, pool *pgxpool.Pool, workflow string) []string {
	t.Helper()
	rows, _ := pool.Query(t.Context(), `select progress || ' ' || status || coalesce(': ' || nullif(result, ''), '') ||
			case when final then ' final' else '' end
		from chatfeed.progress where workflow_id = $1 order by "_createdAt"`, workflow)
	items, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return items
}

// stepsOf returns what a workflow has recorded that has done some steps.
func stepsOf(done int, end string) []string {
	items := []string{"0 running"}
	for i := range done {
		items = append(items, fmt.Sprintf("%g %s", tracked.Percent(i), tracked.Status(i)))
	}
	return append(items, end)
}

func TestTheProgressOfAWorkflowIsRecordedHoweverItEnds(t *testing.T) {
	t.Parallel()
	c, pool := serveTracked(t)
	for name, feed := range map[string]progress.Feed{
		"feed": {TaskQueue: activities.TaskQueue, Final: true}, "local": {Local: true, Final: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			completes := startTracked(t, c, "wf_progress_completes_"+name, tracked.Input{Steps: 20, RunSteps: 8, Feed: &feed, Pause: 10 * time.Millisecond})
			fails := startTracked(t, c, "wf_progress_fails_"+name, tracked.Input{Steps: 1, Feed: &feed, Pause: time.Millisecond, Fail: "no flour"})
			cancelled := startTracked(t, c, "wf_progress_cancelled_"+name, tracked.Input{Steps: 2, Feed: &feed, Pause: time.Hour})
			waitFor(t, func() bool { return len(progressOf(t, pool, cancelled.GetID())) == 2 }, "the first step")
			require.NoError(t, c.CancelWorkflow(t.Context(), cancelled.GetID(), ""))

			require.NoError(t, completes.Get(t.Context(), nil))
			require.Equal(t, stepsOf(20, "100 completed final"), progressOf(t, pool, completes.GetID()))
			require.ErrorContains(t, fails.Get(t.Context(), nil), "no flour")
			require.Equal(t, stepsOf(1, "0 failed: no flour final"), progressOf(t, pool, fails.GetID()))
			var canceled *temporal.CanceledError
			require.ErrorAs(t, cancelled.Get(t.Context(), nil), &canceled)
			require.Equal(t, stepsOf(1, "0 cancelled final"), progressOf(t, pool, cancelled.GetID()))
		})
	}
}

func TestAWorkflowWithoutALineOfProgressIsRecordedByTheInterceptor(t *testing.T) {
	t.Parallel()
	c, pool := serveTracked(t)
	for name, c := range map[string]struct {
		end      func(id string) error
		expected string
	}{
		"completed": {func(id string) error { return c.SignalWorkflow(t.Context(), id, "", tracked.StopSignal, nil) }, "100 completed"},
		"cancelled": {func(id string) error { return c.CancelWorkflow(t.Context(), id, "") }, "0 cancelled"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			own := dialTemporal(t)
			options := client.StartWorkflowOptions{ID: "wf_silent_" + name, TaskQueue: trackedQueue}
			run, err := own.ExecuteWorkflow(t.Context(), options, tracked.Silent)
			require.NoError(t, err)
			waitFor(t, func() bool { return len(progressOf(t, pool, run.GetID())) == 1 }, "the beginning")
			require.NoError(t, c.end(run.GetID()))
			_ = run.Get(t.Context(), nil) // a cancellation is its error
			require.Equal(t, []string{"0 running", c.expected}, progressOf(t, pool, run.GetID()))
		})
	}
}

// ask asks for a change after a version.
func ask(ctx context.Context, c client.Client, workflow string, version any) (found progress.Snapshot, err error) {
	handle, err := c.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
		WorkflowID: workflow, UpdateName: progress.WaitUpdate, Args: []any{version}, WaitForStage: client.WorkflowUpdateStageCompleted,
	})
	if err == nil {
		err = handle.Get(ctx, &found)
	}
	return found, err
}

func TestMoreWatchersThanMayWaitAreToldSoInWords(t *testing.T) {
	t.Parallel()
	c, _ := serveTracked(t)
	run := startTracked(t, c, "wf_long_poll", tracked.Input{Steps: 1, LongPoll: true, Pause: time.Hour})
	first, err := ask(t.Context(), c, run.GetID(), 0)
	require.NoError(t, err)
	require.Equal(t, progress.Snapshot{Version: 1, Status: tracked.Status(0)}, first)
	_, err = ask(t.Context(), c, run.GetID(), -1)
	require.ErrorContains(t, err, "lastKnown: is -1")
	_, err = ask(t.Context(), c, run.GetID(), "much")
	require.Error(t, err)

	type answer struct {
		progress.Snapshot
		error
	}
	answers := make(chan answer, 12)
	for range cap(answers) {
		go func() {
			found, err := ask(t.Context(), c, run.GetID(), first.Version)
			answers <- answer{found, err}
		}()
	}
	for range cap(answers) - 8 {
		require.ErrorContains(t, (<-answers).error, "8 watchers wait for this workflow already")
	}
	require.NoError(t, c.CancelWorkflow(t.Context(), run.GetID(), ""))
	for range 8 {
		a := <-answers
		require.NoError(t, a.error, "whoever waits is answered before the workflow ends")
		require.Equal(t, progress.Snapshot{Version: 2, Status: "cancelled", Done: true}, a.Snapshot)
	}
}

func TestSubscribersAreCarriedOverAContinuation(t *testing.T) {
	t.Parallel()
	c, _ := serveTracked(t)
	const queue = "tracked-notify"
	told := make(chan int64, 100)
	w := worker.New(c, queue, worker.Options{})
	w.RegisterActivityWithOptions(func(_ context.Context, n progress.Notification) error {
		if len(n.Subscribers) != 1 || n.Subscribers[0] != (progress.Subscriber{ID: "a", Address: "here"}) {
			return errors.New("other subscribers")
		}
		told <- n.Snapshot.Version
		return nil
	}, activity.RegisterOptions{Name: "Notify"})
	require.NoError(t, w.Start())
	t.Cleanup(w.Stop)
	in := tracked.Input{RunSteps: 3, Pause: 50 * time.Millisecond, Hybrid: &progress.Hybrid{Notify: "Notify", TaskQueue: queue}}
	run := startTracked(t, c, "wf_hybrid", in)
	subscriber := progress.Subscriber{ID: "a", Address: "here"}
	require.NoError(t, c.SignalWorkflow(t.Context(), run.GetID(), "", progress.SubscribeSignal, subscriber))
	last := int64(0)
	for last < 20 { // it has continued as new several times
		next := <-told
		require.GreaterOrEqual(t, next, last, "in order")
		last = next
	}
	require.NoError(t, c.SignalWorkflow(t.Context(), run.GetID(), "", tracked.StopSignal, nil))
	var done int64
	require.NoError(t, run.Get(t.Context(), &done))
	for last < done+1 {
		last = <-told
	}
	value, err := c.QueryWorkflow(t.Context(), run.GetID(), "", progress.ChangedQuery, done)
	require.NoError(t, err)
	var found *progress.Snapshot
	require.NoError(t, value.Get(&found))
	require.Equal(t, &progress.Snapshot{Version: done + 1, Progress: 100, Status: "completed", Done: true}, found)
	value, err = c.QueryWorkflow(t.Context(), run.GetID(), "", progress.ChangedQuery, done+1)
	require.NoError(t, err)
	found = nil
	require.NoError(t, value.Get(&found))
	require.Nil(t, found)
}

// newDatabaseWriter makes a writer to the shared database, for the length of the test.
func newDatabaseWriter(t *testing.T) *db.Writer {
	t.Helper()
	writer := db.NewWriter(openPool(t, shared.DatabaseURL))
	t.Cleanup(writer.Close)
	return writer
}
