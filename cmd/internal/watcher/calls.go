package watcher

import (
	"context"
	"errors"
	"fmt"
	"time"

	"chatfeed/db"
)

const (
	// callTimeout bounds a call of Describe.
	callTimeout = 3 * time.Second
	// queryTimeout bounds a query, and is less than the longest interval, so that a query that hangs does not delay Describe.
	queryTimeout = 4 * time.Second
)

// write writes an item. A workflow that is closed is no error: the past will say so.
func (w *Watcher) write(ctx context.Context, item db.Progress) (db.Written, error) {
	written, err := w.cfg.Writer.Write(ctx, item)
	switch {
	case errors.Is(err, db.ErrClosed):
		return db.Written{Already: true}, nil
	case err != nil:
		w.unable(ctx, err)
		return db.Written{}, err
	case !written[0].Already:
		w.stats.items.Add(1)
	}
	if w.unwritten.Swap(false) {
		w.cfg.Log.InfoContext(ctx, "the status of workflows is recorded again")
	}
	return written[0], nil
}

// unable logs the first of several errors of the database.
func (w *Watcher) unable(ctx context.Context, err error) {
	if ctx.Err() == nil && !w.unwritten.Swap(true) {
		w.cfg.Log.WarnContext(ctx, "the status of workflows cannot be recorded; retrying", "error", err)
	}
}

// errBusy says that too many queries are running, errAway that there is an outage. Temporal was not called.
var (
	errBusy = errors.New("too many queries are running")
	errAway = errors.New("Temporal does not answer")
)

// describe calls Temporal. A doubtful workflow is one whose last call has failed.
func (w *Watcher) describe(ctx context.Context, workflowID, runID string, doubtful bool) (Execution, error) {
	lane := w.limits.calls
	if doubtful {
		lane = w.limits.doubtful
	}
	if !lane.take(ctx) {
		return Execution{}, context.Cause(ctx)
	}
	defer lane.give()
	if err := w.rate.Wait(ctx); err != nil {
		return Execution{}, err
	}
	if doubtful && !w.outage.admit(time.Now()) {
		return Execution{}, errAway
	}
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	w.stats.describes.Add(1)
	e, err := w.cfg.Temporal.Describe(call, workflowID, runID)
	if ctx.Err() != nil {
		return Execution{}, context.Cause(ctx)
	}
	failed := err != nil && !errors.Is(err, ErrNotFound)
	if failed {
		w.stats.failures.Add(1)
		err = fmt.Errorf("describe workflow %q: %w", workflowID, err)
	}
	if w.outage.note(failed, time.Now()) {
		if failed {
			w.cfg.Log.WarnContext(ctx, "Temporal does not answer; the status of followed workflows is not known", "error", err)
		} else {
			w.cfg.Log.InfoContext(ctx, "Temporal answers again")
		}
	}
	return e, err
}

// query calls Temporal, unless too many queries of the lane are running.
func (w *Watcher) query(ctx context.Context, workflowID, runID string, lane slots) (answer, error) {
	if !lane.try() {
		return answer{}, errBusy
	}
	defer lane.give()
	if err := w.rate.Wait(ctx); err != nil {
		return answer{}, err
	}
	call, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	w.stats.queries.Add(1)
	text, err := w.cfg.Temporal.Query(call, workflowID, runID, w.cfg.Query)
	if err != nil {
		if ctx.Err() == nil && !errors.Is(err, ErrNotFound) {
			w.stats.queryFailures.Add(1)
		}
		return answer{}, err
	}
	got, err := parseAnswer(text)
	if err != nil {
		w.stats.queryFailures.Add(1)
	}
	return got, err
}
