package db

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"chatfeed/db/internal/dbsqlc"
)

const (
	// flushers is how many transactions a Writer has under way at once: while one waits for its commit, the next inserts.
	flushers = 2
	// A group holds at most this many rows and, beyond its first write, bytes.
	groupRows  = 1000
	groupBytes = 4 << 20
	// commitTimeout bounds a transaction on a database that no longer answers.
	commitTimeout = 30 * time.Second
	// groupPatience is how long a group waits for a workflow that another transaction holds.
	groupPatience = 100 * time.Millisecond
	// conflictTries is how often a group is tried that PostgreSQL has ended for a deadlock or a failed serialization.
	conflictTries = 10
)

// ErrWriterClosed is returned by [Writer.Write] after [Writer.Close].
var ErrWriterClosed = errors.New("db: writer is closed")

// Writer appends items for many callers at once. It commits together what they have queued: PostgreSQL commits one
// notifying transaction at a time, so a commit for each caller would make them all wait for each other. There is no
// timer in it; a group is what arrived during the commits before.
//
// A workflow that some other transaction holds makes wait who writes to it, and nobody else: the group goes on without
// those callers, and they wait on their own.
//
// Its methods may be called from any goroutine.
type Writer struct {
	pool    *pgxpool.Pool
	arrived *sync.Cond // queue is not empty, or closed
	running sync.WaitGroup
	alone   chan struct{} // has room for those who write alone

	mu     sync.Mutex
	queue  []*write
	closed bool
}

// write is one caller's items on their way.
type write struct {
	ctx  context.Context //nolint:containedctx // the caller's, to leave out what it no longer waits for
	rows []row
	size int
	done chan error // of capacity one
}

// NewWriter makes a writer on the pool, which stays the caller's. The caller must Close the writer.
func NewWriter(pool *pgxpool.Pool) *Writer {
	w := &Writer{pool: pool, alone: make(chan struct{}, max(1, pool.Config().MaxConns/4))}
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
func (w *Writer) Write(ctx context.Context, items ...Item) error {
	rows, err := checked(items)
	if err != nil || len(rows) == 0 {
		return err
	}
	request := &write{ctx: ctx, rows: rows, done: make(chan error, 1)}
	for _, r := range rows {
		request.size += len(r.metadata) + r.size()
	}
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return ErrWriterClosed
	}
	w.queue = append(w.queue, request)
	w.mu.Unlock()
	w.arrived.Signal()
	select {
	case err := <-request.done:
		if errors.Is(err, errHeld) {
			return w.writeAlone(ctx, request)
		}
		return err
	case <-ctx.Done():
		return fmt.Errorf("append: outcome unknown: %w", context.Cause(ctx))
	}
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
	}
}

// take blocks until there are writes and returns as many as make a group, or nil when the writer is closed and empty.
func (w *Writer) take() []*write {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		for len(w.queue) == 0 {
			if w.closed {
				return nil
			}
			w.arrived.Wait()
		}
		var group []*write
		var rows, bytes int
		for len(w.queue) > 0 {
			next := w.queue[0]
			if len(group) > 0 && (rows+len(next.rows) > groupRows || bytes+next.size > groupBytes) {
				break
			}
			w.queue = w.queue[1:]
			if next.ctx.Err() != nil {
				continue // its caller has gone
			}
			group = append(group, next)
			rows += len(next.rows)
			bytes += next.size
		}
		if len(group) > 0 {
			return group
		}
	}
}

// commit writes a group and tells each caller. A group that PostgreSQL refuses for what is in it, or that waits for a
// workflow of which only the waiting tells that it is held, is halved until the one it is about stands alone.
func (w *Writer) commit(group []*write) {
	err := w.try(group)
	if lockWait(err) {
		free := w.releaseHeld(group)
		switch {
		case len(free) == 0:
			return
		case len(free) < len(group):
			w.commit(free)
			return
		case len(group) == 1: // held by a transaction that has made the workflow and not committed
			err = errHeld
		}
	}
	if len(group) > 1 && (lockWait(err) || Refused(err)) {
		w.commit(group[:len(group)/2])
		w.commit(group[len(group)/2:])
		return
	}
	for _, request := range group {
		request.done <- err
	}
}

// try writes a group in one transaction, again if PostgreSQL ends it for a conflict with others.
func (w *Writer) try(group []*write) error {
	ctx, cancel := context.WithTimeout(context.Background(), commitTimeout)
	defer cancel()
	var rows []row
	for _, request := range group {
		rows = append(rows, request.rows...)
	}
	return w.transact(ctx, plan(rows), groupPatience)
}

// transact runs the statements in one transaction and one round trip, again if PostgreSQL ends it for a conflict.
func (w *Writer) transact(ctx context.Context, statements []statement, patience time.Duration) error {
	for tries := 1; ; tries++ {
		var p pipeline
		if err := dbsqlc.New(&p).LimitLockWait(ctx, patience.String()); err != nil {
			return err
		}
		if err := appendRows(ctx, &p, statements); err != nil {
			return err
		}
		err := w.pool.SendBatch(ctx, &p.Batch).Close()
		if err == nil || tries == conflictTries || !conflict(err) {
			return wrap(err)
		}
		select {
		case <-ctx.Done():
			return wrap(err)
		case <-time.After(rand.N(time.Duration(tries) * 5 * time.Millisecond)):
		}
	}
}

func wrap(err error) error {
	if err != nil {
		return fmt.Errorf("append: %w", err)
	}
	return nil
}

// Refused reports whether PostgreSQL has refused the data itself, so that to try again is in vain: SQLSTATE classes 22
// (data exception), 23 (integrity constraint violation) and 54 (limit exceeded).
func Refused(err error) bool {
	state := sqlState(err)
	return strings.HasPrefix(state, "22") || strings.HasPrefix(state, "23") || strings.HasPrefix(state, "54")
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
