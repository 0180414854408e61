package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/history/v1"

	"chatfeed/cmd/internal/bench"
)

// usage is what has been used until now, or in a span of time.
type usage struct {
	serviceCalls, workerCalls          int // to Temporal
	queries                            int // of these, of the service
	refused                            map[string]int
	serviceCPU, workerCPU, temporalCPU time.Duration
}

func (u usage) less(before usage) usage {
	u.serviceCalls -= before.serviceCalls
	u.workerCalls -= before.workerCalls
	u.queries -= before.queries
	u.serviceCPU -= before.serviceCPU
	u.workerCPU -= before.workerCPU
	u.temporalCPU -= before.temporalCPU
	return u
}

// usage reads what the programs of the run have used.
func (r *run) usage() (u usage, err error) {
	if r.service != nil {
		if u.serviceCPU, err = r.service.CPU(); err != nil {
			return usage{}, err
		}
	}
	if r.approach.asks {
		made := newCalls()
		if err := fetch(r.service, "/calls", made); err != nil {
			return usage{}, err
		}
		u.serviceCalls, u.queries, u.refused = made.total(), made.Made["QueryWorkflow"], made.Refused
	}
	made := newCalls()
	if err := fetch(r.worker, "/calls", made); err != nil {
		return usage{}, err
	}
	u.workerCalls = made.total()
	workerCPU, workerErr := r.worker.CPU()
	temporalCPU, temporalErr := bench.CPU(r.lab.temporalPID)
	u.workerCPU, u.temporalCPU = workerCPU, temporalCPU
	return u, errors.Join(workerErr, temporalErr)
}

// fetch reads JSON from a program of the run.
func fetch(from *bench.Process, path string, into any) error {
	response, err := http.Get(from.URL + path) //nolint:noctx // a process of our own answers at once
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if err := json.NewDecoder(response.Body).Decode(into); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	return nil
}

// measured is the figures of a run.
type measured struct {
	approach approach
	watchers int
	usage

	changes      int
	took         []time.Duration // from each change to each watcher that got it, in order
	delivered    []time.Duration // from PostgreSQL's stamp to each watcher, in order; for the feed
	missed       float64         // changes, of each watcher, on average
	watcherCalls int
	events       int
	actions      int
	transactions int
	limit        string // in words, or empty
	reached      bool   // more watchers would only meet it more often
	frames       []frame
}

// figures computes the figures of a run that has ended.
func (r *run) figures(ctx context.Context, used usage) (*measured, error) {
	var made []int64
	if err := fetch(r.worker, "/made?workflow="+url.QueryEscape(r.workflow), &made); err != nil {
		return nil, err
	}
	if len(made) == 0 || len(made) > r.plan.Changes {
		return nil, fmt.Errorf("the workflow has made %d changes, where %d were planned", len(made), r.plan.Changes)
	}
	m := &measured{
		approach: r.approach, watchers: r.watchers, usage: used, changes: len(made), watcherCalls: int(r.calls.Load()), frames: r.frames,
	}
	var missed []int
	m.took, missed = r.receipts.since(made)
	deaf := 0
	for _, n := range missed {
		m.missed += float64(n) / float64(r.watchers)
		if n == len(made) {
			deaf++
		}
	}
	if deaf > 0 {
		r.limits.end("%d of %d watchers learned nothing", deaf, r.watchers)
	}
	for reason, times := range used.refused {
		r.limits.meet(reason, times)
	}
	if n := r.receipts.unwanted.Load(); n > 0 {
		return nil, fmt.Errorf("%d changes came that were never made", n)
	}
	if r.approach.format != "" {
		stamps, err := r.stamps(ctx, len(made))
		if err != nil {
			return nil, err
		}
		m.delivered, _ = r.receipts.since(stamps)
	}
	if err := m.readHistory(ctx, r); err != nil {
		return nil, err
	}
	m.limit, m.reached = r.limits.text(), r.limits.reached(m.watcherCalls)
	return m, nil
}

// stamps returns when the database has stamped each of the changes.
func (r *run) stamps(ctx context.Context, changes int) ([]int64, error) {
	rows, err := r.lab.bench.Pool.Query(ctx, `select status, "_createdAt" from chatfeed.progress where workflow_id = $1`, r.workflow)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	at := make([]int64, changes)
	found := 0
	for rows.Next() {
		var text string
		var created time.Time
		if err := rows.Scan(&text, &created); err != nil {
			return nil, err
		}
		bench.Stamps([]byte(text), func(n int64) { at[n-1] = created.UnixNano(); found++ })
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	if found != len(at) {
		return nil, fmt.Errorf("%d changes were recorded, where %d were made", found, len(at))
	}
	return at, nil
}

// readHistory counts the events of the workflow, and what Temporal Cloud bills as actions.
func (m *measured) readHistory(ctx context.Context, r *run) error {
	events := r.lab.temporal.GetWorkflowHistory(ctx, r.workflow, "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	tasks := make(map[int64]bool) // that had local activities, which are one action together
	m.actions = m.queries
	for events.HasNext() {
		event, err := events.Next()
		if err != nil {
			return fmt.Errorf("read the history: %w", err)
		}
		m.events++
		if end := event.GetWorkflowExecutionTerminatedEventAttributes(); end != nil && end.GetReason() != tooSlow {
			r.limits.end("the workflow was terminated: %s", end.GetReason())
		}
		if marker := event.GetMarkerRecordedEventAttributes(); marker.GetMarkerName() == "LocalActivity" {
			tasks[marker.GetWorkflowTaskCompletedEventId()] = true
			continue
		}
		m.actions += actions(event)
	}
	m.actions += len(tasks)
	return nil
}

func actions(event *history.HistoryEvent) int {
	switch event.GetEventType() {
	case enums.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED, enums.EVENT_TYPE_TIMER_STARTED, enums.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED,
		enums.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED, enums.EVENT_TYPE_MARKER_RECORDED:
		return 1
	case enums.EVENT_TYPE_ACTIVITY_TASK_STARTED:
		return int(event.GetActivityTaskStartedEventAttributes().GetAttempt())
	}
	return 0
}
