package db

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"chatfeed/db/internal/dbsqlc"
	"chatfeed/feed"
)

// Lists are limited, so that they do not delay streams.
const (
	listsAtOnce = 2
	listTimeout = 5 * time.Second
)

// Lister lists workflows. Its methods may be called from any goroutine.
type Lister struct {
	q     *dbsqlc.Queries
	turns chan struct{}
}

// NewLister makes a lister that reads through pool, which stays the caller's. It uses at most two connections.
func NewLister(pool *pgxpool.Pool) *Lister {
	return &Lister{q: dbsqlc.New(reads{pool}), turns: make(chan struct{}, listsAtOnce)}
}

// Workflows returns at most limit workflows that have items, by time of activity, newest first, that come after the given one
// in that order; zero means from the newest. The time is at most a minute before the head. It blocks for the query, and for
// its turn if there are many callers; the error is [feed.ErrBusy] if that takes too long.
func (l *Lister) Workflows(ctx context.Context, after feed.Workflow, limit int) ([]feed.Workflow, error) {
	if err := l.turn(ctx); err != nil {
		return nil, fmt.Errorf("list workflows: %w", err)
	}
	defer func() { <-l.turns }()
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	if after.Active == 0 {
		after.Active = feed.End
	}
	rows, err := l.q.Workflows(ctx, dbsqlc.WorkflowsParams{
		BeforeActive: timestamp(after.Active),
		BeforeID:     after.ID,
		MaxWorkflows: int32(min(limit, 1<<20)), //nolint:gosec // bounded
	})
	if err != nil {
		return nil, fmt.Errorf("list workflows: %w", err)
	}
	workflows := make([]feed.Workflow, len(rows))
	for i, row := range rows {
		workflows[i] = workflow(row)
	}
	return workflows, nil
}

// MessagesAfter returns how many messages there are after each position, in their order, at most the given number for each; later
// versions of a message are not counted. It reads no bodies. It blocks like Workflows, and with the same error.
func (l *Lister) MessagesAfter(ctx context.Context, at []feed.Position, most int) ([]int, error) {
	if err := l.turn(ctx); err != nil {
		return nil, fmt.Errorf("count messages: %w", err)
	}
	defer func() { <-l.turns }()
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	params := dbsqlc.MessagesAfterParams{Most: int32(min(most, 1<<20))} //nolint:gosec // bounded
	for _, position := range at {
		params.WorkflowIds = append(params.WorkflowIds, position.WorkflowID)
		params.Cursors = append(params.Cursors, timestamp(position.Cursor))
	}
	rows, err := l.q.MessagesAfter(ctx, params)
	if err != nil {
		return nil, fmt.Errorf("count messages: %w", err)
	}
	counts := make([]int, len(at))
	for _, row := range rows {
		counts[row.Position-1] = int(row.Messages)
	}
	return counts, nil
}

// turn waits for a turn to read, which the caller gives back by receiving from turns.
func (l *Lister) turn(ctx context.Context) error {
	timeout := time.NewTimer(listTimeout)
	defer timeout.Stop()
	select {
	case l.turns <- struct{}{}:
		return nil
	case <-timeout.C:
		return feed.ErrBusy
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Named returns those of the given workflows, at most 1,024, that have items, by id. Unlike Workflows it does not wait for a turn: it
// is for one caller that keeps a list for many.
func (l *Lister) Named(ctx context.Context, workflowIDs []string) (map[string]feed.Workflow, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	rows, err := l.q.WorkflowsNamed(ctx, workflowIDs)
	if err != nil {
		return nil, fmt.Errorf("read workflows: %w", err)
	}
	named := make(map[string]feed.Workflow, len(rows))
	for _, row := range rows {
		named[row.ID] = workflow(dbsqlc.WorkflowsRow(row))
	}
	return named, nil
}

func workflow(row dbsqlc.WorkflowsRow) feed.Workflow {
	return feed.Workflow{
		ID: row.ID, Active: cursor(row.Active), Head: cursor(row.Head),
		Status: row.Status, Progress: row.Progress, Final: row.Final != 0,
	}
}
