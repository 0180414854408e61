package db

import (
	"context"
	"fmt"
	"maps"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// session is the settings of the connections of [Open], regardless of the settings of the role or the database. Without
// client_encoding texts would have the encoding of an ALTER ROLE, and extra_float_digits decides the digits of numbers that
// PostgreSQL formats as text. An isolation level other than read committed causes conflicts and has no benefit here. For
// JIT see Open.
var session = map[string]string{
	"application_name":              "chatfeed",
	"client_encoding":               "UTF8",
	"default_transaction_isolation": "read committed",
	"extra_float_digits":            "1",
	"jit":                           "off",
}

// Open makes a connection pool for a PostgreSQL URL or keyword string, which may have pool_max_conns and the other settings
// of pgxpool. It does not connect yet. The caller closes the pool.
//
// It turns PostgreSQL's JIT compiler off for these connections, unless the URL sets jit itself: the planner
// overestimates the feed's batch reads, and compiling one costs a hundred times as much as running it. A pool that only this
// package uses should also have enable_seqscan=off: PostgreSQL keeps plans that it made when the tables were small.
//
// The URL may be that of a pooler in transaction mode, such as PgBouncer of any version. The first connection detects it;
// statements are then not prepared, and no startup parameters are sent that a pooler would refuse, except those in the URL.
// A [Source] sends the settings that it needs with each of its queries.
func Open(ctx context.Context, url string) (*pgxpool.Pool, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("read the database URL: %w", err)
	}
	given := maps.Clone(cfg.ConnConfig.RuntimeParams)
	setSession(cfg.ConnConfig)
	pooler := &pooler{given: given}
	cfg.BeforeConnect = pooler.beforeConnect
	cfg.AfterConnect = pooler.afterConnect
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("make the connection pool: %w", err)
	}
	return pool, nil
}

// setSession adds the settings of a session that are not set already.
func setSession(cfg *pgx.ConnConfig) {
	for name, value := range session {
		if _, ok := cfg.RuntimeParams[name]; !ok {
			cfg.RuntimeParams[name] = value
		}
	}
}
