package db

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"chatfeed/db/internal/dbsqlc"
)

// pipeline queues statements instead of running them. Sent together they are one round trip and, outside of a
// transaction, one transaction. It collects the keys of the rows that the inserts have written.
type pipeline struct {
	pgx.Batch
	settings
	statement int // the number of the statement that is being queued
	written   map[rowKey]bool
}

// settings are what the inserts tell the triggers: see queries/append.sql.
type settings struct{ lock, patience string }

// rowKey identifies a row among those of a pipeline, as a statement is of one type.
type rowKey struct {
	statement      int
	workflowID, id string
}

// Exec implements [dbsqlc.DBTX].
func (p *pipeline) Exec(_ context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	p.Queue(sql, args...)
	return pgconn.CommandTag{}, nil
}

// Query implements [dbsqlc.DBTX] for inserts that return the keys of what they have written. Its rows are empty: there are
// none before the pipeline is sent.
func (p *pipeline) Query(_ context.Context, sql string, args ...any) (pgx.Rows, error) {
	statement := p.statement
	p.Queue(sql, args...).Query(func(rows pgx.Rows) error {
		key := rowKey{statement: statement}
		_, err := pgx.ForEachRow(rows, []any{&key.workflowID, &key.id}, func() error {
			p.written[key] = true
			return nil
		})
		return err
	})
	return noRows{}, nil
}

// QueryRow implements [dbsqlc.DBTX]; nothing that is written reads one row.
func (p *pipeline) QueryRow(context.Context, string, ...any) pgx.Row { return nil }

// insert queues the statements.
func (p *pipeline) insert(ctx context.Context, statements []statement) error {
	p.written = make(map[rowKey]bool)
	q := dbsqlc.New(p)
	for i, s := range statements {
		p.statement = i
		if err := s[0].insert(ctx, q, s, p.settings); err != nil {
			return fmt.Errorf("append %d of %T: %w", len(s), s[0].Item, err)
		}
		p.lock = "" // the first has locked them
	}
	return nil
}

// report says of each row of the statements whether it was there already. The rows' places lead to where.
func (p *pipeline) report(statements []statement, into func(place int, id string, already bool)) {
	for i, s := range statements {
		for _, r := range s {
			key := rowKey{i, r.workflowID, r.id}
			into(r.place, r.id, !p.written[key])
			delete(p.written, key) // what is given twice is there the second time
		}
	}
}

// noRows are [pgx.Rows] without any.
type noRows struct{ pgx.Rows }

func (noRows) Close()     {}
func (noRows) Next() bool { return false }
func (noRows) Err() error { return nil }
func (noRows) Scan(...any) error {
	return errors.New("db: there are no rows")
}
