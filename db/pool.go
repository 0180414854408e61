package db

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Open makes a connection pool for a PostgreSQL URL or keyword string (pool_max_conns and the other settings of
// pgxpool may stand in it). It does not connect yet. The caller closes the pool.
//
// It turns PostgreSQL's JIT compiler off for these connections, unless the URL sets jit itself: the planner takes the
// feed's batch reads for large, and compiling one costs a hundred times what running it does. A pool that only this package
// uses should also have enable_seqscan=off: PostgreSQL keeps the plans that it has made when the tables were small.
func Open(ctx context.Context, url string) (*pgxpool.Pool, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("read the database URL: %w", err)
	}
	params := cfg.ConnConfig.RuntimeParams
	for name, value := range map[string]string{"jit": "off", "application_name": "chatfeed"} {
		if _, ok := params[name]; !ok {
			params[name] = value
		}
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("make the connection pool: %w", err)
	}
	return pool, nil
}
