package progress

import (
	"time"

	"go.temporal.io/sdk/workflow"

	"chatfeed/activities/webhook"
)

// Snapshot is the progress of a workflow at one time.
type Snapshot struct {
	Version  int64   `json:"version"`  // the number of changes so far, in all runs that were continued as new
	Progress float64 `json:"progress"` // per cent, 0 to 100
	Status   string  `json:"status"`
	Done     bool    `json:"done,omitempty"` // the workflow ends with this
}

// State is what a run hands to the next one when it continues as new: see [Tracker.Suspend].
type State struct {
	Snapshot    Snapshot                  `json:"snapshot"`
	Subscribers []Subscriber              `json:"subscribers,omitempty"`
	Pushed      map[string]webhook.Cursor `json:"pushed,omitempty"` // by the endpoint's URL
}

// Option says how watchers learn of the progress: a [Feed], [LongPoll], [Hybrid] or [Push], or the state to go on with, from
// [Resume].
type Option interface {
	attach(ctx workflow.Context, t *Tracker)
}

// Resume goes on with the progress of the run before: its version, its subscribers, and the cursors of its webhooks. The zero
// state begins anew.
func Resume(state State) Option { return state }

// Tracker is the progress of one run of a workflow. Its methods may be called from any coroutine of the workflow.
type Tracker struct {
	ctx       workflow.Context // for the time only, which does not depend on the coroutine
	run       *run
	state     State
	followers []follower
	phase     phase
	records   bool // its changes become items of the feed
	final     bool // so is the last one
}

type phase int

const (
	tracking  phase = iota
	suspended       // the run continues as new
	ended
)

// change is a snapshot on its way to those who follow it.
type change struct {
	Snapshot
	id     string // of the item in the feed
	number int    // of the item in the run
	result string
	final  bool
	at     time.Time
}

// follower is one way by which watchers learn of changes.
type follower interface {
	// changed is called with each change, in order. It never blocks.
	changed(c change)
	// idle reports whether nothing is left to be done for the changes so far.
	idle(ctx workflow.Context) bool
}

// Track begins to track the progress of the workflow, which should do this before it waits for anything, and once in a run.
// Without any option but Resume, it is recorded in the feed.
//
// The tracker's activities run beside the workflow, and also after its cancellation. Its task queue is the one of the workflow, unless the
// option names another.
func Track(ctx workflow.Context, options ...Option) *Tracker {
	background, _ := workflow.NewDisconnectedContext(ctx)
	t := &Tracker{ctx: background, run: runOf(ctx)}
	for _, option := range options {
		if state, ok := option.(State); ok {
			state.attach(background, t)
		}
	}
	ways := 0
	for _, option := range options {
		if _, ok := option.(State); !ok {
			option.attach(background, t)
			ways++
		}
	}
	if ways == 0 {
		Feed{}.attach(background, t)
	}
	t.run.tracker = t
	return t
}

func (s State) attach(_ workflow.Context, t *Tracker) { t.state = s }

// Set says how far the workflow has come, in per cent, and what it does. It does not block. A percentage outside of 0 to 100 is
// taken for the nearest one within, and a status is cut after 1,000 bytes. Set does nothing if nothing has changed, and after
// the end.
func (t *Tracker) Set(percent float64, status string) {
	if t.phase != tracking {
		workflow.GetLogger(t.ctx).Warn("A progress was set after the end, and is ignored.", "progress", percent, "status", status)
		return
	}
	next := t.state.Snapshot
	next.Progress, next.Status = percentage(percent, next.Progress), label(status)
	if next != t.state.Snapshot || next.Version == 0 {
		t.change(next, "", false)
	}
}

// Snapshot is the present progress.
func (t *Tracker) Snapshot() Snapshot { return t.state.Snapshot }

func (t *Tracker) change(next Snapshot, result string, final bool) {
	next.Version++
	t.state.Snapshot = next
	c := change{Snapshot: next, result: result, final: final, at: workflow.Now(t.ctx)}
	c.number, c.id = t.run.next()
	for _, f := range t.followers {
		f.changed(c)
	}
}

// End ends the tracking with the error that the workflow is about to return, and returns that error. The last change has the
// status "completed", with 100 per cent, "failed", with the error's message as the result, or "cancelled"; there is none if the
// workflow continues as new.
//
// It returns when all watchers can know: changes are recorded, updates are answered, subscribers are told, webhooks are called or
// have become dead letters. So it may take long when the database is away; see the options. It works after the workflow's cancellation.
// A second call does nothing.
//
// It may be deferred. While the workflow panics, or is removed from its worker's memory, it does nothing: Temporal then goes
// on with the workflow later.
//
//	defer func() { err = tracker.End(ctx, err) }()
func (t *Tracker) End(ctx workflow.Context, err error) error {
	switch {
	case t.phase == ended || unwinding():
		return err
	case workflow.IsContinueAsNewError(err):
		t.drain(ctx, suspended)
		return err
	}
	next, result := outcome(err, t.state.Snapshot)
	t.phase = ended
	t.change(next, result, t.final && isLast(workflow.GetInfo(ctx), err))
	t.drain(ctx, ended)
	return err
}

// Suspend ends the tracking in this run and returns the state for the next one, which passes it to [Resume]. It returns when all
// watchers know of the changes so far, as End does; updates that wait for the next change are answered with the last one.
//
//	return workflow.NewContinueAsNewError(ctx, Workflow, tracker.Suspend(ctx))
func (t *Tracker) Suspend(ctx workflow.Context) State {
	if t.phase == tracking {
		t.drain(ctx, suspended)
	}
	for _, f := range t.followers {
		if h, ok := f.(*hybrid); ok {
			h.receive() // what has come in the meantime
		}
	}
	return t.state
}

// drain waits until nothing is left to be done.
func (t *Tracker) drain(ctx workflow.Context, p phase) {
	t.phase = p
	ctx, cancel := workflow.NewDisconnectedContext(ctx)
	defer cancel()
	err := workflow.Await(ctx, func() bool {
		for _, f := range t.followers {
			if !f.idle(ctx) {
				return false
			}
		}
		return true
	})
	if err != nil { // it cannot be: nobody cancels the context
		workflow.GetLogger(ctx).Error("The end of the progress was not waited for.", "error", err)
	}
}
