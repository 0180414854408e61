package activities

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/workflow"
)

func TestAnIDIsUniqueToOneScheduledActivityAndOneItem(t *testing.T) {
	t.Parallel()
	scheduled := time.Unix(1_700_000_000, 1)
	one := activity.Info{
		WorkflowExecution: workflow.Execution{ID: "wf", RunID: "run"}, ActivityID: "5", ScheduledTime: scheduled,
		Attempt: 1, TaskToken: []byte("first"), StartedTime: scheduled.Add(1),
	}
	local := one
	local.IsLocalActivity = true
	alone := activity.Info{ActivityID: "5", ActivityRunID: "run", ScheduledTime: scheduled}
	change := func(info activity.Info, change func(*activity.Info)) string {
		change(&info)
		return deriveID(info, 0)
	}

	for name, same := range map[string][2]string{
		"another attempt": {deriveID(one, 0), change(one, func(i *activity.Info) {
			i.Attempt, i.TaskToken, i.StartedTime = 2, []byte("second"), scheduled.Add(time.Minute)
		})},
		"a local activity's workflow task once more": {deriveID(local, 0), change(local, func(i *activity.Info) {
			i.ScheduledTime = scheduled.Add(time.Minute)
		})},
		"another attempt without a workflow": {deriveID(alone, 0), change(alone, func(i *activity.Info) {
			i.ScheduledTime, i.Attempt = scheduled.Add(time.Minute), 2
		})},
	} {
		require.Equal(t, same[0], same[1], name)
	}

	ids := map[string]string{"one": deriveID(one, 0), "local": deriveID(local, 0), "alone": deriveID(alone, 0)}
	for name, id := range map[string]string{
		"another item":            deriveID(one, 1),
		"another workflow":        change(one, func(i *activity.Info) { i.WorkflowExecution.ID = "wf2" }),
		"another run":             change(one, func(i *activity.Info) { i.WorkflowExecution.RunID = "run2" }),
		"another activity":        change(one, func(i *activity.Info) { i.ActivityID = "6" }),
		"the activity id again":   change(one, func(i *activity.Info) { i.ScheduledTime = scheduled.Add(1) }),
		"another local activity":  change(local, func(i *activity.Info) { i.ActivityID = "6" }),
		"the same id alone again": change(alone, func(i *activity.Info) { i.ActivityRunID = "run2" }),
	} {
		for other, taken := range ids {
			require.NotEqual(t, taken, id, "%s and %s", name, other)
		}
		ids[name] = id
	}
	require.Len(t, ids, 10)
}

func TestAProblemIsLoggedOncePerMinuteForEachReason(t *testing.T) {
	t.Parallel()
	var a logLimiter
	start := time.Now()
	require.True(t, a.due("one", start))
	require.False(t, a.due("one", start.Add(time.Second)))
	require.True(t, a.due("another", start.Add(2*time.Second)))
	require.False(t, a.due("one", start.Add(59*time.Second)))
	require.True(t, a.due("one", start.Add(60*time.Second)))
	require.False(t, a.due("one", start.Add(61*time.Second)))
}
