package rpc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"connectrpc.com/connect"

	"chatfeed/feed"
)

// agUIForm is that of POST /workflows/{id}/ag-ui.
var agUIForm = form{workflows: "workflow", workflowID: "workflow id", types: "types", maxWorkflows: 1}

// agUI serves POST /workflows/{id}/ag-ui: a run of AG-UI. It sends what the client brings to the workflow and follows it, as events
// of that protocol, until the workflow says that the round is over. See docs/ag-ui.md.
func (s *feedService) agUI(w http.ResponseWriter, r *http.Request) {
	input, err := readRun(r)
	if err != nil {
		s.refuseRun(w, r, err)
		return
	}
	q := request{
		from:  []start{{workflowID: r.PathValue("id")}},
		types: []string{"message", "log", "stat", "progress", "delta", "tool"},
	}
	if err := q.check(agUIForm); err != nil {
		s.refuseRun(w, r, err)
		return
	}
	run := &agRun{
		service: s, ctx: r.Context(), workflowID: q.from[0].workflowID, input: input, view: newAGView(input.Messages),
		out: eventWriter{ResponseWriter: w}, waiting: make(map[string]bool),
	}
	err = s.pump(r.Context(), q, agUIForm, func(func() []start) (func(feed.Batch) error, error) { return run.send, nil })
	switch {
	case errors.Is(err, errRunOver) || err == nil:
	case !run.out.begun:
		s.refuseRun(w, r, err)
	default:
		failure := public(r.Context(), s.Log, err)
		if errors.Is(err, feed.ErrDraining) {
			failure = connect.NewError(connect.CodeUnavailable, errors.New("the server is stopping; run again to go on where this run ends"))
		}
		run.failed(failure.Code().String(), errors.Unwrap(failure).Error())
		_ = run.out.write(run.view.events)
	}
}

// refuseRun answers a run that has not begun with an error.
func (s *feedService) refuseRun(w http.ResponseWriter, r *http.Request, err error) {
	var late *connect.Error // of a body that did not end
	if !errors.As(err, &late) {
		late = public(r.Context(), s.Log, err)
	}
	writeError(w, late)
}

// errRunOver ends the stream of a run that has said its end.
var errRunOver = errors.New("the run is over")

// agRun is one run. Before the history has been read it only collects; then it sends what the client brings, and tells it
// everything.
type agRun struct {
	service    *feedService
	ctx        context.Context
	workflowID string
	input      *runInput
	view       *agView
	out        eventWriter

	live    bool            // the history has been read
	waiting map[string]bool // the ids of messages that were sent and are not in the feed yet
	round   agRound
	failure string // the latest error that the workflow has logged
}

// send takes a batch and writes what it means for the client.
func (r *agRun) send(batch feed.Batch) error {
	err := r.take(batch)
	if err != nil && !errors.Is(err, errRunOver) {
		return err
	}
	if r.view.err != nil {
		return fmt.Errorf("encode an event of AG-UI: %w", r.view.err)
	}
	events := r.view.events
	if len(events) == 0 && len(batch.Items) == 0 {
		events = []byte(": heartbeat\n\n")
	}
	if len(events) > 0 {
		if err := r.out.write(events); err != nil {
			return err
		}
	}
	r.view.events = r.view.events[:0]
	return err
}

func (r *agRun) take(batch feed.Batch) error {
	for _, gone := range batch.Gone {
		r.view.remove(gone)
		if gone.Type == "progress" && r.live {
			r.showProgress()
		}
	}
	for range batch.Anew {
		r.view.restart()
		r.round = agRound{after: r.round.after}
		if r.live {
			r.showProgress()
		}
	}
	for _, item := range batch.Items {
		if err := r.item(item); err != nil {
			return err
		}
	}
	if batch.UpToDate && !r.live {
		if err := r.begin(); err != nil {
			return err
		}
	}
	r.refresh()
	if r.live && len(batch.Anew) > 0 {
		return r.end()
	}
	if r.live && batch.Final { // and the round is not over by its own rule
		return r.close()
	}
	return nil
}

// refresh sends a snapshot if the client has something that events cannot change.
func (r *agRun) refresh() {
	if r.live && r.view.stale {
		r.view.snapshot()
	}
}

// item takes an item of the history, or one that has just come.
func (r *agRun) item(item *feed.Item) error {
	id := r.view.add(item)
	m := r.view.chat.Message(item.ID)
	if item.Type == "message" && m != nil {
		r.round.message(item, m)
		if r.waiting[item.ID] {
			delete(r.waiting, item.ID)
			r.view.recorded(item.ID)
		}
	}
	if item.Type == "progress" {
		r.round.progress(item)
	}
	if !r.live {
		return nil
	}
	switch item.Type {
	case "delta":
		r.view.grow(id, false)
	case "message", "tool":
		r.view.grow(id, true)
		r.view.stale = r.view.stale || !r.view.inOrder()
	case "progress":
		r.showProgress()
	}
	r.custom(item)
	r.refresh()
	return r.end()
}

// custom sends what AG-UI has no event for.
func (r *agRun) custom(item *feed.Item) {
	if !json.Valid(item.Body) {
		return
	}
	name := item.Type
	switch item.Type {
	case "log":
		var log struct{ Level, Message string }
		if json.Unmarshal(item.Body, &log) == nil && log.Level == "error" {
			r.failure = log.Message
		}
	case "stat":
	case "tool":
		var tool struct{ State string }
		_ = json.Unmarshal(item.Body, &tool)
		if name = tool.State; name != "approval-requested" && name != "approval-responded" {
			return
		}
	default:
		return
	}
	r.view.write(agEvent{Type: "CUSTOM", Name: name, Value: item.Body})
}

// failed writes how the run has failed.
func (r *agRun) failed(code, message string) {
	r.view.write(agEvent{Type: "RUN_ERROR", Code: code, Message: &message})
}
