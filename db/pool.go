package db

import (
	"context"
	"fmt"
	"maps"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// session is what the connections of [Open] have of PostgreSQL's settings, whatever the role or the database says. Without
// client_encoding texts would come in the encoding of somebody's ALTER ROLE, and extra_float_digits decides about the digits
// of numbers wherever PostgreSQL writes them as text. An isolation other than read committed costs conflicts and buys nothing
// here. JIT: see Open.
var session = map[string]string{
	"application_name":              "chatfeed",
	"client_encoding":               "UTF8",
	"default_transaction_isolation": "read committed",
	"extra_float_digits":            "1",
	"jit":                           "off",
}

// Open makes a connection pool for a PostgreSQL URL or keyword string (pool_max_conns and the other settings of
// pgxpool may stand in it). It does not connect yet. The caller closes the pool.
//
// It turns PostgreSQL's JIT compiler off for these connections, unless the URL sets jit itself: the planner takes the
// feed's batch reads for large, and compiling one costs a hundred times what running it does. A pool that only this package
// uses should also have enable_seqscan=off: PostgreSQL keeps the plans that it has made when the tables were small.
//
// The URL may lead through a pooler in transaction mode, such as PgBouncer of any version. The first connection finds out;
// statements are then not prepared, and no parameters are sent at the start that a pooler would refuse, besides those that
// stand in the URL. What a [Source] needs of them goes along with each of its queries.
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

// setSession adds the settings of a session to what is given.
func setSession(cfg *pgx.ConnConfig) {
	for name, value := range session {
		if _, ok := cfg.RuntimeParams[name]; !ok {
			cfg.RuntimeParams[name] = value
		}
	}
}
