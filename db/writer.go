package db

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// flushers is how many transactions a Writer has under way at once: while one waits for its commit, the next inserts.
	flushers = 2
	// A group holds at most this many rows and, beyond its first write, bytes.
	groupRows  = 1000
	groupBytes = 4 << 20
	// commitTimeout bounds a transaction on a database that no longer answers.
	commitTimeout = 30 * time.Second
	// conflictTries is how often a group is tried that PostgreSQL has ended for a deadlock or a failed serialization.
	conflictTries = 10
)

// ErrWriterClosed is returned by [Writer.Write] after [Writer.Close].
var ErrWriterClosed = errors.New("db: writer is closed")

// Writer appends items for many callers at once. It commits together what they have queued: PostgreSQL commits one
// notifying transaction at a time, so a commit for each caller would make them all wait for each other. There is no
// timer in it; a group is what arrived during the commits before.
//
// A group waits for the workflows that it writes to. So a transaction of another program that has written to a workflow
// and stays open holds up the writer as soon as someone writes to that workflow, and after 30 s fails who waits with it;
// idle_in_transaction_session_timeout is PostgreSQL's remedy for such transactions.
//
// Its methods may be called from any goroutine.
type Writer struct {
	pool    *pgxpool.Pool
	arrived *sync.Cond // queue is not empty, or closed
	running sync.WaitGroup

	mu     sync.Mutex
	queue  []*write
	closed bool
}

// write is one caller's items on their way.
type write struct {
	rows []row
	size int
	done chan error // of capacity one
}

// NewWriter makes a writer on the pool, which stays the caller's. The caller must Close the writer.
func NewWriter(pool *pgxpool.Pool) *Writer {
	w := &Writer{pool: pool}
	w.arrived = sync.NewCond(&w.mu)
	for range flushers {
		w.running.Go(w.flush)
	}
	return w
}

// Write appends items, all or none, and returns when they are durable. The items of one workflow keep the order in
// which they are given; an item whose ID the workflow already has is left as it was.
//
// The error is the caller's own: an [InvalidItemError], what PostgreSQL has against these items, or what has become of
// the database. When ctx ends or the connection is lost during the commit, the items may yet have been written; with
// IDs of the caller's own, writing them again is safe.
func (w *Writer) Write(ctx context.Context, items ...Item) ([]Written, error) {
	rows, err := checked(items)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	written := fresh(rows)
	request, err := w.enqueue(rows)
	if err != nil {
		return nil, err
	}
	select {
	case err := <-request.done:
		if err != nil {
			return nil, err
		}
		return written, nil
	case <-ctx.Done():
		if w.withdraw(request) {
			return nil, fmt.Errorf("append: not written: %w", context.Cause(ctx))
		}
		return nil, fmt.Errorf("append: outcome unknown: %w", context.Cause(ctx))
	}
}

func (w *Writer) enqueue(rows []row) (*write, error) {
	request := &write{rows: rows, done: make(chan error, 1)}
	for _, r := range rows {
		request.size += len(r.metadata) + r.size()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil, ErrWriterClosed
	}
	w.queue = append(w.queue, request)
	w.arrived.Signal()
	return request, nil
}

// withdraw takes a write out of the queue and reports whether it was still there.
func (w *Writer) withdraw(request *write) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	at := slices.Index(w.queue, request)
	if at < 0 {
		return false
	}
	w.queue = slices.Delete(w.queue, at, at+1)
	return true
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
		w.commit(group)
		runtime.Gosched() // callers that have just been answered and write again join the next group
	}
}

// take blocks until there are writes and returns as many as make a group, or nil when the writer is closed and empty.
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

// commit writes a group and tells each caller. A group that PostgreSQL refuses for what is in it is halved until the
// refused write stands alone.
func (w *Writer) commit(group []*write) {
	err := w.try(group)
	if len(group) > 1 && ofOneRow(err) {
		w.commit(group[:len(group)/2])
		w.commit(group[len(group)/2:])
		return
	}
	for _, request := range group {
		request.done <- err
	}
}

// try writes a group in one transaction and one round trip, again if PostgreSQL ends it for a conflict with others.
func (w *Writer) try(group []*write) error {
	ctx, cancel := context.WithTimeout(context.Background(), commitTimeout)
	defer cancel()
	var rows []row
	for _, request := range group {
		rows = append(rows, request.rows...)
	}
	statements := plan(rows)
	for tries := 1; ; tries++ {
		var p pipeline
		if err := appendRows(ctx, &p, statements); err != nil {
			return err
		}
		err := w.pool.SendBatch(ctx, &p.Batch).Close()
		switch {
		case err == nil:
			return nil
		case tries == conflictTries || !conflict(err):
			return fmt.Errorf("append: %w", err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("append: %w", err)
		case <-time.After(rand.N(time.Duration(tries) * 5 * time.Millisecond)):
		}
	}
}

// Refused reports whether PostgreSQL has refused the data itself, so that to try again is in vain: SQLSTATE classes 22
// (data exception), 23 (integrity constraint violation) and 54 (limit exceeded).
func Refused(err error) bool {
	state := sqlState(err)
	return strings.HasPrefix(state, "22") || strings.HasPrefix(state, "23") || strings.HasPrefix(state, "54")
}

// ofOneRow reports whether an error may be about one row of a group, such as what a user's own trigger raises, and not
// about the connection, the transaction, the server or what it lacks: SQLSTATE classes 08, 25, 40, 53, 57 and 58.
func ofOneRow(err error) bool {
	state := sqlState(err)
	return state != "" && !slices.Contains([]string{"08", "25", "40", "53", "57", "58"}, state[:2])
}

// conflict reports whether the transaction may succeed when it is run again: a failed serialization or a deadlock.
func conflict(err error) bool {
	state := sqlState(err)
	return state == "40001" || state == "40P01"
}

func sqlState(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code
	}
	return ""
}
