package db

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// pooler detects whether a pool's connections go through a pooler, such as PgBouncer. In transaction mode, each transaction
// may use another connection to PostgreSQL, so no session state is kept: no prepared statements and no settings.
type pooler struct {
	given map[string]string // parameters of the URL
	found atomic.Int32
}

const (
	unknown int32 = iota
	direct
	pooled
)

// tracked are the parameters that poolers keep for each client.
var tracked = []string{"application_name", "client_encoding"}

// pooledKey marks a connection that goes through a pooler.
const pooledKey = "chatfeed.pooled"

// beforeConnect adapts the config of a connection if it goes through a pooler. Until that is known, it checks.
func (p *pooler) beforeConnect(ctx context.Context, cfg *pgx.ConnConfig) error {
	behind := cfg.Copy()
	for name := range behind.RuntimeParams {
		if _, ok := p.given[name]; !ok {
			delete(behind.RuntimeParams, name)
		}
	}
	for _, name := range tracked {
		if value, ok := cfg.RuntimeParams[name]; ok {
			behind.RuntimeParams[name] = value
		}
	}
	if behind.DefaultQueryExecMode == pgx.QueryExecModeCacheStatement {
		// A statement is described once, and then sent in full with its parameters.
		behind.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	}
	if p.found.Load() == unknown {
		is, err := leadsThroughPooler(ctx, behind)
		if err != nil {
			return err
		}
		p.found.Store(map[bool]int32{false: direct, true: pooled}[is])
	}
	if p.found.Load() == pooled {
		cfg.RuntimeParams, cfg.DefaultQueryExecMode = behind.RuntimeParams, behind.DefaultQueryExecMode
	}
	return nil
}

// afterConnect marks the connection for [reads].
func (p *pooler) afterConnect(_ context.Context, conn *pgx.Conn) error {
	if p.found.Load() == pooled {
		conn.PgConn().CustomData()[pooledKey] = true
	}
	return nil
}

// leadsThroughPooler connects and compares the process id of the handshake with that of the process that runs queries. A
// pooler uses process ids of its own, to identify cancel requests.
func leadsThroughPooler(ctx context.Context, cfg *pgx.ConnConfig) (is bool, err error) {
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return false, err
	}
	defer func() { _ = conn.Close(ctx) }()
	results, err := conn.PgConn().Exec(ctx, "select pg_catalog.pg_backend_pid()").ReadAll()
	if err != nil || len(results) != 1 || len(results[0].Rows) != 1 {
		return false, fmt.Errorf("read the process id of the backend: %w", err)
	}
	return string(results[0].Rows[0][0]) != strconv.FormatUint(uint64(conn.PgConn().PID()), 10), nil
}

// reads is the [dbsqlc.DBTX] for reads. Through a pooler, the settings that a read needs are sent with it in one pipeline,
// which is one transaction, and end with it. The results do not depend on other settings, because they are sent in
// PostgreSQL's binary format.
type reads struct{ pool *pgxpool.Pool }

// Exec implements [dbsqlc.DBTX].
func (r reads) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	return r.pool.Exec(ctx, sql, args...)
}

// QueryRow implements [dbsqlc.DBTX].
func (r reads) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	return r.pool.QueryRow(ctx, sql, args...)
}

// Query implements [dbsqlc.DBTX]. The rows have to be closed.
func (r reads) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	conn, err := r.pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	if conn.Conn().PgConn().CustomData()[pooledKey] == nil {
		rows, err := conn.Query(ctx, sql, args...)
		if err != nil {
			conn.Release()
			return nil, err
		}
		return heldRows{rows, conn.Release}, nil
	}
	var batch pgx.Batch
	batch.Queue("select pg_catalog.set_config('jit', 'off', true)")
	batch.Queue(sql, args...)
	results := conn.SendBatch(ctx, &batch)
	end := func() {
		_ = results.Close() // an error is already that of the rows
		conn.Release()
	}
	if _, err := results.Exec(); err != nil {
		end()
		return nil, err
	}
	rows, err := results.Query()
	if err != nil {
		end()
		return nil, err
	}
	return heldRows{rows, end}, nil
}

// heldRows are rows that hold a connection until they are closed.
type heldRows struct {
	pgx.Rows
	end func()
}

// Close releases the connection. It must be called once.
func (r heldRows) Close() {
	r.Rows.Close()
	r.end()
}
