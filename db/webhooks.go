package db

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"chatfeed/db/internal/dbsqlc"
	"chatfeed/feed"
)

// DeadLetter is a delivery of a webhook that failed for good.
type DeadLetter struct {
	ID         string // of the delivery
	WorkflowID string
	Request    json.RawMessage // what was to be delivered
	Error      string          // why the last attempt failed
	Attempts   int             // zero if it is not known
	Since      time.Time       // when it was buried
}

// Webhooks reads the cursors of what webhooks deliver, and keeps the dead letters. Its methods may be called from any goroutine;
// each takes at most ten seconds.
type Webhooks struct{ q *dbsqlc.Queries }

// NewWebhooks makes it on a pool, which stays the caller's.
func NewWebhooks(pool *pgxpool.Pool) *Webhooks { return &Webhooks{dbsqlc.New(pool)} }

// Newest returns the cursor of the newest of some progress items of a workflow, or zero if the workflow has none of them.
func (w *Webhooks) Newest(ctx context.Context, workflowID string, ids []string) (feed.Cursor, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	newest, err := w.q.NewestProgress(ctx, dbsqlc.NewestProgressParams{WorkflowID: workflowID, Ids: ids})
	if err != nil {
		return 0, fmt.Errorf("read the cursor of progress: %w", explainWebhooks(err))
	}
	if !newest.Valid {
		return 0, nil
	}
	return cursor(newest), nil
}

// Bury adds a dead letter, unless there is one with its ID. Since is not taken from it.
func (w *Webhooks) Bury(ctx context.Context, letter DeadLetter) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	err := w.q.BuryDelivery(ctx, dbsqlc.BuryDeliveryParams{
		ID: letter.ID, WorkflowID: letter.WorkflowID, Request: letter.Request, Error: letter.Error,
		Attempts: int32(min(letter.Attempts, 1<<30)), //nolint:gosec // bounded
	})
	if err != nil {
		return fmt.Errorf("keep a dead letter: %w", explainWebhooks(err))
	}
	return nil
}

// After returns the oldest dead letters that are later than one, or the first for the zero letter.
func (w *Webhooks) After(ctx context.Context, letter DeadLetter, limit int) ([]DeadLetter, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	rows, err := w.q.DeadLetters(ctx, dbsqlc.DeadLettersParams{
		AfterSince: pgtype.Timestamptz{Time: letter.Since, Valid: true}, AfterID: letter.ID,
		MaxLetters: int32(min(limit, 1<<20)), //nolint:gosec // bounded
	})
	if err != nil {
		return nil, fmt.Errorf("read the dead letters: %w", explainWebhooks(err))
	}
	letters := make([]DeadLetter, len(rows))
	for i, row := range rows {
		letters[i] = newDeadLetter(row)
	}
	return letters, nil
}

// Get returns a dead letter; found is false if there is none with this ID.
func (w *Webhooks) Get(ctx context.Context, id string) (letter DeadLetter, found bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	row, err := w.q.DeadLetter(ctx, id)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return DeadLetter{}, false, nil
	case err != nil:
		return DeadLetter{}, false, fmt.Errorf("read a dead letter: %w", explainWebhooks(err))
	}
	return newDeadLetter(row), true, nil
}

// Fail counts one more failed attempt of a dead letter, and keeps the reason.
func (w *Webhooks) Fail(ctx context.Context, id, reason string) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	if err := w.q.FailDeadLetter(ctx, dbsqlc.FailDeadLetterParams{ID: id, Error: reason}); err != nil {
		return fmt.Errorf("change a dead letter: %w", explainWebhooks(err))
	}
	return nil
}

// Drop removes a dead letter, and reports whether it was there.
func (w *Webhooks) Drop(ctx context.Context, id string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	n, err := w.q.DropDeadLetter(ctx, id)
	if err != nil {
		return false, fmt.Errorf("drop a dead letter: %w", explainWebhooks(err))
	}
	return n > 0, nil
}

// DropBefore removes the dead letters that were buried before a time, and returns their number.
func (w *Webhooks) DropBefore(ctx context.Context, t time.Time) (int64, error) {
	n, err := w.q.DropDeadLetters(ctx, pgtype.Timestamptz{Time: t, Valid: true})
	if err != nil {
		return 0, fmt.Errorf("drop dead letters: %w", explainWebhooks(err))
	}
	return n, nil
}

func newDeadLetter(row dbsqlc.ChatfeedWebhookDeadLetter) DeadLetter {
	return DeadLetter{
		ID: row.ID, WorkflowID: row.WorkflowID, Request: row.Request, Error: row.Error, Attempts: int(row.Attempts), Since: row.Since.Time,
	}
}

// explainWebhooks is explain, where a missing privilege is one that only webhooks need.
func explainWebhooks(err error) error {
	if sqlState(err) == "42501" {
		return fmt.Errorf("the database role lacks a privilege; docs/operations.md has the grants that webhooks need: %w", err)
	}
	return explain(err)
}
