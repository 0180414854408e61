package progress_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"

	"chatfeed/activities"
	"chatfeed/activities/progress"
	"chatfeed/internal/tracked"
)

func newReplayer(t *testing.T, intercept bool) worker.WorkflowReplayer {
	t.Helper()
	var options worker.WorkflowReplayerOptions
	if intercept {
		feed := progress.Feed{TaskQueue: activities.TaskQueue}
		options.Interceptors = []interceptor.WorkerInterceptor{progress.NewInterceptor(feed)}
	}
	replayer, err := worker.NewWorkflowReplayerWithOptions(options)
	require.NoError(t, err)
	replayer.RegisterWorkflow(tracked.Steps)
	replayer.RegisterWorkflow(tracked.Silent)
	return replayer
}

func replayed(t *testing.T, replayer worker.WorkflowReplayer, history *historypb.History) error {
	t.Helper()
	return replayer.ReplayWorkflowHistory(log.NewStructuredLogger(slog.New(slog.DiscardHandler)), history)
}

// histories are those of real runs, by their names: cmd/dev/e2e writes them with -histories.
func histories(t *testing.T) map[string]*historypb.History {
	t.Helper()
	files, err := filepath.Glob("testdata/*.json")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	found := map[string]*historypb.History{}
	for _, file := range files {
		reader, err := os.Open(file)
		require.NoError(t, err)
		history, err := client.HistoryFromJSON(reader, client.HistoryJSONOptions{})
		require.NoError(t, err)
		require.NoError(t, reader.Close())
		found[strings.TrimSuffix(filepath.Base(file), ".json")] = history
	}
	return found
}

func TestWorkflowsReplayTheHistoriesOfRealRuns(t *testing.T) {
	t.Parallel()
	for name, history := range histories(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			intercepted := strings.HasPrefix(name, "intercepted")
			require.NoError(t, replayed(t, newReplayer(t, intercepted), history))
			if !intercepted { // such runs go on when the interceptor is put in
				require.NoError(t, replayed(t, newReplayer(t, true), history))
			}
		})
	}
}

// The replayer stops within the workflow, and drops it as a worker does that needs the memory: TestMain looks for what it leaves.
func TestAWorkflowThatIsDroppedFromMemoryLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	for name, history := range histories(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for i, event := range history.GetEvents() {
				if event.GetEventType() == enums.EVENT_TYPE_WORKFLOW_TASK_STARTED && i > 3 { // of the next task
					part := &historypb.History{Events: history.GetEvents()[:i+1]}
					require.NoError(t, replayed(t, newReplayer(t, strings.HasPrefix(name, "intercepted")), part))
				}
			}
		})
	}
}
