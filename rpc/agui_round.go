package rpc

import (
	"encoding/json"
	"fmt"
	"slices"

	"chatfeed/feed"
	"chatfeed/feed/fold"
)

// agRound is where a workflow stands between a message of the user and the end of its answer.
type agRound struct {
	after    feed.Cursor // only what comes later can end the round
	asked    feed.Cursor // when the user has last written
	answered feed.Cursor // when the latest message of another has come
	said     feed.Cursor // when the latest progress has come
	newest   feed.Cursor
}

func (r *agRound) message(item *feed.Item, m *fold.Message) {
	r.newest = item.CreatedAt
	switch {
	case m.ID != item.ID: // an edit
	case agRole(m) == "user":
		r.asked = max(r.asked, item.CreatedAt)
	default:
		r.answered = max(r.answered, item.CreatedAt)
	}
}

func (r *agRound) progress(item *feed.Item) {
	r.newest = item.CreatedAt
	r.said = max(r.said, item.CreatedAt)
}

// over reports whether the round is over: a progress that says so has come after what the user has written. A workflow that has
// never recorded progress is done when it has answered, or when nobody has asked.
func (r *agRound) over(p *fold.Progress) bool {
	if p == nil {
		return r.answered > max(r.asked, r.after) || r.asked == 0 && r.after == 0
	}
	return r.said > max(r.asked, r.after) && ends(p)
}

// failures are the statuses of progress that are errors, and what to say of them where nothing else does.
var failures = map[string]string{
	"failed": "the workflow has failed", "terminated": "the workflow was terminated", "timed_out": "the workflow has timed out",
}

// ends reports whether a progress says that the workflow does nothing until somebody writes to it.
func ends(p *fold.Progress) bool {
	return p.Final || p.Progress >= 100 || failures[p.Status] != "" || slices.Contains([]string{"stopped", "cancelled", "waiting"}, p.Status)
}

// begin sends what the client brings to the workflow, and begins the run.
func (r *agRun) begin() error {
	if err := r.answerInterrupts(); err != nil {
		return err
	}
	if err := r.ask(); err != nil {
		return err
	}
	r.live = true
	r.input.Messages = nil // they may be large
	started := agEvent{Type: "RUN_STARTED", ThreadID: r.input.ThreadID, RunID: r.input.RunID}
	r.view.write(started, r.state())
	r.view.snapshot()
	return r.end()
}

// ask sends the new messages of the input to the workflow: those at its end that the feed does not have.
func (r *agRun) ask() error {
	messages, err := r.input.asked()
	if err != nil {
		return err
	}
	messages = slices.DeleteFunc(messages, func(m ChatMessage) bool { return r.view.chat.Message(m.ID) != nil })
	if len(messages) == 0 {
		return nil
	}
	if err := r.mayWrite("messages", "a new message"); err != nil {
		return err
	}
	for _, m := range messages {
		if _, err := r.service.Chat.Send(r.ctx, r.workflowID, m); err != nil {
			return fmt.Errorf("%w: %w", errEngine, err)
		}
		r.waiting[m.ID] = true
		r.view.asking = append(r.view.asking, agMessage{ID: m.ID, Role: "user", Content: &m.Text})
	}
	return nil
}

// answerInterrupts tells the workflow which calls it may make. Answers that it has recorded are not sent again.
func (r *agRun) answerInterrupts() error {
	for i, entry := range r.input.Resume {
		tools := r.view.chat.Tools()
		at := slices.IndexFunc(tools, func(t *fold.Tool) bool { return t.CallID == entry.InterruptID })
		field := fmt.Sprintf("resume[%d].interruptId", i)
		switch {
		case at < 0:
			return invalid(field, "%.100q is no call of this workflow; the id of an interrupt is accepted", entry.InterruptID)
		case tools[at].State != "approval-requested":
			continue
		}
		if err := r.mayWrite("resume", "an answer"); err != nil {
			return err
		}
		approval := Approval{CallID: entry.InterruptID}
		if entry.Status == "resolved" {
			approval.Approved, approval.Reason = *entry.Payload.Approved, entry.Payload.Reason
		}
		if err := r.service.Chat.Approve(r.ctx, r.workflowID, approval); err != nil {
			return fmt.Errorf("%w: %w", errEngine, err)
		}
		r.round.after = r.round.newest // the progress that says "waiting" is not the end of this run
	}
	return nil
}

// mayWrite says why the run's viewer cannot write to the workflow.
func (r *agRun) mayWrite(field, what string) error {
	viewer := r.service.viewer(r.ctx)
	p := r.view.chat.Progress()
	switch {
	case r.service.Chat == nil:
		return invalid(field, "has %s, and this server has no workflow engine; a run that only follows is accepted", what)
	case !viewer.CanRead(r.workflowID) || !viewer.CanWrite(r.workflowID): // whether the workflow exists or not
		return errForbidden
	case p != nil && p.Final:
		return ErrWorkflowClosed
	}
	return nil
}

// end ends the run if the round is over.
func (r *agRun) end() error {
	p := r.view.chat.Progress()
	if len(r.waiting) > 0 || !r.round.over(p) {
		return nil
	}
	return r.finish(p)
}

// close ends the run of a workflow in which nothing can come any more.
func (r *agRun) close() error {
	if len(r.waiting) > 0 {
		return ErrWorkflowClosed
	}
	return r.finish(r.view.chat.Progress())
}

func (r *agRun) finish(p *fold.Progress) error {
	r.view.closeAll()
	finished := agEvent{Type: "RUN_FINISHED", ThreadID: r.input.ThreadID, RunID: r.input.RunID}
	if p != nil {
		finished.Result = p.Result
		switch p.Status {
		case "failed", "terminated", "timed_out":
			message := failures[p.Status]
			for _, text := range []string{r.failure, p.Result} {
				if text != "" {
					message = text
				}
			}
			r.failed("failed", message)
			return errRunOver
		case "stopped", "cancelled":
			if r.input.ProtocolVersion != "" { // older clients know no such outcome
				finished.Outcome = &agOutcome{Type: "cancelled"}
			}
		case "waiting":
			if asked := r.interrupts(); len(asked) > 0 {
				r.view.write(r.state()) // the protocol requires both before an interrupt
				r.view.snapshot()
				finished.Outcome = &agOutcome{Type: "interrupt", Interrupts: asked}
			}
		}
	}
	r.view.write(finished)
	return errRunOver
}

// interrupts are the calls that wait for somebody's approval.
func (r *agRun) interrupts() (asked []agInterrupt) {
	for _, t := range r.view.chat.Tools() {
		if t.State == "approval-requested" {
			asked = append(asked, agInterrupt{
				ID: t.CallID, Reason: "tool_call", Message: "May " + t.Name + " be called?", ToolCallID: t.CallID, ResponseSchema: approvalSchema,
			})
		}
	}
	return asked
}

// state is the client's own state with the workflow's progress as its key "progress".
func (r *agRun) state() agEvent {
	state := make(map[string]json.RawMessage)
	_ = json.Unmarshal(r.input.State, &state) // anything but an object is replaced
	if state == nil {
		state = make(map[string]json.RawMessage) // it was null
	}
	state["progress"], _ = json.Marshal(r.view.chat.Progress()) // it has numbers and texts only
	return agEvent{Type: "STATE_SNAPSHOT", Snapshot: state}
}

// showProgress changes the client's state.
func (r *agRun) showProgress() {
	r.view.write(agEvent{Type: "STATE_DELTA", Delta: []map[string]any{
		{"op": "add", "path": "/progress", "value": r.view.chat.Progress()},
	}})
}
