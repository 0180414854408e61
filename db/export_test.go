package db

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Queued returns how many writes wait for a commit to begin.
func (w *Writer) Queued() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.queue)
}

// Enqueue queues a write and does not wait for it; written receives its result.
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

// Blocked returns how many workflows have blocked writes.
func (w *Writer) Blocked() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.blocked)
}

// Waiting returns how many writes wait for a blocked workflow.
func (w *Writer) Waiting(workflow string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.blocked[workflow])
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

// Note is a type of item for tests, with every kind of column.
type Note struct {
	WorkflowID string
	ID         string
	Note       string
	Mood       string
	Weight     float64
	StarCount  int64
	Source     json.RawMessage
	Metadata   json.RawMessage
}

var notes = newKind[Note]("note", "notes", "note_", []string{"note"},
	long("note", text1, func(n Note) string { return n.Note }),
	label("mood", text5, "calm", func(n Note) string { return n.Mood }),
	number("weight", number1, 0, 1000, "a number from 0 to 1000", func(n Note) float64 { return n.Weight }),
	whole("starCount", number3, func(n Note) int64 { return n.StarCount }),
	value("source", json2, func(n Note) json.RawMessage { return n.Source }),
)

func (Note) kind() *Kind { return notes }

func (n Note) key() key { return key{n.WorkflowID, n.ID, n.Metadata} }

func (n Note) with(workflowID, id string) Item {
	n.WorkflowID, n.ID = workflowID, id
	return n
}

// AddNotes makes notes a type of item until the returned function is called. Nobody else may read or write meanwhile.
func AddNotes() (remove func()) {
	before := kinds
	kinds = append(slices.Clone(kinds), notes)
	return func() { kinds = before }
}
