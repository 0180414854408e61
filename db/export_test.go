package db

import (
	"context"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Queued returns how many writes wait for a commit to begin.
func (w *Writer) Queued() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.queue)
}

// Enqueue queues a write and leaves it to itself; written tells what has become of it.
func (w *Writer) Enqueue(items ...Item) (written <-chan error, err error) {
	rows, err := checked(items)
	if err != nil {
		return nil, err
	}
	request, err := w.enqueue(rows)
	if err != nil {
		return nil, err
	}
	return request.done, nil
}

// Apart returns how many workflows have writes that wait apart.
func (w *Writer) Apart() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.apart)
}

// Waiting returns how many writes wait apart for a workflow, besides the one that is under way.
func (w *Writer) Waiting(workflow string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.apart[workflow])
}

// ReadSetting asks, as a [Source] reads, for a setting of PostgreSQL.
func ReadSetting(ctx context.Context, pool *pgxpool.Pool, name string) (value string, err error) {
	rows, err := reads{pool}.Query(ctx, "select pg_catalog.current_setting($1)", name)
	if err != nil {
		return "", err
	}
	defer rows.Close()
	for rows.Next() {
		if err := rows.Scan(&value); err != nil {
			return "", err
		}
	}
	return value, rows.Err()
}
