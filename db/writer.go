package db

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// flushers is how many transactions a Writer runs at the same time: while one commits, the next inserts.
	flushers = 2
	// A group holds at most this many rows and, beyond its first write, bytes.
	groupRows  = 1000
	groupBytes = 4 << 20
	// commitTimeout bounds a transaction on a database that no longer answers.
	commitTimeout = 30 * time.Second
	// conflictTries is how often a group is tried if PostgreSQL aborts it for a deadlock or a serialization failure.
	conflictTries = 10
	// lockTimeout is how long a group waits for a workflow that someone else is writing to. The rest of the group waits for
	// shortTimeout, and so does each retry of a blocked write.
	lockTimeout  = 250 * time.Millisecond
	shortTimeout = 25 * time.Millisecond
)

// ErrWriterClosed is returned by [Writer.Write] after [Writer.Close].
var ErrWriterClosed = errors.New("db: writer is closed")

// Writer appends items for many concurrent callers. It commits their queued writes in groups: PostgreSQL commits one
// notifying transaction at a time, so with a commit for each, all callers would wait for each other. It uses no timer; a
// group is what arrived during the previous commits.
//
// A transaction of another program that has written to a workflow and stays open blocks writes to that workflow but no
// others: after a quarter of a second without the workflow's lock they leave their group and wait separately, and after 30 s
// they fail. idle_in_transaction_session_timeout ends such transactions.
//
// Its methods may be called from any goroutine.
type Writer struct {
	pool    *pgxpool.Pool
	arrived *sync.Cond // queue is not empty, or closed
	running sync.WaitGroup

	mu      sync.Mutex
	queue   []*write
	blocked map[string][]*write // writes to workflows that others have locked, by workflow; a goroutine for each workflow writes them
	turns   chan struct{}       // limits how many of those goroutines have a transaction at the same time, to two
	closed  bool
}

// write is one caller's pending items.
type write struct {
	rows    []row
	size    int
	begun   time.Time
	busy    bool       // blocked, and being tried; guarded by Writer.mu
	written []Written  // set before done is sent to
	done    chan error // of capacity one
}

// NewWriter makes a writer on the pool, which stays the caller's. The caller must Close the writer.
func NewWriter(pool *pgxpool.Pool) *Writer {
	w := &Writer{pool: pool, blocked: make(map[string][]*write), turns: make(chan struct{}, 2)}
	w.arrived = sync.NewCond(&w.mu)
	for range flushers {
		w.running.Go(w.flush)
	}
	return w
}

// Write appends items, all or none, and returns the result for each when they are durable. The items of one workflow keep the
// given order; an item whose ID the workflow already has is left unchanged.
//
// The error concerns this caller's items only: an [InvalidItemError], PostgreSQL's error for these items, or a failure of the
// database. If ctx ends or the connection is lost during the commit, the items may have been written; if the caller has set
// their IDs, writing them again is safe.
func (w *Writer) Write(ctx context.Context, items ...Item) ([]Written, error) {
	rows, err := checked(items)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	request, err := w.enqueue(rows)
	if err != nil {
		return nil, err
	}
	select {
	case err := <-request.done:
		return request.written, err
	case <-ctx.Done():
		if w.withdraw(request) {
			return nil, fmt.Errorf("append: not written: %w", context.Cause(ctx))
		}
		return nil, fmt.Errorf("append: outcome unknown: %w", context.Cause(ctx))
	}
}

func (w *Writer) enqueue(rows []row) (*write, error) {
	request := &write{rows: rows, begun: time.Now(), done: make(chan error, 1)}
	for _, r := range rows {
		request.size += r.bytes()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil, ErrWriterClosed
	}
	if workflow, ok := w.blockedBy(request); ok {
		w.blocked[workflow] = append(w.blocked[workflow], request)
		return request, nil
	}
	w.queue = append(w.queue, request)
	w.arrived.Signal()
	return request, nil
}

// withdraw removes a waiting write, and reports whether it was still waiting.
func (w *Writer) withdraw(request *write) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if at := slices.Index(w.queue, request); at >= 0 {
		w.queue = slices.Delete(w.queue, at, at+1)
		return true
	}
	for workflow, waiting := range w.blocked {
		if at := slices.Index(waiting, request); at >= 0 && !request.busy {
			w.blocked[workflow] = slices.Delete(waiting, at, at+1)
			return true
		}
	}
	return false
}

// Close commits what is queued and returns. Later writes fail with [ErrWriterClosed].
func (w *Writer) Close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.arrived.Broadcast()
	w.running.Wait()
}

func (w *Writer) flush() {
	for group := w.take(); group != nil; group = w.take() {
		w.commit(group, lockTimeout)
		runtime.Gosched() // callers that have just been answered and write again join the next group
	}
}

// take blocks until there are writes and returns the next group, or nil when the writer is closed and empty.
func (w *Writer) take() []*write {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.queue) == 0 {
		if w.closed {
			return nil
		}
		w.arrived.Wait()
	}
	n, rows, bytes := 0, 0, 0
	for _, next := range w.queue {
		rows += len(next.rows)
		bytes += next.size
		if n > 0 && (rows > groupRows || bytes > groupBytes) {
			break
		}
		n++
	}
	group := slices.Clone(w.queue[:n])
	w.queue = slices.Delete(w.queue, 0, n)
	return group
}

// commit writes a group and reports to each caller. A group that PostgreSQL refuses because of its contents is halved until
// the refused write is alone. Writes to workflows that are locked by others leave the group.
func (w *Writer) commit(group []*write, timeout time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), commitTimeout)
	defer cancel()
	err := w.try(ctx, group, timeout)
	blocked := locked(err)
	if lockTimedOut(err) && len(blocked) == 0 && len(group) == 1 { // a lock other than a workflow's, such as a foreign key's
		blocked = []string{group[0].rows[0].workflowID}
	}
	if len(blocked) > 0 {
		if free := w.removeBlocked(group, blocked); len(free) > 0 {
			w.commit(free, shortTimeout)
		}
		return
	}
	if len(group) > 1 && lockTimedOut(err) {
		w.commit(group[:len(group)/2], shortTimeout)
		w.commit(group[len(group)/2:], shortTimeout)
		return
	}
	if len(group) > 1 && mayConcernOneRow(err) {
		w.commit(group[:len(group)/2], timeout)
		w.commit(group[len(group)/2:], timeout)
		return
	}
	for _, request := range group {
		request.done <- err
	}
}

// try writes a group in one transaction and one round trip, and retries if PostgreSQL aborts it for a conflict with others.
// It waits for each lock at most for the timeout.
func (w *Writer) try(ctx context.Context, group []*write, timeout time.Duration) error {
	var rows []row
	for _, request := range group {
		for _, r := range request.rows {
			r.index = len(rows)
			rows = append(rows, r)
		}
	}
	statements := plan(rows)
	// A single statement takes its locks in order by itself. Naming the workflows costs a fifth more, but the error then
	// names all that are locked and not only the first.
	workflows := ""
	if len(statements) > 1 || timeout < lockTimeout {
		workflows = names(rows)
	}
	for tries := 1; ; tries++ {
		p := pipeline{settings: settings{workflows, strconv.FormatInt(timeout.Milliseconds(), 10)}}
		p.insert(statements)
		err := w.pool.SendBatch(ctx, &p.Batch).Close()
		switch {
		case err == nil:
			report(&p, group, statements)
			return nil
		case tries == conflictTries || !conflict(err):
			return fmt.Errorf("append: %w", explain(err))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("append: %w", err)
		case <-time.After(rand.N(time.Duration(tries) * 5 * time.Millisecond)):
		}
	}
}

// report sets the results of each write of a group.
func report(p *pipeline, group []*write, statements []statement) {
	var written []Written
	for _, request := range group {
		written = append(written, make([]Written, len(request.rows))...)
	}
	p.report(statements, func(index int, id string, already bool) { written[index] = Written{id, already} })
	for _, request := range group {
		n := len(request.rows)
		request.written, written = written[:n:n], written[n:]
	}
}
