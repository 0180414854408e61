package main

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/history/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"chatfeed/activities/progress"
	"chatfeed/cmd/internal/bench"
)

func TestReceiptsTellWhatCameAndWhatWasMissed(t *testing.T) {
	t.Parallel()
	r := newReceipts(2, 3)
	now := time.Now().UnixNano()
	r.take(0, []byte(bench.Stamped(1)+bench.Stamped(2)+bench.Stamped(3)))
	r.take(1, []byte(bench.Stamped(2)))
	require.False(t, r.settled(), "the second has not the last one")
	made := []int64{now - int64(time.Hour), now - int64(2*time.Hour), now - int64(3*time.Hour)}
	took, missed := r.since(made)
	require.Equal(t, []int{0, 2}, missed)
	require.Len(t, took, 4)
	require.InDelta(t, time.Hour, took[0], float64(time.Minute))
	require.InDelta(t, 3*time.Hour, took[3], float64(time.Minute))
	first := r.at[0][0].Load()
	r.take(0, []byte(bench.Stamped(1)))
	require.Equal(t, first, r.at[0][0].Load(), "the first receipt counts")
	r.take(1, []byte(bench.Stamped(3)))
	require.True(t, r.settled())
	r.take(1, []byte(bench.Stamped(4)+bench.Stamped(0)))
	require.Equal(t, int64(2), r.unwanted.Load())
}

func TestPercentilesAreOfTheNearestRank(t *testing.T) {
	t.Parallel()
	var took []time.Duration
	for i := range 200 {
		took = append(took, time.Duration(i+1)*time.Millisecond)
	}
	require.InDelta(t, 101, percentile(took, 50), 0)
	require.InDelta(t, 199, percentile(took, 99), 0)
	require.InDelta(t, 200, percentile(took, 100), 0)
}

func TestTheLimitsMetMostOftenAreNamed(t *testing.T) {
	t.Parallel()
	l := newLimits()
	require.Empty(t, l.text())
	l.meet("a | b\n", 1)
	require.Equal(t, "a / b", l.text())
	l.meet("c", 2)
	require.Equal(t, "c (2 times); a / b", l.text())
	require.False(t, l.reached(60))
	require.True(t, l.reached(59), "three in sixty is one in twenty")
	l.meet("d", 1)
	require.Equal(t, "c (2 times); a / b", l.text())
}

func TestBehindSomeLimitsThereIsNothingToMeasure(t *testing.T) {
	t.Parallel()
	l := newLimits()
	require.False(t, l.reached(0))
	l.end("%d watchers learned nothing", 3)
	require.Equal(t, "3 watchers learned nothing", l.text())
	require.True(t, l.reached(1_000_000))
}

func TestATailIsTheLastThatWasWritten(t *testing.T) {
	t.Parallel()
	written := new(tail)
	for range 100 {
		n, err := written.Write(bytes.Repeat([]byte("a"), 100))
		require.NoError(t, err)
		require.Equal(t, 100, n)
	}
	_, _ = written.Write([]byte("the end"))
	require.Len(t, written.String(), 4<<10)
	require.True(t, strings.HasSuffix(written.String(), "athe end"))
}

func TestTheWorkflowMakesAsManyChangesAsItIsAsked(t *testing.T) {
	t.Parallel()
	env := new(testsuite.WorkflowTestSuite).NewTestWorkflowEnvironment()
	load := &workload{made: make(map[string][]int64)}
	env.RegisterWorkflowWithOptions(load.run, workflow.RegisterOptions{Name: workloadName})
	var seen []int64
	var last progress.Snapshot
	for i, changes := range []int{1, 1, 5, 0} {
		env.RegisterDelayedCallback(func() { env.SignalWorkflow(workSignal, changes) }, time.Duration(2*i+1)*time.Second)
		env.RegisterDelayedCallback(func() {
			value, err := env.QueryWorkflow(progress.ChangedQuery, last.Version)
			require.NoError(t, err)
			require.NoError(t, value.Get(&last))
			bench.Stamps([]byte(last.Status), func(n int64) { seen = append(seen, n) })
		}, time.Duration(2*i+2)*time.Second)
	}
	env.ExecuteWorkflow(workloadName, plan{Way: byQuery, Changes: 7})
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, []int64{1, 2, 7}, seen)
	require.Len(t, load.made["default-test-workflow-id"], 7)
}

func TestTheWorkComesAtItsPaceAndEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := pace{steps: 3, every: 50 * time.Millisecond, burst: 9, idle: time.Second}
		began := time.Now()
		var at []time.Duration
		var asked []int
		require.NoError(t, p.drive(t.Context(), func(changes int) error {
			at, asked = append(at, time.Since(began)), append(asked, changes)
			return nil
		}))
		require.Equal(t, []int{1, 1, 1, 9, 0}, asked)
		require.Equal(t, []time.Duration{0, 50 * time.Millisecond, 100 * time.Millisecond, 150 * time.Millisecond, 1150 * time.Millisecond}, at)
		require.Equal(t, 12, p.changes())
		refused := errors.New("refused")
		require.ErrorIs(t, p.drive(t.Context(), func(int) error { return refused }), refused)
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, p.drive(ended, func(int) error { return ended.Err() }), context.Canceled)
	})
}

func TestBilledActionsAreCounted(t *testing.T) {
	t.Parallel()
	require.Equal(t, 1, actions(&history.HistoryEvent{EventType: enums.EVENT_TYPE_TIMER_STARTED}))
	require.Zero(t, actions(&history.HistoryEvent{EventType: enums.EVENT_TYPE_TIMER_FIRED}))
	require.Equal(t, 3, actions(&history.HistoryEvent{
		EventType: enums.EVENT_TYPE_ACTIVITY_TASK_STARTED,
		Attributes: &history.HistoryEvent_ActivityTaskStartedEventAttributes{
			ActivityTaskStartedEventAttributes: &history.ActivityTaskStartedEventAttributes{Attempt: 3},
		},
	}), "retries are billed")
}

func TestAWatcherLearnsWhyItWasRefused(t *testing.T) {
	t.Parallel()
	require.Equal(t, "no", reason(temporal.NewApplicationError("no", "kind")))
	require.Equal(t, "other", reason(errors.New("other")))
	const late = "Temporal did not answer within 10s"
	require.Equal(t, late, reason(context.DeadlineExceeded))
	require.Equal(t, late, reason(serviceerror.NewDeadlineExceeded("context deadline exceeded")))
}

func TestAnEndpointKeepsWhatItIsTold(t *testing.T) {
	t.Parallel()
	called := 0
	e, err := listen(t.Context(), func() { called++ })
	require.NoError(t, err)
	defer e.close()
	require.NoError(t, post(t.Context(), e.url, []byte("news")))
	require.Equal(t, "news", string(<-e.told))
	require.Equal(t, 1, called)

	broken := httptest.NewServer(http.NotFoundHandler())
	defer broken.Close()
	require.ErrorContains(t, post(t.Context(), broken.URL, nil), "404")
	http.DefaultClient.CloseIdleConnections()
}

func TestLabelsAreBrokenIntoShortLines(t *testing.T) {
	t.Parallel()
	require.Equal(t, "Update\nlong\npoll", label("Update long poll"))
	require.Equal(t, "polling\n0.5 s", label("polling, 0.5 s"))
	require.Equal(t, "feed\nWebSocket", label("feed, WebSocket"))
	require.Equal(t, "log in\nthe\nworkflow", label("log in the workflow"))
}
