package temporaldev_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"chatfeed/activities"
	"chatfeed/cmd/dev/internal/demo"
	"chatfeed/cmd/dev/temporal/internal/temporaldev"
	"chatfeed/db"
)

func TestTheDemoChatRunsOnTheServer(t *testing.T) {
	t.Parallel()
	c := dialled(t, started(t, temporaldev.Config{}), "")
	feed := make(recorded, 10_000)
	answered(t, c, feed)
	const n = 52 // more than one run handles

	for i := range n {
		send(t, c, demo.UserMessage{ID: strconv.Itoa(i), Text: "The sea is wide. The sea is deep."})
	}
	send(t, c, demo.UserMessage{ID: "0", Text: "delivered again"})
	require.NoError(t, c.SignalWorkflow(t.Context(), "wf", "", demo.SignalName, "no object"))

	var users, answers []string
	feed.until(t, func(item db.Item) bool {
		switch item := item.(type) {
		case db.Message:
			require.Equal(t, "wf", item.WorkflowID)
			if item.Role == "user" {
				users = append(users, item.ID)
			} else {
				answers = append(answers, item.Message)
			}
		case db.Log:
			require.Equal(t, "info", item.Level)
		case db.Progress:
			return item.Status == "done" && len(answers) == n
		}
		return false
	})
	require.Len(t, users, n)
	for i, id := range users {
		require.Equal(t, strconv.Itoa(i), id)
		require.Contains(t, answers[i], "> The sea is wide.")
	}

	require.NoError(t, c.CancelWorkflow(t.Context(), "wf", ""))
	err := c.GetWorkflow(t.Context(), "wf", "").Get(t.Context(), nil)
	var canceled *temporal.CanceledError
	require.ErrorAs(t, err, &canceled)
	feed.until(t, func(item db.Item) bool {
		p, ok := item.(db.Progress)
		return ok && p.Status == "cancelled"
	})

	require.Equal(t, []enums.EventType{
		enums.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW, enums.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED,
	}, replayed(t, c), "and every run can be replayed")
}

// recorded receives the items that are written.
type recorded chan db.Item

// Write implements [activities.Writer].
func (r recorded) Write(_ context.Context, items ...db.Item) ([]db.Written, error) {
	for _, item := range items {
		select {
		case r <- item:
		default:
			return nil, errors.New("nobody reads what is recorded")
		}
	}
	return make([]db.Written, len(items)), nil
}

func (r recorded) until(t *testing.T, last func(db.Item) bool) {
	t.Helper()
	for {
		select {
		case item := <-r:
			if last(item) {
				return
			}
		case <-t.Context().Done():
			require.NoError(t, t.Context().Err())
		}
	}
}

// answered runs the workers of the demo and of the activities that record.
func answered(t *testing.T, c client.Client, w activities.Writer) {
	t.Helper()
	chats := worker.New(c, demo.TaskQueue, worker.Options{WorkflowPanicPolicy: worker.FailWorkflow})
	demo.Register(chats, w, time.Millisecond)
	recorders := worker.New(c, activities.TaskQueue, worker.Options{})
	activities.Register(recorders, w)
	for _, w := range []worker.Worker{chats, recorders} {
		require.NoError(t, w.Start())
		t.Cleanup(w.Stop)
	}
}

// send sends a message as clients do: the first one starts the workflow.
func send(t *testing.T, c client.Client, m demo.UserMessage) {
	t.Helper()
	_, err := c.SignalWithStartWorkflow(t.Context(), "wf", demo.SignalName, m,
		client.StartWorkflowOptions{TaskQueue: demo.TaskQueue}, demo.WorkflowName)
	require.NoError(t, err)
}

// replayed replays the runs of the workflow, the newest first, and returns how each ended, the oldest first.
func replayed(t *testing.T, c client.Client) []enums.EventType {
	t.Helper()
	replayer := worker.NewWorkflowReplayer()
	replayer.RegisterWorkflowWithOptions(demo.Chat, workflow.RegisterOptions{Name: demo.WorkflowName})
	var ends []enums.EventType
	for run := ""; ; {
		var h history.History
		events := c.GetWorkflowHistory(t.Context(), "wf", run, false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
		for events.HasNext() {
			event, err := events.Next()
			require.NoError(t, err)
			h.Events = append(h.Events, event)
		}
		require.NoError(t, replayer.ReplayWorkflowHistory(nil, &h), fmt.Sprintf("run %q", run))
		require.Less(t, len(h.Events), 4000)
		ends = append([]enums.EventType{h.Events[len(h.Events)-1].EventType}, ends...)
		run = h.Events[0].GetWorkflowExecutionStartedEventAttributes().GetContinuedExecutionRunId()
		if run == "" {
			return ends
		}
	}
}
