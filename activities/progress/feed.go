package progress

import (
	"cmp"
	"fmt"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"chatfeed/activities"
)

// maxBatch is how many items are recorded by one activity.
const maxBatch = 100

// Feed records each change as a progress item of the workflow's feed, in order. The changes that are made while others are
// being recorded are recorded together, by the next activity: so a workflow that is faster than its database makes no more
// activities than the database can take, and no change is left out.
//
// An activity is retried for a day, and so is waited for at the end; then its changes are given up, with an error in the log.
type Feed struct {
	// TaskQueue is that of a worker which has the activities of package chatfeed/activities, such as [activities.TaskQueue],
	// that of "chatfeed worker". Empty means the workflow's own.
	TaskQueue string
	// Local records by local activities, on the workflow's own worker, which must have the activities. A change is then in the feed
	// sooner and costs one event of the history instead of three; but if the worker dies before its workflow task has ended, the
	// workflow may decide anew while its items stand.
	Local bool
	// Final makes the last item final: nothing can be written to the workflow's feed after it, also by a later run of the same
	// workflow id. It is left out if Temporal itself begins such a run, by a schedule in cron's format or after a failure.
	Final bool
}

func (f Feed) attach(ctx workflow.Context, t *Tracker) {
	t.records, t.final = true, f.Final
	t.followers = append(t.followers, t.run.record(ctx, f, day))
}

const day = 24 * time.Hour

// lane records items of a run in order, by one activity at a time.
type lane struct {
	Feed
	patience time.Duration // how long an activity is retried
	waiting  []change      // until they are recorded or given up
}

func (l *lane) changed(c change) { l.waiting = append(l.waiting, c) }

func (l *lane) idle(workflow.Context) bool { return len(l.waiting) == 0 }

// reached reports whether all items up to that of a number have been recorded or given up.
func (l *lane) reached(number int) bool { return len(l.waiting) == 0 || l.waiting[0].number > number }

// work records what waits, as long as the run lives.
func (l *lane) work(ctx workflow.Context) {
	for workflow.Await(ctx, func() bool { return len(l.waiting) > 0 }) == nil {
		n := min(len(l.waiting), maxBatch)
		if err := l.record(ctx, l.waiting[:n]); err != nil {
			workflow.GetLogger(ctx).Error("Progress was not recorded.", "items", n, "error", err)
		}
		l.waiting = l.waiting[n:]
	}
}

func (c change) item() activities.Progress {
	return activities.Progress{ID: c.id, Progress: c.Progress, Status: c.Status, Result: c.result, Final: c.final}
}

func (l *lane) record(ctx workflow.Context, changes []change) error {
	name, input := activities.RecordProgress, any(changes[0].item())
	if len(changes) > 1 {
		list := make([]activities.Item, len(changes))
		for i, c := range changes {
			list[i] = c.item()
		}
		name, input = activities.RecordItems, activities.Items(list...)
	}
	retry := &temporal.RetryPolicy{InitialInterval: 200 * time.Millisecond, BackoffCoefficient: 2, MaximumInterval: 10 * time.Second}
	if l.Local {
		ctx = workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{
			StartToCloseTimeout: 10 * time.Second, ScheduleToCloseTimeout: l.patience, RetryPolicy: retry,
		})
		return workflow.ExecuteLocalActivity(ctx, name, input).Get(ctx, nil)
	}
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue: queue(ctx, l.TaskQueue), StartToCloseTimeout: 10 * time.Second, ScheduleToCloseTimeout: l.patience, RetryPolicy: retry,
	})
	return workflow.ExecuteActivity(ctx, name, input).Get(ctx, nil)
}

// run is what the trackers of a workflow's run and the interceptor share.
type run struct {
	id      string
	numbers int
	lane    *lane // nil if nothing is recorded
	tracker *Tracker
}

type runKey struct{}

// runOf returns the run that the interceptor has made, or a new one.
func runOf(ctx workflow.Context) *run {
	if r, ok := ctx.Value(runKey{}).(*run); ok {
		return r
	}
	return newRun(ctx)
}

func newRun(ctx workflow.Context) *run {
	return &run{id: workflow.GetInfo(ctx).WorkflowExecution.RunID}
}

// next returns the number of the run's next item, and its id: the same in each attempt to record it, and another after a reset,
// which makes a new run.
func (r *run) next() (number int, id string) {
	r.numbers++
	return r.numbers, fmt.Sprintf("prog_%s_%d", r.id, r.numbers)
}

// record returns the lane of the run, and begins it where there is none. A run has one, lest its items are in disorder.
func (r *run) record(ctx workflow.Context, f Feed, patience time.Duration) *lane {
	if r.lane != nil {
		r.lane.Feed, r.lane.patience = f, patience
		return r.lane
	}
	r.lane = &lane{Feed: f, patience: patience}
	workflow.GoNamed(ctx, "progress-feed", r.lane.work)
	return r.lane
}

// isLast reports whether no further run follows by itself when this one ends with an error, or without.
func isLast(info *workflow.Info, err error) bool {
	failed := err != nil && !temporal.IsCanceledError(err)
	return !workflow.IsContinueAsNewError(err) && info.CronSchedule == "" && (info.RetryPolicy == nil || !failed)
}

// queue is a task queue of an option, or the workflow's own: the one that ctx has for activities may be another's.
func queue(ctx workflow.Context, name string) string {
	return cmp.Or(name, workflow.GetInfo(ctx).TaskQueueName)
}
