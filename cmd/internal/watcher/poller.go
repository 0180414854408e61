package watcher

import (
	"cmp"
	"context"
	"errors"
	"time"

	"chatfeed/db"
)

const (
	// requery is how often a workflow is asked whose last answers could not be used.
	requery = 30 * time.Second
	// grace is how long a run that has just been found has to say something itself.
	grace = time.Second
)

// poller watches one workflow. It belongs to one goroutine.
type poller struct {
	w          *Watcher
	workflowID string

	past     *past     // nil if it has to be read
	read     time.Time // when it was
	last     Execution // as it was last described
	found    time.Time // when the run was first described
	answer   *answer   // nil if the run has given none
	ended    string    // the run whose end has been said
	failing  failures  // of Describe
	unclear  failures  // of the query
	asked    time.Time // when the query was last asked
	reported bool      // a failure of the query has been logged
	warned   bool      // a failure of Describe has been logged
}

// run polls until ctx ends. Intervals are between the beginnings of polls.
func (p *poller) run(ctx context.Context) {
	var interval time.Duration
	for ctx.Err() == nil {
		began := time.Now()
		interval = next(interval, p.poll(ctx, interval))
		pause(ctx, interval-time.Since(began))
	}
}

// pause waits for the given time, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// poll asks Temporal once and records what is worth it.
func (p *poller) poll(ctx context.Context, interval time.Duration) outcome {
	if p.past == nil || p.past.final {
		if err := p.reread(ctx); err != nil {
			return same
		}
		if p.past.final { // nothing could be recorded
			return settled
		}
	}
	e, err := p.w.describe(ctx, p.workflowID, "", p.failing.n > 0)
	now := time.Now()
	switch {
	case ctx.Err() != nil:
		return same
	case errors.Is(err, errAway):
		p.trouble(ctx)
		return same
	case errors.Is(err, ErrNotFound):
		p.failing = failures{}
		return settled
	case err != nil:
		p.failing.add(now)
		if p.failing.isLasting(now) || p.w.outage.lasts() {
			p.trouble(ctx)
		}
		if p.failing.isLasting(now) && !p.warned {
			p.warned = true
			p.w.cfg.Log.WarnContext(ctx, "a workflow cannot be described; retrying", "workflow", p.workflowID, "error", err)
		}
		return same
	}
	p.failing, p.warned = failures{}, false
	return p.described(ctx, e, interval)
}

// described records what is worth it of the current run.
func (p *poller) described(ctx context.Context, e Execution, interval time.Duration) outcome {
	moved := e.RunID != p.last.RunID || e.Status != p.last.Status || e.Events != p.last.Events || e.isStalled() != p.last.isStalled()
	if e.RunID != p.last.RunID {
		if err := p.succeeded(ctx, e); err != nil {
			return same
		}
		p.found, p.answer, p.unclear = time.Now(), nil, failures{}
	}
	p.last = e
	if moved && time.Since(p.read) >= most { // it may have begun to record itself
		if err := p.reread(ctx); err != nil {
			return same
		}
	}
	if e.Status == Running && !e.isStalled() && !p.past.recordsItself(e) {
		if p.ask(ctx, e, interval) {
			moved = true
		}
	}
	said, err := p.say(ctx, func() (db.Progress, bool) {
		if p.ended == e.RunID || e.Status == Running && !p.past.latest().note.isOurs() && time.Since(p.found) < grace {
			return db.Progress{}, false
		}
		return decide(e, p.answer, p.past)
	})
	switch {
	case err != nil:
		return same
	case e.Status.ended():
		p.ended = e.RunID
		return settled
	case p.past != nil && p.past.recordsItself(e):
		return settled
	case moved || said:
		return changed
	}
	return same
}

// succeeded records how the run before the given one has ended, unless both are of one chain: then the workflow has gone on. If
// the new run has recorded something already, that is not superseded.
func (p *poller) succeeded(ctx context.Context, e Execution) error {
	latest := p.past.latest().note
	before := cmp.Or(p.last.RunID, latest.runID)
	if before == "" || before == e.RunID || before == p.ended || latest.isEndOf(before) || !e.isFirst() {
		return nil
	}
	old, err := p.w.describe(ctx, p.workflowID, before, false)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if !old.Status.ended() {
		return nil
	}
	_, err = p.say(ctx, func() (db.Progress, bool) {
		if p.past.recordsItself(e) {
			return db.Progress{}, false
		}
		return decide(old, nil, p.past)
	})
	return err
}

// ask queries the run if its answer may be another than the last, and reports whether it is.
func (p *poller) ask(ctx context.Context, e Execution, interval time.Duration) bool {
	switch {
	case p.w.cfg.Query == "":
		return false
	case p.unclear.isLasting(time.Now()) && time.Since(p.asked) < requery:
		return false
	case p.unclear.n == 0 && p.answer != nil && p.answer.events == e.Events && interval < most:
		return false
	}
	lane := p.w.limits.queries
	switch {
	case p.unclear.n > 0:
		lane = p.w.limits.doubtful
	case p.answer == nil:
		lane = p.w.limits.firstQueries
	}
	got, err := p.w.query(ctx, p.workflowID, e.RunID, lane)
	if ctx.Err() != nil || errors.Is(err, errBusy) || errors.Is(err, ErrNotFound) { // it has ended meanwhile
		return false
	}
	p.asked = time.Now()
	if err != nil {
		p.unclear.add(p.asked)
		lasting := p.unclear.isLasting(p.asked)
		if lasting && !p.reported {
			p.reported = true
			p.w.cfg.Log.WarnContext(ctx, "a workflow does not answer the query for its progress; it is asked less often",
				"workflow", p.workflowID, "query", p.w.cfg.Query, "error", err)
		}
		if p.answer == nil || p.answer.overdue || !lasting {
			return false
		}
		p.answer.overdue = true
		return true
	}
	p.unclear, p.reported = failures{}, false
	got.events = e.Events
	news := p.answer == nil || p.answer.overdue || p.answer.progress != got.progress || p.answer.status != got.status
	p.answer = &got
	return news
}

// trouble records that Temporal does not answer.
func (p *poller) trouble(ctx context.Context) {
	_, _ = p.say(ctx, func() (db.Progress, bool) { return trouble(p.past) })
}

// say writes the item that what returns, if there is one. As others may have written meanwhile, it reads the past again before it
// writes. It reports whether an item was written.
func (p *poller) say(ctx context.Context, what func() (db.Progress, bool)) (bool, error) {
	if p.past == nil {
		if err := p.reread(ctx); err != nil {
			return false, err
		}
	}
	if _, ok := what(); !ok {
		return false, nil
	}
	if err := p.reread(ctx); err != nil {
		return false, err
	}
	item, ok := what()
	if !ok {
		return false, nil
	}
	item.WorkflowID = p.workflowID
	written, err := p.w.write(ctx, item)
	p.past = nil
	if err != nil {
		return false, err
	}
	return !written.Already, p.reread(ctx)
}

func (p *poller) reread(ctx context.Context) error {
	past, err := p.w.readPast(ctx, p.workflowID)
	if err != nil {
		p.w.unable(ctx, err)
		return err
	}
	p.past, p.read = past, time.Now()
	return nil
}
