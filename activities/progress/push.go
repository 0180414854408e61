package progress

import (
	"maps"
	"time"

	"go.temporal.io/sdk/workflow"

	"chatfeed/activities/webhook"
)

const (
	// maxEvents is how many changes go into one delivery.
	maxEvents = 100
	// endPatience is how long the end of a workflow waits for an endpoint.
	endPatience = time.Minute
)

// Push calls a webhook with the changes, in order, by [webhook.Send]: its worker signs and retries them, and a delivery that fails
// for good is a dead letter. One delivery is under way at a time; what changes meanwhile waits for the next. So a slow endpoint
// delays neither the workflow nor other endpoints.
//
// By default a change is delivered at once, together with those that have waited. The changes are items of the feed before they are
// delivered, with or without a [Feed].
//
// The end of the workflow waits for an endpoint for a minute; what it has not accepted by then is a dead letter.
type Push struct {
	URL string // of the endpoint; one that is not valid is a dead letter's, or an error in the log
	// TaskQueue is that of a worker which has the activities of package chatfeed/activities/webhook. Empty means the workflow's own.
	TaskQueue string
	// Every delivers at most once in this time, and only the latest change.
	Every time.Duration
	// Batch delivers when so many changes wait, at most 100, or at the end; together with Every, also when the first of them has
	// waited for that time.
	Batch int
	// AtEnd delivers only the last change of the workflow.
	AtEnd bool
}

func (p Push) attach(ctx workflow.Context, t *Tracker) {
	p.Batch = min(p.Batch, maxEvents)
	ctx, cancel := workflow.WithCancel(workflow.WithActivityOptions(ctx, workflow.ActivityOptions{TaskQueue: queue(ctx, p.TaskQueue)}))
	f := &push{Push: p, tracker: t}
	workflow.GoNamed(ctx, "progress-push", f.work)
	workflow.GoNamed(ctx, "progress-push-end", func(ctx workflow.Context) {
		_ = workflow.Await(ctx, func() bool { return t.phase != tracking && !f.idle(ctx) }) // the context is this function's to cancel
		if done, _ := workflow.AwaitWithTimeout(ctx, endPatience, func() bool { return f.idle(ctx) }); !done {
			cancel()
		}
	})
	t.records = true
	t.followers = append(t.followers, f)
}

type push struct {
	Push
	tracker *Tracker
	waiting []change
	busy    bool
	gone    bool // the endpoint wants nothing more
}

func (p *push) changed(c change) {
	switch {
	case p.gone, p.AtEnd && !c.Done:
		return
	case p.Every > 0 && p.Batch == 0:
		p.waiting = p.waiting[:0]
	}
	p.waiting = append(p.waiting, c)
}

func (p *push) idle(workflow.Context) bool { return len(p.waiting) == 0 && !p.busy }

// work delivers what waits, as long as the run lives. After a cancellation of ctx, deliveries become dead letters.
func (p *push) work(ctx workflow.Context) {
	always, _ := workflow.NewDisconnectedContext(ctx)
	hurry := func() bool { return p.tracker.phase != tracking }
	for workflow.Await(always, func() bool { return len(p.waiting) > 0 }) == nil {
		if p.Batch > 1 {
			p.await(always, p.Every, func() bool { return len(p.waiting) >= p.Batch || hurry() })
		}
		p.deliver(ctx, always)
		if p.Every > 0 && p.Batch == 0 {
			p.await(always, p.Every, hurry)
		}
	}
}

// await waits for a condition, for a time unless that is zero.
func (p *push) await(ctx workflow.Context, most time.Duration, condition func() bool) {
	var err error
	if most > 0 {
		_, err = workflow.AwaitWithTimeout(ctx, most, condition)
	} else {
		err = workflow.Await(ctx, condition)
	}
	must(err) // nobody cancels the context
}

func (p *push) deliver(ctx, always workflow.Context) {
	changes := p.waiting[:min(len(p.waiting), maxEvents)]
	p.waiting, p.busy = p.waiting[len(changes):], true
	defer func() { p.busy = false }()
	request := webhook.Request{URL: p.URL, Before: p.tracker.state.Pushed[p.URL]}
	for _, c := range changes {
		request.Events = append(request.Events, webhook.Event{
			ID: c.id, Progress: c.Progress, Status: c.Status, Result: c.result, Final: c.final, At: c.at,
		})
	}
	last := changes[len(changes)-1].number
	p.await(always, 0, func() bool { return p.tracker.run.lane == nil || p.tracker.run.lane.reached(last) })
	done, err := webhook.Send(ctx, request)
	switch {
	case err != nil:
		workflow.GetLogger(ctx).Error("A webhook was not called.", "events", len(changes), "error", err)
		return
	case done.Dead:
		workflow.GetLogger(ctx).Warn("A webhook's delivery has become a dead letter.", "error", done.Error)
	case done.Gone:
		p.gone, p.waiting = true, nil
	}
	pushed := maps.Clone(p.tracker.state.Pushed)
	if pushed == nil {
		pushed = map[string]webhook.Cursor{}
	}
	pushed[p.URL] = done.After
	p.tracker.state.Pushed = pushed
}
