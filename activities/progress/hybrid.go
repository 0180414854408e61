package progress

import (
	"slices"
	"strings"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// The signals and the query of a [Hybrid].
const (
	// SubscribeSignal carries a [Subscriber]. One of the same id is replaced.
	SubscribeSignal = "subscribe_to_updates"
	// UnsubscribeSignal carries a [Subscriber], of which only the id counts.
	UnsubscribeSignal = "unsubscribe_from_updates"
	// ChangedQuery takes the version that the watcher has, and answers with the [Snapshot], or null if it is still the same.
	ChangedQuery = "get_progress_if_changed"
)

const (
	maxSubscribers  = 100
	maxSubscriberID = 200  // bytes
	maxAddress      = 1000 // bytes
	notifyPatience  = time.Minute
)

// Hybrid tells subscribers of changes by an activity, and lets watchers ask with the query [ChangedQuery], also after the
// workflow's end. A watcher subscribes with the signal [SubscribeSignal], asks once, and asks again when it is told.
//
// There are at most 100 subscribers; a signal with a further one, or one that is not valid, is ignored, with a warning in the log. A
// signal to unsubscribe wins over one to subscribe the same id that comes in the same workflow task. Subscribers are carried
// over when the workflow continues as new with [Tracker.Suspend].
type Hybrid struct {
	// Notify is the name of an activity that tells subscribers of a change: it takes a [Notification] and returns nothing but an
	// error. It is retried for a minute, and its changes are given up then. While it runs, further changes wait, and the latest
	// of them is told. Empty means that nobody is told.
	Notify string
	// TaskQueue is where a worker has the activity. Empty means the workflow's own.
	TaskQueue string
}

// Subscriber is who wants to be told of changes.
type Subscriber struct {
	ID      string `json:"id"`                // of the watcher's choice, 1 to 200 bytes
	Address string `json:"address,omitempty"` // where to tell it, for the activity; at most 1,000 bytes
}

// Notification is the input of the activity that tells subscribers.
type Notification struct {
	WorkflowID  string       `json:"workflowId"`
	Subscribers []Subscriber `json:"subscribers"`
	Snapshot    Snapshot     `json:"snapshot"` // an attempt may come again; a subscriber knows it by the version
}

func (h Hybrid) attach(ctx workflow.Context, t *Tracker) {
	f := &hybrid{
		Hybrid: h, tracker: t, told: t.state.Snapshot.Version,
		coming: workflow.GetSignalChannel(ctx, SubscribeSignal), leaving: workflow.GetSignalChannel(ctx, UnsubscribeSignal),
	}
	must(workflow.SetQueryHandlerWithOptions(ctx, ChangedQuery, f.changedSince, workflow.QueryHandlerOptions{
		Description: "Answers with the progress if its version is not the given one, else with null.",
	}))
	workflow.GoNamed(ctx, "progress-subscriptions", func(ctx workflow.Context) {
		for workflow.Await(ctx, func() bool { return f.coming.Len()+f.leaving.Len() > 0 }) == nil {
			f.receive()
		}
	})
	workflow.GoNamed(ctx, "progress-notify", f.notify)
	t.followers = append(t.followers, f)
}

type hybrid struct {
	Hybrid
	tracker         *Tracker
	coming, leaving workflow.ReceiveChannel
	told            int64 // the version that the subscribers have been told of, or that was given up
}

func (h *hybrid) changedSince(lastVersion int64) (*Snapshot, error) {
	if now := h.tracker.state.Snapshot; now.Version != lastVersion {
		return &now, nil
	}
	return nil, nil //nolint:nilnil // null is the answer
}

// receive takes the signals that have come.
func (h *hybrid) receive() {
	state, log := &h.tracker.state, workflow.GetLogger(h.tracker.ctx)
	var s Subscriber
	for ; h.coming.ReceiveAsync(&s); s = (Subscriber{}) {
		known := slices.IndexFunc(state.Subscribers, s.is)
		switch {
		case !s.valid():
			log.Warn("A subscriber is not valid, and is ignored: its id has 1 to 200 bytes of UTF-8, its address at most 1,000.")
		case known >= 0:
			state.Subscribers[known] = s
		case len(state.Subscribers) >= maxSubscribers:
			log.Warn("There are 100 subscribers already; a further one is ignored.", "id", s.ID)
		default:
			state.Subscribers = append(state.Subscribers, s)
		}
	}
	for ; h.leaving.ReceiveAsync(&s); s = (Subscriber{}) {
		state.Subscribers = slices.DeleteFunc(state.Subscribers, s.is)
	}
}

func (s Subscriber) is(other Subscriber) bool { return other.ID == s.ID }

func (s Subscriber) valid() bool {
	return s.ID != "" && len(s.ID) <= maxSubscriberID && len(s.Address) <= maxAddress &&
		strings.ToValidUTF8(s.ID+s.Address, "") == s.ID+s.Address
}

func (h *hybrid) changed(c change) {
	if len(h.tracker.state.Subscribers) == 0 {
		h.told = c.Version
	}
}

func (h *hybrid) idle(workflow.Context) bool {
	return h.told >= h.tracker.state.Snapshot.Version || len(h.tracker.state.Subscribers) == 0 || h.Notify == ""
}

func (h *hybrid) notify(ctx workflow.Context) {
	for workflow.Await(ctx, func() bool { return !h.idle(ctx) }) == nil {
		n := Notification{
			WorkflowID: workflow.GetInfo(ctx).WorkflowExecution.ID, Snapshot: h.tracker.state.Snapshot,
			Subscribers: slices.Clone(h.tracker.state.Subscribers),
		}
		notifying := workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
			TaskQueue: queue(ctx, h.TaskQueue), StartToCloseTimeout: 10 * time.Second, ScheduleToCloseTimeout: notifyPatience,
			RetryPolicy: &temporal.RetryPolicy{InitialInterval: time.Second, BackoffCoefficient: 2, MaximumInterval: 10 * time.Second},
		})
		if err := workflow.ExecuteActivity(notifying, h.Notify, n).Get(ctx, nil); err != nil {
			workflow.GetLogger(ctx).Error("Subscribers were not told of a change.", "version", n.Snapshot.Version, "error", err)
		}
		h.told = n.Snapshot.Version
	}
}
