package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"chatfeed/activities/progress"
)

// service is the command that stands between watchers and Temporal where there is no feed, as a team's own server does: browsers cannot
// call Temporal, and must not.
type service struct {
	Temporal string `required:""`
}

// answerTime is how long a question to Temporal may take; an Update may wait for longer.
const (
	answerTime = 10 * time.Second
	waitTime   = time.Minute
)

// Run serves until ctx ends.
func (c *service) Run(ctx context.Context, log *slog.Logger) error {
	calls := newCalls()
	temporal, err := calls.connect(ctx, c.Temporal)
	if err != nil {
		return err
	}
	defer temporal.Close()
	s := &questions{temporal}
	mux := http.NewServeMux()
	mux.Handle("GET /progress", within(answerTime, s.progress))
	mux.Handle("GET /changed", within(answerTime, s.changed))
	mux.Handle("GET /wait", within(waitTime, s.wait))
	mux.Handle("GET /log", within(waitTime, s.log))
	mux.Handle("POST /subscribe", within(answerTime, s.subscribe))
	return calls.serve(ctx, log, mux)
}

// questions is the questions of watchers. Each returns its answer as JSON.
type questions struct{ temporal client.Client }

type question struct {
	workflow, id, address string
	last                  int64 // the version or offset that the watcher has
}

// within answers with what a question returns, or with an error in words that a watcher counts.
func within(most time.Duration, ask func(context.Context, question) (json.RawMessage, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), most)
		defer cancel()
		values := r.URL.Query()
		last, _ := strconv.ParseInt(values.Get("last"), 10, 64) // the only client is ours
		answer, err := ask(ctx, question{values.Get("workflow"), values.Get("id"), values.Get("address"), last})
		if _, over := errors.AsType[*serviceerror.NotFound](err); over {
			http.Error(w, "the workflow has ended", http.StatusGone)
			return
		}
		if err != nil {
			http.Error(w, reason(err), http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write(answer)
	})
}

// progress asks as a poll does: whether the workflow runs, and how far it is.
func (s *questions) progress(ctx context.Context, q question) (json.RawMessage, error) {
	if _, err := s.temporal.DescribeWorkflowExecution(ctx, q.workflow, ""); err != nil {
		return nil, err
	}
	const always = -1
	return s.changed(ctx, question{workflow: q.workflow, last: always})
}

func (s *questions) changed(ctx context.Context, q question) (answer json.RawMessage, err error) {
	value, err := s.temporal.QueryWorkflow(ctx, q.workflow, "", progress.ChangedQuery, q.last)
	if err != nil {
		return nil, err
	}
	if !value.HasValue() {
		return json.RawMessage("null"), nil
	}
	return answer, value.Get(&answer)
}

func (s *questions) wait(ctx context.Context, q question) (json.RawMessage, error) {
	return s.update(ctx, q, progress.WaitUpdate)
}

func (s *questions) log(ctx context.Context, q question) (json.RawMessage, error) {
	return s.update(ctx, q, readUpdate)
}

func (s *questions) update(ctx context.Context, q question, name string) (answer json.RawMessage, err error) {
	handle, err := s.temporal.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
		WorkflowID: q.workflow, UpdateName: name, Args: []any{q.last}, WaitForStage: client.WorkflowUpdateStageCompleted,
	})
	if err != nil {
		return nil, err
	}
	return answer, handle.Get(ctx, &answer)
}

func (s *questions) subscribe(ctx context.Context, q question) (json.RawMessage, error) {
	subscriber := progress.Subscriber{ID: q.id, Address: q.address}
	return nil, s.temporal.SignalWorkflow(ctx, q.workflow, "", progress.SubscribeSignal, subscriber)
}
