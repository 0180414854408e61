package feed

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// job is something to be read of one workflow.
type job interface {
	comparable
	workflow() string
	// wanted reports whether anyone still waits for it. What nobody waits for is not read.
	wanted() bool
	// refuse offers the job the error of a read of it alone. It reports whether that settles it; else it is tried again.
	refuse(err error) bool
}

// lane reads jobs of one kind. All that wait are read together, so that load makes the queries larger and not the queue
// longer; nothing is read twice at once, and what is asked for during a read of it is read once more.
//
// What fails or is slow delays itself only. The members of a batch that failed are sorted: read in smaller batches, by a
// reader of their own, until each has been read or has failed alone. A workflow that fails alone is read alone from then
// on, by a third reader, after a pause and with a window of its own, until a read of it is quick. So the lane itself goes
// on at once after the first failure, and knows the workflow afterwards.
type lane[J job] struct {
	name     string
	log      *slog.Logger
	read     func(ctx context.Context, jobs []J, halvings int) (heavy []J, err error)
	together func(a, b J) bool // whether one query can serve both
	most     int               // jobs in one query
	prompt   bool              // never waits after a failure
	herd     *herd             // makes those who come one after the other wait for each other; nil does not
	turn     chan struct{}     // held by the common reader that waits for work or reads, unless a read is overdue; nil: by all
	apart    *apart

	mu       sync.Mutex
	states   map[J]state
	waiting  [classes][]J
	troubled map[string]*trouble
	limit    int // jobs in the next common query
	failures int // common and sorting reads in a row that have failed
	streak   int // reads of any kind in a row that have failed
	work     [classes]chan struct{}
}

// state is where a job is. A job that the lane does not have has none.
type state uint8

const (
	queued  state = iota + 1 // it waits, or a timer will make it
	reading                  // it is being read
	again                    // it is being read, and was asked for since
)

// class is who reads a job.
type class uint8

const (
	common  class = iota // with all others
	sorting              // its batch has failed
	alone                // it has failed alone, or is slow
	classes
)

// apart bounds the reads of what has failed, over all lanes, and knows what the source needs for the least of reads.
type apart struct {
	sorting, alone chan struct{}
	latency        atomic.Int64 // how long the newest comparison of heads took
}

// isSlow says what is too long for a read: where the source is slow for all, no workflow is to blame.
func (a *apart) isSlow(took time.Duration) bool {
	return took > max(patience, 4*time.Duration(a.latency.Load()))
}

func newApart() *apart {
	return &apart{sorting: make(chan struct{}, 2), alone: make(chan struct{}, 3)}
}

// errNothing is what a read returns that had nothing to read: it says neither well nor ill of its workflows.
var errNothing = errors.New("nothing to read")

const (
	// outage is how many reads of a lane have to fail in a row until it takes the source for away, and pauses.
	outage = 8
	// crowdedPause is between two reads of workflows that fail, each alone, where nothing else succeeds.
	crowdedPause = 20 * time.Millisecond
)

func newLane[J job](
	name string, log *slog.Logger, most int, apart *apart,
	read func(context.Context, []J, int) ([]J, error), together func(a, b J) bool,
) *lane[J] {
	l := &lane[J]{
		name: name, log: log, read: read, together: together, most: most, limit: most, apart: apart,
		states: make(map[J]state), troubled: make(map[string]*trouble),
	}
	for c := range l.work {
		l.work[c] = make(chan struct{}, 1)
	}
	return l
}

// put asks for a job to be read. The read begins after put is called.
func (l *lane[J]) put(j J) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch l.states[j] {
	case reading:
		l.states[j] = again
	case 0:
		l.queue(j)
	}
}

// queue makes a job wait for the reader that its workflow's trouble calls for. The caller holds mu.
func (l *lane[J]) queue(j J) {
	l.states[j] = queued
	t := l.troubled[j.workflow()]
	c := common
	switch {
	case t == nil:
	case t.accused():
		c = alone
		if rest := time.Until(t.until); rest > 0 && !l.prompt {
			time.AfterFunc(rest, func() {
				l.mu.Lock()
				defer l.mu.Unlock()
				l.line(c, j)
			})
			return
		}
	default:
		c = sorting
	}
	l.line(c, j)
}

func (l *lane[J]) line(c class, j J) {
	l.waiting[c] = append(l.waiting[c], j)
	signal(l.work[c])
}

// isTroubled reports whether a workflow has to be read apart from others.
func (l *lane[J]) isTroubled(workflowID string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.troubled[workflowID] != nil
}

// forget drops what the lane remembers of workflows that have not failed for long.
func (l *lane[J]) forget(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, t := range l.troubled {
		if now.Sub(t.since) > forgiven {
			delete(l.troubled, id)
		}
	}
}

// run reads with so many common readers until ctx ends.
func (l *lane[J]) run(ctx context.Context, readers int) {
	var running sync.WaitGroup
	for range readers {
		running.Go(func() { l.serve(ctx, common) })
	}
	running.Go(func() { l.serve(ctx, sorting) })
	running.Go(func() { l.serve(ctx, alone) })
	running.Wait()
}

// serve reads for a class until ctx ends. Only the common reader that has the turn hears of work, so that work wakes one
// reader, and what comes while it reads is its next batch. Whoever has heard of work must not wait for the turn: who has it
// may be waiting for work.
func (l *lane[J]) serve(ctx context.Context, c class) {
	for held := false; ; {
		if c == common && !held && !enter(ctx, l.turn) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-l.work[c]:
		}
		held = true
		for more := true; more && held; {
			more, held = l.step(ctx, c)
		}
	}
}

// step reads what waits, once. It reports whether to go on, and whether the reader still has the turn.
func (l *lane[J]) step(ctx context.Context, c class) (more, held bool) {
	slot := l.slot(c)
	if !enter(ctx, slot) {
		return false, true
	}
	leave := sync.OnceFunc(func() { exit(slot) })
	defer leave()
	runtime.Gosched() // those who come together are served together
	jobs, halvings := l.take(c)
	if len(jobs) == 0 {
		return false, true
	}
	held = true
	bounded := ctx
	switch c {
	case sorting:
		var cancel context.CancelFunc
		bounded, cancel = context.WithTimeout(ctx, sortingTime)
		defer cancel()
	case common:
		overdue := time.AfterFunc(patience, func() { exit(l.turn) }) // another reader goes on
		defer func() { held = overdue.Stop() }()
	}
	suspects, began := 0, time.Now()
	heavy, err := l.read(bounded, jobs, halvings)
	switch {
	case ctx.Err() != nil:
		return false, held
	case errors.Is(err, errNothing):
		l.release(jobs)
		return true, held
	}
	if !l.apart.isSlow(time.Since(began)) {
		heavy = nil
	} else if len(jobs) == 1 {
		heavy = jobs
	} else if len(heavy) == 0 {
		suspects = len(jobs) // which of them is slow, only other reads can tell
	}
	l.settle(ctx, c, jobs, heavy, suspects, err)
	leave()
	wait(ctx, l.rest(c))
	return ctx.Err() == nil, held
}

// enter takes a place among so many as a channel has room for. It reports false when ctx has ended.
func enter(ctx context.Context, places chan struct{}) bool {
	if places == nil {
		return true
	}
	select {
	case <-ctx.Done():
		return false
	case places <- struct{}{}:
		return true
	}
}

// exit gives back what enter took.
func exit(places chan struct{}) {
	if places != nil {
		<-places
	}
}

// slot is where the readers of a class take their places for each read. The common ones have the turn instead.
func (l *lane[J]) slot(c class) chan struct{} {
	switch c {
	case sorting:
		return l.apart.sorting
	case alone:
		return l.apart.alone
	default:
		return nil
	}
}

// take removes jobs that one query can serve from those that wait. What nobody wants any more is dropped.
func (l *lane[J]) take(c class) (jobs []J, halvings int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	most := l.limit
	var left []J
	all := l.waiting[c]
	for i, j := range all {
		if len(jobs) > 0 && len(jobs) == most {
			left = append(left, all[i:]...)
			break
		}
		switch {
		case !j.wanted():
			delete(l.states, j)
			continue
		case len(jobs) == 0:
			if t := l.troubled[j.workflow()]; c != common && t != nil {
				most, halvings = t.company(), t.halvings
			}
		case c != common && l.troubled[j.workflow()].company() < most, !l.together(jobs[0], j):
			left = append(left, j)
			continue
		}
		jobs = append(jobs, j)
		l.states[j] = reading
	}
	l.waiting[c] = left
	if len(left) > 0 {
		signal(l.work[c]) // for the next reader, while this one reads
	}
	return jobs, halvings
}

// release lets jobs go, and queues again those that were asked for meanwhile.
func (l *lane[J]) release(jobs []J) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, j := range jobs {
		l.end(j, false)
	}
}

// end ends the read of a job, which is queued again if it has to or was asked for meanwhile. The caller holds mu.
func (l *lane[J]) end(j J, redo bool) {
	if redo || l.states[j] == again {
		l.queue(j)
	} else {
		delete(l.states, j)
	}
}

// rest is how long a reader pauses before its next read.
func (l *lane[J]) rest(c class) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.prompt:
		return 0
	case c == common && l.herd != nil && l.failures == 0:
		return l.herd.rest(time.Now())
	case c != alone:
		return pause(l.failures - outage)
	case l.streak > outage:
		return crowdedPause
	default:
		return 0 // each workflow has a pause of its own
	}
}

// settle notes what became of a read. Where it was slow, either the heavy jobs are to blame or one of so many suspects.
func (l *lane[J]) settle(ctx context.Context, c class, jobs, heavy []J, suspects int, err error) {
	refused := err != nil && len(jobs) == 1 && jobs[0].refuse(err)
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count(c, len(jobs), err)
	log := false
	for _, j := range jobs {
		id := j.workflow()
		t := l.troubled[id]
		slow := slices.Contains(heavy, j)
		if t == nil && (err != nil || slow || suspects > 0) {
			t = &trouble{}
			l.troubled[id] = t
		}
		switch {
		case err != nil:
			t.fail(len(jobs), l.streak <= outage, now)
			log = log || len(jobs) > 1 || t.failures&(t.failures-1) == 0 // less and less often
		case suspects > 0:
			t.suspect(suspects, now)
		case t != nil && t.succeed(slow, now):
			delete(l.troubled, id)
		}
		l.end(j, err != nil && !refused)
	}
	if log {
		l.log.WarnContext(ctx, "a read failed", "reading", l.name, "count", len(jobs), "workflow", jobs[0].workflow(), "error", err)
	}
}

// count notes how the source does. The caller holds mu.
func (l *lane[J]) count(c class, jobs int, err error) {
	switch {
	case err == nil:
		l.failures, l.streak = 0, 0
	case c == alone:
		l.streak++
	default:
		l.failures++
		l.streak++
	}
	if c != common {
		return
	}
	if err == nil { // slowly, as what is too much costs the time of a read
		l.limit = min(l.limit+1+l.limit/8, l.most)
	} else if jobs > split { // less is soon sorted
		l.limit = max(split, jobs/2)
	}
}
