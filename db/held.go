package db

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"chatfeed/db/internal/dbsqlc"
)

// alonePatience is how long one who writes alone waits for a workflow before others who do get their turn.
const alonePatience = time.Second

// errHeld tells a caller that its workflow is held by another transaction, and that it has to write on its own.
var errHeld = errors.New("the workflow is held by another transaction")

// releaseHeld takes out of a group those who write to workflows that other transactions hold, and returns the rest.
func (w *Writer) releaseHeld(group []*write) []*write {
	ctx, cancel := context.WithTimeout(context.Background(), commitTimeout)
	defer cancel()
	var workflows []string
	for _, request := range group {
		for _, r := range request.rows {
			workflows = append(workflows, r.workflowID)
		}
	}
	held, err := dbsqlc.New(w.pool).LockedWorkflows(ctx, workflows)
	var free []*write
	for _, request := range group {
		switch {
		case err != nil:
			request.done <- fmt.Errorf("append: find held workflows: %w", err)
		case slices.ContainsFunc(request.rows, func(r row) bool { return slices.Contains(held, r.workflowID) }):
			request.done <- errHeld
		default:
			free = append(free, request)
		}
	}
	return free
}

// writeAlone writes in the caller's own goroutine, a second at a time, until the workflow is free or ctx ends. So many may
// do so at once that the groups always find a connection.
func (w *Writer) writeAlone(ctx context.Context, request *write) error {
	for {
		select {
		case w.alone <- struct{}{}:
		case <-ctx.Done():
			return fmt.Errorf("append: another transaction holds the workflow: %w", context.Cause(ctx))
		}
		err := w.transact(ctx, plan(slices.Clone(request.rows)), alonePatience)
		<-w.alone
		if !lockWait(err) {
			return err
		}
	}
}

// lockWait reports whether the transaction has waited for a lock as long as it may.
func lockWait(err error) bool { return sqlState(err) == "55P03" }

// pipeline queues statements instead of running them. Sent together they are one transaction and one round trip.
type pipeline struct{ pgx.Batch }

// Exec implements [dbsqlc.DBTX].
func (p *pipeline) Exec(_ context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	p.Queue(sql, args...)
	return pgconn.CommandTag{}, nil
}

// Query implements [dbsqlc.DBTX]; nothing that is written reads.
func (p *pipeline) Query(context.Context, string, ...any) (pgx.Rows, error) {
	return nil, errors.New("db: a pipeline does not read")
}

// QueryRow implements [dbsqlc.DBTX]; nothing that is written reads.
func (p *pipeline) QueryRow(context.Context, string, ...any) pgx.Row { return nil }
