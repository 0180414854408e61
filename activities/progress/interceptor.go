package progress

import (
	"slices"
	"time"

	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/workflow"
)

// changeID marks the runs that began with the interceptor.
const changeID = "chatfeed-progress-interceptor"

// interceptorPatience is how long the end of a workflow waits for the database.
const interceptorPatience = 10 * time.Minute

// NewInterceptor returns an interceptor that records in the feed, for each workflow of the workers that have it, when a run
// begins ("running"), completes, fails (with the failure's message as the result), is cancelled, and continues as new. Put it
// into worker.Options.Interceptors.
//
// A workflow that tracks itself with a [Feed] records its own changes: its end is recorded once, also where it does not call
// [Tracker.End], and a later run after it has continued as new begins without an item. What a workflow cannot see is not recorded: a
// termination, a timeout, a reset.
//
// The result of a workflow is not changed. Recording runs beside it; at the end it is waited for, for ten minutes at most while
// the database is away, and given up then, with an error in the worker's log.
//
// Runs that were under way when the interceptor was put in go on without it. The other way round, runs that began with it
// need it until they have ended.
func NewInterceptor(feed Feed) interceptor.WorkerInterceptor { return &workers{feed: feed} }

type workers struct {
	interceptor.WorkerInterceptorBase
	feed Feed
}

// InterceptWorkflow implements [interceptor.WorkerInterceptor].
func (w *workers) InterceptWorkflow(_ workflow.Context, next interceptor.WorkflowInboundInterceptor) interceptor.WorkflowInboundInterceptor {
	return &inbound{interceptor.WorkflowInboundInterceptorBase{Next: next}, w.feed}
}

type inbound struct {
	interceptor.WorkflowInboundInterceptorBase
	feed Feed
}

// ExecuteWorkflow implements [interceptor.WorkflowInboundInterceptor].
func (w *inbound) ExecuteWorkflow(ctx workflow.Context, in *interceptor.ExecuteWorkflowInput) (any, error) {
	if workflow.GetVersion(ctx, changeID, workflow.DefaultVersion, 1) == workflow.DefaultVersion {
		return w.Next.ExecuteWorkflow(ctx, in)
	}
	r := newRun(ctx)
	w.begin(ctx, r)
	result, err := w.Next.ExecuteWorkflow(workflow.WithValue(ctx, runKey{}, r), in) // a panic of it is left to the SDK
	w.end(ctx, r, err)
	return result, err
}

// begin records that the run has begun.
func (w *inbound) begin(ctx workflow.Context, r *run) {
	info := workflow.GetInfo(ctx)
	continued := info.ContinuedExecutionRunID != "" && info.Attempt <= 1 && info.CronSchedule == ""
	l := &lane{Feed: w.feed, patience: interceptorPatience}
	r.lane = l
	number, id := r.next()
	background, _ := workflow.NewDisconnectedContext(ctx)
	workflow.GoNamed(background, "progress-feed", func(ctx workflow.Context) {
		// The workflow has run until it waits, so it is known whether it tracks itself.
		if !continued || !r.tracksItself() {
			l.waiting = slices.Insert(l.waiting, 0, change{Snapshot: Snapshot{Status: Running}, number: number, id: id})
		}
		l.work(ctx)
	})
}

func (r *run) tracksItself() bool { return r.tracker != nil && r.tracker.records }

// end records how the run has ended, and waits for that.
func (w *inbound) end(ctx workflow.Context, r *run, err error) {
	var last Snapshot
	if r.tracker != nil {
		_ = r.tracker.End(ctx, err) // it is err
		last = r.tracker.Snapshot()
	}
	if r.tracksItself() {
		return
	}
	end, result := outcome(err, last)
	number, id := r.next()
	r.lane.changed(change{Snapshot: end, number: number, id: id, result: result, final: w.feed.Final && isLast(workflow.GetInfo(ctx), err)})
	ctx, cancel := workflow.NewDisconnectedContext(ctx)
	defer cancel()
	must(workflow.Await(ctx, func() bool { return r.lane.idle(ctx) })) // nobody cancels the context
}
