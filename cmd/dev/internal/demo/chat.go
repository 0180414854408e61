package demo

import (
	"errors"
	"fmt"
	"slices"

	"go.temporal.io/sdk/workflow"

	"chatfeed/db"
)

const (
	maxRounds  = 50        // of one run, about 50 events each
	maxSeen    = 500       // ids that are remembered
	maxCarried = 512 << 10 // bytes of messages that one run passes to the next, well within Temporal's limit
	// maxWaitingHistory is how many bytes of history a run may have that waits for approval: the server takes no further messages
	// at twice as many, and so none that could end the waiting.
	maxWaitingHistory = 5 << 20
)

// State is passed from one run of [Chat] to the next.
type State struct {
	Seen    []string      `json:"seen,omitempty"`    // ids of messages, oldest first; at most 500
	Waiting []UserMessage `json:"waiting,omitempty"` // received and not handled yet, in order
	Percent float64       `json:"percent,omitempty"` // the latest progress that was recorded
}

// Chat handles its messages one after another, in the order of arrival. A message that cannot be handled is recorded as
// failed, and the next one is handled; so is the next when the answer to one is stopped. The chat ends when it is cancelled: it
// records that and ends as canceled, without handling the waiting messages. Before its history grows too long it continues as
// new and loses nothing.
func Chat(ctx workflow.Context, state State) error {
	c := &chat{
		State:     state,
		signals:   workflow.GetSignalChannel(ctx, SignalName),
		stops:     workflow.GetSignalChannel(ctx, StopSignal),
		approvals: workflow.GetSignalChannel(ctx, ApprovalSignal),
	}
	for ctx.Err() == nil {
		c.receive()
		switch {
		case c.isLong(ctx):
			return workflow.NewContinueAsNewError(ctx, WorkflowName, c.State)
		case len(c.Waiting) == 0:
			c.ignore()
			// It fails only when ctx ends. A stop or an approval that comes now is ignored.
			_ = workflow.Await(ctx, func() bool { return c.signals.Len()+c.stops.Len()+c.approvals.Len() > 0 })
		default:
			next := c.Waiting[0]
			c.Waiting = c.Waiting[1:]
			c.handle(ctx, next)
		}
	}
	c.recordCancelled(ctx)
	return ctx.Err()
}

// chat is a run of [Chat].
type chat struct {
	State
	signals, stops, approvals workflow.ReceiveChannel
	rounds                    int
}

// receive takes the messages that have arrived, without waiting, and skips repeated ones.
func (c *chat) receive() {
	for {
		var m UserMessage
		if !c.signals.ReceiveAsync(&m) {
			return
		}
		if slices.Contains(c.Seen, m.ID) {
			continue
		}
		if m.ID != "" && len(m.ID) <= maxID { // a longer one is refused each time
			c.Seen = append(c.Seen, m.ID)
			c.Seen = c.Seen[max(0, len(c.Seen)-maxSeen):]
		}
		c.Waiting = append(c.Waiting, m)
	}
}

// ignore takes the stops and approvals that have arrived.
func (c *chat) ignore() {
	for c.stops.ReceiveAsync(nil) || c.approvals.ReceiveAsync(nil) {
		continue
	}
}

// isLong reports whether the run should continue as new now. While the waiting messages are too large to be passed on, this
// run continues to handle them.
func (c *chat) isLong(ctx workflow.Context) bool {
	if c.rounds == 0 || c.rounds < maxRounds && !workflow.GetInfo(ctx).GetContinueAsNewSuggested() {
		return false
	}
	size := 0
	for _, m := range c.Waiting {
		size += len(m.ID) + len(m.Text)
	}
	return size <= maxCarried
}

// handle does one round: it records a message and answers it.
func (c *chat) handle(ctx workflow.Context, m UserMessage) {
	c.rounds++
	c.Percent = 0
	err := c.round(ctx, m)
	switch {
	case err == nil || ctx.Err() != nil:
	case errors.Is(err, errStopped):
		c.logStatus(ctx, "warn", "The answer was stopped.", "stopped")
	default:
		workflow.GetLogger(ctx).Error("A message could not be handled.", "id", m.ID, "error", err)
		c.logStatus(ctx, "error", "The message could not be handled: "+explain(err), "failed")
	}
}

func (c *chat) round(ctx workflow.Context, m UserMessage) error {
	if err := m.check(); err != nil {
		return err
	}
	m.Text = storable(m.Text)
	r := recorder{ctx}
	if err := r.message("user", m.Text, "received", m.ID); err != nil {
		return err
	}
	if err := c.progress(r, 0, "reading", ""); err != nil {
		return err
	}
	if err := r.log("info", fmt.Sprintf("Reading a message of %s.", count(len(m.Text), "byte", "bytes"))); err != nil {
		return err
	}
	if err := c.progress(r, 20, "answering", ""); err != nil {
		return err
	}
	answered, err := c.answer(ctx, Question{Text: m.Text})
	if err != nil {
		return err
	}
	return c.progress(r, 100, "done", answered.Result)
}

// errStopped is the error of a round that a user has stopped.
var errStopped = errors.New("stopped")

// answer answers a question, after an approval where one is needed. It returns errStopped when a stop comes before it is done.
func (c *chat) answer(ctx workflow.Context, q Question) (Answered, error) {
	stoppable, cancel := workflow.WithCancel(ctx)
	defer cancel()
	stopped := false
	workflow.Go(stoppable, func(stoppable workflow.Context) {
		if workflow.Await(stoppable, func() bool { return c.stops.Len() > 0 }) == nil {
			c.stops.Receive(stoppable, nil)
			stopped = true
			cancel()
		}
	})
	answered, err := answer(stoppable, q)
	if err == nil && answered.Waiting != nil {
		answered, err = c.approved(ctx, stoppable, q, *answered.Waiting)
	}
	c.ignore()
	if err != nil && stopped {
		err = errStopped
	}
	return answered, err
}

// approved waits for the approval of a call, and answers with it or without.
func (c *chat) approved(ctx, stoppable workflow.Context, q Question, call db.Tool) (Answered, error) {
	err := c.progress(recorder{ctx}, 20, "waiting", "")
	if err == nil {
		q.Call = &call
		q.Approval, err = c.approval(stoppable, call.CallID)
	}
	if err == nil {
		err = c.progress(recorder{ctx}, 20, "answering", "")
	}
	if err != nil {
		away, cancel := workflow.NewDisconnectedContext(ctx)
		defer cancel()
		if err := drop(away, call); err != nil {
			workflow.GetLogger(ctx).Error("The end of a call could not be recorded.", "call", call.CallID, "error", err)
		}
		return Answered{}, err
	}
	return answer(stoppable, q)
}

// approval waits for the answer about a call. A further message stands for a refusal, since whoever writes it does not wait for
// the call any more.
func (c *chat) approval(ctx workflow.Context, callID string) (Approval, error) {
	for {
		if workflow.GetInfo(ctx).GetCurrentHistorySize() > maxWaitingHistory {
			return Approval{Reason: "there is too much to handle"}, nil
		}
		err := workflow.Await(ctx, func() bool { return c.approvals.Len()+c.signals.Len()+len(c.Waiting) > 0 })
		if err != nil {
			return Approval{}, err
		}
		var a Approval
		received := c.approvals.ReceiveAsync(&a)
		switch {
		case received && a.CallID == callID:
			return a, nil
		case !received:
			return Approval{Reason: "another message came"}, nil
		}
	}
}

// progress records the progress of the round and remembers it for a later interruption.
func (c *chat) progress(r recorder, percent float64, status, result string) error {
	c.Percent = percent
	return r.progress(percent, status, result)
}

// logStatus records a log and, even if that fails, the new status of the chat.
func (c *chat) logStatus(ctx workflow.Context, level, text, status string) {
	r := recorder{ctx}
	for _, err := range []error{r.log(level, text), r.progress(c.Percent, status, "")} {
		if err != nil && ctx.Err() == nil {
			workflow.GetLogger(ctx).Error("The end of a round could not be recorded.", "status", status, "error", err)
		}
	}
}

func (c *chat) recordCancelled(ctx workflow.Context) {
	c.receive()
	text := "The chat was cancelled."
	if n := len(c.Waiting); n > 0 {
		text = fmt.Sprintf("The chat was cancelled; %s not been handled.", count(n, "message has", "messages have"))
	}
	ctx, cancel := workflow.NewDisconnectedContext(ctx)
	defer cancel()
	c.logStatus(ctx, "warn", text, "cancelled")
}
