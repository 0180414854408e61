package e2e

import (
	"bytes"
	"context"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/worker"
	"google.golang.org/protobuf/encoding/protojson"

	"chatfeed/activities"
	"chatfeed/activities/progress"
	"chatfeed/activities/webhook"
	"chatfeed/internal/tracked"
)

var writeHistories = flag.Bool("histories", false, "write the histories that activities/progress replays into its testdata")

// serveHistories serves workflows under a plain name, as the histories have it, and with activities that do what they are told.
func serveHistories(t *testing.T, c client.Client, queue string, interceptors ...interceptor.WorkerInterceptor) {
	t.Helper()
	w := worker.New(c, queue, worker.Options{Interceptors: interceptors})
	w.RegisterWorkflow(tracked.Steps)
	w.RegisterWorkflow(tracked.Silent)
	w.RegisterActivityWithOptions(func(context.Context, progress.Notification) error { return nil }, activity.RegisterOptions{Name: "Notify"})
	w.RegisterActivityWithOptions(func(_ context.Context, r webhook.Request) (webhook.Delivered, error) {
		return webhook.Delivered{After: r.Before + webhook.Cursor(len(r.Events))}, nil
	}, activity.RegisterOptions{Name: webhook.Deliver})
	activities.Register(w, newDatabaseWriter(t))
	require.NoError(t, w.Start())
	t.Cleanup(w.Stop)
}

// TestWorkflowsReplayTheirHistories runs each kind of workflow and replays what the server has then of each of its runs.
func TestWorkflowsReplayTheirHistories(t *testing.T) {
	t.Parallel()
	c, err := client.Dial(client.Options{HostPort: shared.Temporal, Identity: "worker"})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	intercepted := progress.NewInterceptor(progress.Feed{TaskQueue: activities.TaskQueue})
	serveHistories(t, c, "histories")
	serveHistories(t, c, "histories-intercepted", intercepted)
	feed, local := &progress.Feed{TaskQueue: activities.TaskQueue}, &progress.Feed{Local: true}
	const pause = 30 * time.Millisecond
	for name, in := range map[string]tracked.Input{
		"feed":        {Steps: 6, Pause: pause, Feed: feed},
		"local":       {Steps: 6, Pause: pause, Feed: local},
		"failed":      {Steps: 2, Pause: pause, Feed: feed, Fail: "no flour"},
		"cancelled":   {Pause: time.Hour, Feed: feed, LongPoll: true},
		"update":      {Pause: 300 * time.Millisecond, RunSteps: 4, LongPoll: true},
		"hybrid":      {Pause: 100 * time.Millisecond, RunSteps: 4, Hybrid: &progress.Hybrid{Notify: "Notify"}},
		"push":        {Steps: 6, Pause: pause, Push: &progress.Push{URL: "https://example.com/hook"}},
		"every":       {Steps: 6, Pause: pause, Feed: feed, Push: &progress.Push{URL: "https://example.com/hook", Every: 70 * time.Millisecond}},
		"batches":     {Steps: 6, Pause: pause, Push: &progress.Push{URL: "https://example.com/hook", Batch: 3, Every: time.Second}},
		"intercepted": {Steps: 6, RunSteps: 3, Pause: pause, Feed: feed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			queue := "histories"
			if name == "intercepted" {
				queue = "histories-intercepted"
			}
			id := "wf_history_" + name
			run, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: id, TaskQueue: queue}, tracked.Steps, in)
			require.NoError(t, err)
			runID, first := run.GetRunID(), true // that of the first run; later it is that of the last
			switch name {
			case "cancelled":
				found, err := ask(t.Context(), c, id, 0)
				require.NoError(t, err)
				time.AfterFunc(200*time.Millisecond, func() { _ = c.CancelWorkflow(context.WithoutCancel(t.Context()), id, "") })
				_, err = ask(t.Context(), c, id, found.Version)
				require.NoError(t, err)
			case "update":
				for known := (progress.Snapshot{}); known.Version < 7; {
					if next, err := ask(t.Context(), c, id, known.Version); err == nil { // else the run has just continued as new
						known = next
					}
				}
			case "hybrid":
				require.NoError(t, c.SignalWorkflow(t.Context(), id, "", progress.SubscribeSignal, progress.Subscriber{ID: "a"}))
				waitFor(t, func() bool {
					value, err := c.QueryWorkflow(t.Context(), id, "", progress.ChangedQuery, 0)
					var found *progress.Snapshot
					return err == nil && value.Get(&found) == nil && found != nil && found.Version >= 7
				}, "seven steps")
				require.NoError(t, c.SignalWorkflow(t.Context(), id, "", progress.UnsubscribeSignal, progress.Subscriber{ID: "a"}))
			}
			if in.Steps == 0 && name != "cancelled" {
				require.NoError(t, c.SignalWorkflow(t.Context(), id, "", tracked.StopSignal, nil))
			}
			_ = run.Get(t.Context(), nil) // some end with an error
			for ; runID != ""; first = false {
				var history *historypb.History
				history, runID = historyOf(t, c, id, runID)
				replayer, err := worker.NewWorkflowReplayerWithOptions(worker.WorkflowReplayerOptions{
					Interceptors: []interceptor.WorkerInterceptor{intercepted},
				})
				require.NoError(t, err)
				replayer.RegisterWorkflow(tracked.Steps)
				require.NoError(t, replayer.ReplayWorkflowHistory(nil, history))
				file := name
				if !first {
					file += "-continued"
				}
				if *writeHistories {
					writeHistory(t, filepath.Join("../../../activities/progress/testdata", file+".json"), history)
				}
			}
		})
	}
}

// historyOf returns the history of a run, and the next run's id, which is empty if there is none.
func historyOf(t *testing.T, c client.Client, id, runID string) (history *historypb.History, next string) {
	t.Helper()
	history = &historypb.History{}
	events := c.GetWorkflowHistory(t.Context(), id, runID, false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		event, err := events.Next()
		require.NoError(t, err)
		history.Events = append(history.Events, event)
		next = event.GetWorkflowExecutionContinuedAsNewEventAttributes().GetNewExecutionRunId()
	}
	return history, next
}

func writeHistory(t *testing.T, file string, history *historypb.History) {
	t.Helper()
	text, err := protojson.MarshalOptions{Indent: " "}.Marshal(history)
	require.NoError(t, err)
	host, err := os.Hostname()
	require.NoError(t, err)
	text = bytes.ReplaceAll(text, []byte(host), []byte("host")) // in the names of the workers' own task queues
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
	require.NoError(t, os.WriteFile(file, append(text, '\n'), 0o600))
}
