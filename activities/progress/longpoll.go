package progress

import (
	"fmt"
	"time"

	"go.temporal.io/sdk/workflow"
)

// WaitUpdate is the Update of a [LongPoll]: it takes the version that the watcher has, zero at first, and answers with a [Snapshot].
const WaitUpdate = "wait_for_progress_change"

const (
	longestWait = 30 * time.Second
	// maxWaiters leaves some of the ten updates that Temporal has in flight for a run to others.
	maxWaiters = 8
)

// LongPoll answers the Update [WaitUpdate]: at once when the version is not the one that the watcher has, else when it changes, and
// unchanged after 30 seconds. At most 8 watchers may wait; the Update of a further one is refused, with a text that says so. Temporal
// accepts 2,000 updates in a run, so a workflow that is watched for long has to continue as new:
// [workflow.Info.GetContinueAsNewSuggested] says when.
//
// At the end and when the workflow continues as new, all updates are answered at once; the tracker waits until the handlers of
// all the workflow's updates have finished, so they must not wait for the workflow's end themselves.
type LongPoll struct{}

func (LongPoll) attach(ctx workflow.Context, t *Tracker) {
	l := &longPoll{tracker: t}
	must(workflow.SetUpdateHandlerWithOptions(ctx, WaitUpdate, l.wait, workflow.UpdateHandlerOptions{
		Validator:   l.validate,
		Description: "Answers with the progress when its version is not the given one, after 30 seconds at the latest.",
	}))
	t.followers = append(t.followers, l)
}

type longPoll struct {
	tracker *Tracker
	waiting int
}

func (l *longPoll) moved(lastKnown int64) bool {
	return l.tracker.phase != tracking || l.tracker.state.Snapshot.Version != lastKnown
}

func (l *longPoll) validate(lastKnown int64) error {
	switch {
	case lastKnown < 0:
		return fmt.Errorf("lastKnown: is %d; the version of the last answer is accepted, or 0", lastKnown)
	case !l.moved(lastKnown) && l.waiting >= maxWaiters:
		return fmt.Errorf("%d watchers wait for this workflow already, which is the most; ask again later, or follow the feed", maxWaiters)
	}
	return nil
}

func (l *longPoll) wait(ctx workflow.Context, lastKnown int64) (Snapshot, error) {
	if !l.moved(lastKnown) {
		ctx, cancel := workflow.NewDisconnectedContext(ctx) // a cancelled workflow may still have something to say
		defer cancel()
		l.waiting++
		_, err := workflow.AwaitWithTimeout(ctx, longestWait, func() bool { return l.moved(lastKnown) })
		l.waiting--
		if err != nil {
			return Snapshot{}, err
		}
	}
	return l.tracker.state.Snapshot, nil
}

func (l *longPoll) changed(change) {} // those who wait look at the tracker

func (l *longPoll) idle(ctx workflow.Context) bool { return workflow.AllHandlersFinished(ctx) }

// must panics for an error that only a mistake in this package can cause.
func must(err error) {
	if err != nil {
		panic(err)
	}
}
