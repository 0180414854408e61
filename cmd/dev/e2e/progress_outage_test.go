package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"chatfeed/activities"
	"chatfeed/activities/progress"
	"chatfeed/internal/tracked"
)

// TestTheProgressOfEveryWorkflowIsCompleteWhicheverPartIsAway takes PostgreSQL, Temporal, the worker of the activities and that of
// the workflows away in turn, with SIGKILL and for a while, a minute in the long form, while workflows set their progress and
// continue as new.
func TestTheProgressOfEveryWorkflowIsCompleteWhicheverPartIsAway(t *testing.T) {
	t.Parallel()
	away := 3 * time.Second
	if *long {
		away = time.Minute
	}
	s := startParts(t)
	postgres, server, activityWorker := s.all[0], s.all[1], s.all[2]
	workflowWorker := newPart(t, "tracked", "msg=serving", func() *process {
		return startPart(t, trackedPart, server.address(), s.databaseURL)
	})
	c, err := client.Dial(client.Options{HostPort: server.address()})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	pool := openPool(t, s.databaseURL)

	var runs []client.WorkflowRun
	for i := range 4 {
		feed := progress.Feed{TaskQueue: activities.TaskQueue, Local: i%2 == 1, Final: true}
		in := tracked.Input{Pause: 50 * time.Millisecond, RunSteps: 40, Feed: &feed}
		runs = append(runs, startTracked(t, c, fmt.Sprint("wf_outage_", i), in))
	}
	silent, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "wf_outage_silent", TaskQueue: trackedQueue}, tracked.Silent)
	require.NoError(t, err)
	recorded := func(run client.WorkflowRun) (n int) {
		require.NoError(t, pool.QueryRow(t.Context(),
			`select count(*) from chatfeed.progress where workflow_id = $1`, run.GetID()).Scan(&n))
		return n
	}
	// onward waits until each workflow has done some steps more.
	onward := func() {
		for _, run := range runs {
			before := recorded(run)
			waitFor(t, func() bool { return recorded(run) >= before+5 }, "%s to go on", run.GetID())
		}
	}
	onward()
	for _, p := range []*part{postgres, server, activityWorker, workflowWorker} {
		p.kill()
		<-time.After(away) //nolint:forbidigo // it stays away for a while
		p.start()
		p.ready()
		pool.Reset() // lest it has connections that PostgreSQL has dropped
		onward()
	}
	for _, run := range append(runs, silent) {
		require.NoError(t, c.SignalWorkflow(t.Context(), run.GetID(), "", tracked.StopSignal, nil))
	}
	for _, run := range runs {
		var done int
		require.NoError(t, run.Get(t.Context(), &done))
		require.Equal(t, stepsOf(done, "100 completed final"), progressOf(t, pool, run.GetID()))
		t.Logf("%s: %d steps, each recorded once and in order", run.GetID(), done)
	}
	require.NoError(t, silent.Get(t.Context(), nil))
	require.Equal(t, []string{"0 running", "100 completed"}, progressOf(t, pool, silent.GetID()))
}
