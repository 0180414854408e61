package db

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

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
