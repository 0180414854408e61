package bench

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Lab is where a scenario runs: a database with the schema, and programs in processes of their own.
type Lab struct {
	DatabaseURL string
	Pool        *pgxpool.Pool // of db.Open
	// Short selects the smallest run that shows that the scenario works; its results mean nothing. Tests use it.
	Short bool
	// Progress receives a line of progress.
	Progress func(format string, args ...any)

	// Env is added to the environment of programs, which are this one with other arguments; a binary that is not the chatfeed program
	// knows by it that it is to act as one.
	Env []string
}

// pool opens a further pool like the lab's with the given number of connections, all established, or as many as the
// server has left. The caller closes it.
func (l *Lab) pool(ctx context.Context, connections int) (*pgxpool.Pool, error) {
	var free int
	if err := l.Pool.QueryRow(ctx, `select current_setting('max_connections')::int
		- current_setting('superuser_reserved_connections')::int - count(*)::int - 16
		from pg_stat_activity where backend_type = 'client backend'`).Scan(&free); err != nil {
		return nil, fmt.Errorf("count the free connections: %w", err)
	}
	config := l.Pool.Config()
	config.MaxConns = int32(max(1, min(connections, free)))
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("make a connection pool: %w", err)
	}
	var warm []*pgxpool.Conn
	for range config.MaxConns {
		conn, err := pool.Acquire(ctx)
		if err != nil {
			break
		}
		warm = append(warm, conn)
	}
	for _, conn := range warm {
		conn.Release()
	}
	if len(warm) < int(config.MaxConns) {
		pool.Close()
		return nil, fmt.Errorf("connect %d times: only %d worked", config.MaxConns, len(warm))
	}
	return pool, nil
}
