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
	// wanted reports whether anyone still waits for it. Otherwise it is not read.
	wanted() bool
	// refuse gives the job the error of a read of it alone. It reports whether the job is done; otherwise it is retried.
	refuse(err error) bool
}

// lane reads jobs of one kind. All waiting jobs are read together, so under load the queries grow and the queue does not.
// A job is never read twice at the same time; if it is requested during its read, it is read once more.
//
// A failing or slow workflow delays only itself. A batch that failed is split: a second reader reads its members in smaller
// batches, until each has been read or has failed alone. A workflow that fails alone is from then on read alone, by a third
// reader, after a pause and with a window of its own, until a read of it is fast. So the lane continues at once after the
// first failure, and later reads keep the failing workflow out of its batches.
type lane[J job] struct {
	name      string
	log       *slog.Logger
	read      func(ctx context.Context, jobs []J, halvings int) (heavy []J, err error)
	together  func(a, b J) bool // whether one query can serve both
	maxBatch  int               // the most jobs in one query
	noPause   bool              // no pause after a failure
	burst     *burst            // delays queries so that jobs in quick succession share one; nil for no delay
	turn      chan struct{}     // held by the common reader that waits for work or reads, unless its read is overdue; nil: no turns
	isolation *isolation

	mu       sync.Mutex
	states   map[J]state
	waiting  [classes][]J
	troubled map[string]*trouble
	limit    int // the most jobs in the next common query
	failures int // common and splitting reads that have failed in a row
	streak   int // reads of any kind that have failed in a row
	work     [classes]chan struct{}
}

// state is the state of a job in the lane. The zero value means that the lane does not have the job.
type state uint8

const (
	queued       state = iota + 1 // waiting, or a timer will queue it
	reading                       // being read
	readingAgain                  // being read, and requested again since
)

// class is which reader reads a job.
type class uint8

const (
	common    class = iota // together with all others
	splitting              // its batch has failed or was slow
	alone                  // it fails or is slow alone
	classes
)

// isolation bounds the concurrent splitting and alone reads of all lanes, and knows how long the cheapest read takes.
type isolation struct {
	splitting, alone chan struct{}
	latency          atomic.Int64 // duration of the newest comparison of heads
}

// isSlow reports whether a read took too long. Where the source is slow for all, no workflow is at fault.
func (i *isolation) isSlow(took time.Duration) bool {
	return took > max(slowAfter, 4*time.Duration(i.latency.Load()))
}

func newIsolation() *isolation {
	return &isolation{splitting: make(chan struct{}, 2), alone: make(chan struct{}, 3)}
}

// errNothing is returned by a read that had nothing to read. It says nothing about its workflows.
var errNothing = errors.New("nothing to read")

const (
	// outage is after how many failed reads in a row a lane regards the source as unavailable, and pauses.
	outage = 8
	// failingPause is the pause between reads of workflows that fail alone while no read succeeds.
	failingPause = 20 * time.Millisecond
)

func newLane[J job](
	name string, log *slog.Logger, maxBatch int, isolation *isolation,
	read func(context.Context, []J, int) ([]J, error), together func(a, b J) bool,
) *lane[J] {
	l := &lane[J]{
		name: name, log: log, read: read, together: together, maxBatch: maxBatch, limit: maxBatch, isolation: isolation,
		states: make(map[J]state), troubled: make(map[string]*trouble),
	}
	for c := range l.work {
		l.work[c] = make(chan struct{}, 1)
	}
	return l
}

// put requests a read of a job. The read begins after the call of put.
func (l *lane[J]) put(j J) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch l.states[j] {
	case reading:
		l.states[j] = readingAgain
	case 0:
		l.queue(j)
	}
}

// queue queues a job for the reader of its workflow's class. The caller holds mu.
func (l *lane[J]) queue(j J) {
	l.states[j] = queued
	t := l.troubled[j.workflow()]
	c := common
	switch {
	case t == nil:
	case t.atFault():
		c = alone
		if delay := time.Until(t.notBefore); delay > 0 && !l.noPause {
			time.AfterFunc(delay, func() {
				l.mu.Lock()
				defer l.mu.Unlock()
				l.enqueue(c, j)
			})
			return
		}
	default:
		c = splitting
	}
	l.enqueue(c, j)
}

func (l *lane[J]) enqueue(c class, j J) {
	l.waiting[c] = append(l.waiting[c], j)
	signal(l.work[c])
}

// isTroubled reports whether a workflow's reads have failed or been slow.
func (l *lane[J]) isTroubled(workflowID string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.troubled[workflowID] != nil
}

// forget drops the troubles of workflows that have not failed for troubleExpiry.
func (l *lane[J]) forget(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, t := range l.troubled {
		if now.Sub(t.lastFault) > troubleExpiry {
			delete(l.troubled, id)
		}
	}
}

// run reads until ctx ends, with the given number of common readers.
func (l *lane[J]) run(ctx context.Context, readers int) {
	var running sync.WaitGroup
	for range readers {
		running.Go(func() { l.serve(ctx, common) })
	}
	running.Go(func() { l.serve(ctx, splitting) })
	running.Go(func() { l.serve(ctx, alone) })
	running.Wait()
}

// serve reads for a class until ctx ends. Only the common reader that holds the turn receives from work, so that
// work wakes one reader, and jobs that arrive while it reads are its next batch. A reader that has received from work must
// not wait for the turn: its holder may be waiting for work.
func (l *lane[J]) serve(ctx context.Context, c class) {
	for held := false; ; {
		if c == common && !held && !acquire(ctx, l.turn) {
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

// step reads one batch of waiting jobs. It reports whether to continue, and whether the reader still holds the turn.
func (l *lane[J]) step(ctx context.Context, c class) (more, held bool) {
	slot := l.slot(c)
	if !acquire(ctx, slot) {
		return false, true
	}
	leave := sync.OnceFunc(func() { releasePlace(slot) })
	defer leave()
	runtime.Gosched() // let jobs that arrive together be read together
	jobs, halvings := l.take(c)
	if len(jobs) == 0 {
		return false, true
	}
	held = true
	bounded := ctx
	switch c {
	case splitting:
		var cancel context.CancelFunc
		bounded, cancel = context.WithTimeout(ctx, splittingTime)
		defer cancel()
	case common:
		overdue := time.AfterFunc(slowAfter, func() { releasePlace(l.turn) }) // another reader continues
		defer func() { held = overdue.Stop() }()
	}
	candidates, began := 0, time.Now()
	heavy, err := l.read(bounded, jobs, halvings)
	switch {
	case ctx.Err() != nil:
		return false, held
	case errors.Is(err, errNothing):
		l.release(jobs)
		return true, held
	}
	if !l.isolation.isSlow(time.Since(began)) {
		heavy = nil
	} else if len(jobs) == 1 {
		heavy = jobs
	} else if len(heavy) == 0 {
		candidates = len(jobs) // only further reads can tell which of them is slow
	}
	l.settle(ctx, c, jobs, heavy, candidates, err)
	leave()
	wait(ctx, l.delay(c))
	return ctx.Err() == nil, held
}

// acquire takes one of the places that the channel's capacity provides. It reports false when ctx has ended.
func acquire(ctx context.Context, places chan struct{}) bool {
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

// releasePlace gives back what acquire took.
func releasePlace(places chan struct{}) {
	if places != nil {
		<-places
	}
}

// slot returns the places that the readers of a class acquire for each read. Common readers use the turn instead.
func (l *lane[J]) slot(c class) chan struct{} {
	switch c {
	case splitting:
		return l.isolation.splitting
	case alone:
		return l.isolation.alone
	default:
		return nil
	}
}

// take removes from the waiting jobs those that one query can serve. Jobs that nobody wants any more are dropped.
func (l *lane[J]) take(c class) (jobs []J, halvings int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	limit := l.limit
	var left []J
	all := l.waiting[c]
	for i, j := range all {
		if len(jobs) > 0 && len(jobs) == limit {
			left = append(left, all[i:]...)
			break
		}
		switch {
		case !j.wanted():
			delete(l.states, j)
			continue
		case len(jobs) == 0:
			if t := l.troubled[j.workflow()]; c != common && t != nil {
				limit, halvings = t.batchLimit(), t.halvings
			}
		case c != common && l.troubled[j.workflow()].batchLimit() < limit, !l.together(jobs[0], j):
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

// release ends the read of jobs, and queues again those that were requested meanwhile.
func (l *lane[J]) release(jobs []J) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, j := range jobs {
		l.end(j, false)
	}
}

// end ends the read of a job. It is queued again if retry is set or it was requested meanwhile. The caller holds mu.
func (l *lane[J]) end(j J, retry bool) {
	if retry || l.states[j] == readingAgain {
		l.queue(j)
	} else {
		delete(l.states, j)
	}
}

// delay is how long a reader pauses before its next read.
func (l *lane[J]) delay(c class) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.noPause:
		return 0
	case c == common && l.burst != nil && l.failures == 0:
		return l.burst.delay(time.Now())
	case c != alone:
		return pause(l.failures - outage)
	case l.streak > outage:
		return failingPause
	default:
		return 0 // each workflow has its own pause
	}
}

// settle records the result of a read. If it was slow, either the heavy jobs are at fault or one of the candidates, given as
// a number.
func (l *lane[J]) settle(ctx context.Context, c class, jobs, heavy []J, candidates int, err error) {
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
		if t == nil && (err != nil || slow || candidates > 0) {
			t = &trouble{}
			l.troubled[id] = t
		}
		switch {
		case err != nil:
			t.fail(len(jobs), l.streak <= outage, now)
			log = log || len(jobs) > 1 || t.failures&(t.failures-1) == 0 // with decreasing frequency
		case candidates > 0:
			t.mayBeAtFault(candidates, now)
		case t != nil && t.succeed(slow, now):
			delete(l.troubled, id)
		}
		l.end(j, err != nil && !refused)
	}
	if log {
		l.log.WarnContext(ctx, "a read failed", "reading", l.name, "count", len(jobs), "workflow", jobs[0].workflow(), "error", err)
	}
}

// count updates the failure counts and the batch limit. The caller holds mu.
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
	if err == nil { // grow slowly: a batch that is too large costs the time of a read
		l.limit = min(l.limit+1+l.limit/8, l.maxBatch)
	} else if jobs > split { // smaller batches are split quickly anyway
		l.limit = max(split, jobs/2)
	}
}
