package watcher

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// lockTimeout bounds what is done on the connection at a time, connecting included.
	lockTimeout = 5 * time.Second
	// locksAtOnce is how many locks one statement takes.
	locksAtOnce = 256
)

// errPooler says that locks need a session.
var errPooler = errors.New("the connection leads through a pooler, which shares sessions, but the locks need one of their own; " +
	"serve --listen-database-url takes a URL that leads to PostgreSQL directly")

// AdvisoryLocks is [Locks] by PostgreSQL's advisory locks, on one connection of its own. PostgreSQL releases them when the session
// ends: at once when the process has ended, and within 15 s when its machine is gone.
//
// A lock takes a place in PostgreSQL's lock table, which all sessions share. No more are taken while it is half full: then a
// warning is logged, and the workflows are watched when there is room.
type AdvisoryLocks struct {
	config *pgx.ConnConfig
	log    *slog.Logger
	conn   *pgx.Conn        // nil if there is none
	held   map[int64]string // the workflows whose locks are held, by key
	full   bool             // and that is logged
}

// NewAdvisoryLocks makes locks on the database of config, which must lead to PostgreSQL directly. It does not connect yet.
func NewAdvisoryLocks(config *pgx.ConnConfig, log *slog.Logger) *AdvisoryLocks {
	config = config.Copy()
	for _, name := range []string{"jit", "extra_float_digits", "default_transaction_isolation", "search_path", "enable_seqscan"} {
		delete(config.RuntimeParams, name) // a pooler would refuse them, with an error that does not help
	}
	return &AdvisoryLocks{config: config, log: log, held: make(map[int64]string)}
}

// key is the key of a workflow's lock. It is a hash that nobody can make collide: whoever may follow any id could otherwise keep
// another workflow from being watched.
func key(workflowID string) int64 {
	sum := sha256.Sum256([]byte("chatfeed watcher\x00" + workflowID))
	return int64(binary.BigEndian.Uint64(sum[:])) //nolint:gosec // any 64 bits
}

// Lock implements [Locks].
func (l *AdvisoryLocks) Lock(ctx context.Context, workflowIDs []string) (got []string, err error) {
	err = l.do(ctx, func(ctx context.Context) error {
		room, err := l.room(ctx)
		if err != nil {
			return err
		}
		wanted := make(map[int64]string)
		for _, id := range workflowIDs {
			if k := key(id); l.held[k] == "" && len(wanted) < room {
				wanted[k] = id
			}
		}
		for keys := range slices.Chunk(slices.Collect(maps.Keys(wanted)), locksAtOnce) {
			locked, err := l.each(ctx, "pg_try_advisory_lock", keys)
			if err != nil {
				return err
			}
			for _, k := range locked {
				l.held[k] = wanted[k]
				got = append(got, wanted[k])
			}
		}
		l.noteRoom(ctx, room < len(workflowIDs))
		return nil
	})
	return got, err
}

// Unlock implements [Locks].
func (l *AdvisoryLocks) Unlock(ctx context.Context, workflowIDs []string) error {
	return l.do(ctx, func(ctx context.Context) error {
		var keys []int64
		for _, id := range workflowIDs {
			if k := key(id); l.held[k] == id {
				keys = append(keys, k)
				delete(l.held, k)
			}
		}
		unlocked, err := l.each(ctx, "pg_advisory_unlock", keys)
		if err == nil && len(unlocked) < len(keys) {
			err = errors.New("locks were not held any more")
		}
		return err
	})
}

// Check implements [Locks].
func (l *AdvisoryLocks) Check(ctx context.Context) error {
	return l.do(ctx, func(ctx context.Context) error {
		_, err := l.conn.Exec(ctx, "select")
		return err
	})
}

// Close implements [Locks].
func (l *AdvisoryLocks) Close() {
	if l.conn != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = l.conn.Close(ctx)
	}
	l.conn = nil
	clear(l.held)
}

// do calls with the connection, and connects before if need be. After an error the connection is closed, and with it the locks.
func (l *AdvisoryLocks) do(ctx context.Context, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, lockTimeout)
	defer cancel()
	if l.conn == nil {
		if err := l.connect(ctx); err != nil {
			return err
		}
	}
	err := call(ctx)
	if err != nil {
		l.Close() //nolint:contextcheck // ctx may have ended
	}
	return err
}

// connect makes a session that lasts as long as the process lives, and no longer: not ended for being idle, and ended when the
// machine of the process does not answer.
func (l *AdvisoryLocks) connect(ctx context.Context) error {
	conn, err := pgx.ConnectConfig(ctx, l.config)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	l.conn = conn
	var pid uint32
	err = conn.QueryRow(ctx, "select pg_catalog.pg_backend_pid()").Scan(&pid)
	if err == nil && pid != conn.PgConn().PID() { // a pooler has process ids of its own
		err = errPooler
	}
	if err == nil {
		_, err = conn.Exec(ctx, "set idle_session_timeout = 0; set tcp_keepalives_idle = 5; set tcp_keepalives_interval = 3; set tcp_keepalives_count = 3",
			pgx.QueryExecModeSimpleProtocol)
	}
	if err != nil {
		l.Close() //nolint:contextcheck // ctx may have ended
	}
	return err
}

// each calls a function of PostgreSQL with each key, and returns those for which it is true.
func (l *AdvisoryLocks) each(ctx context.Context, function string, keys []int64) ([]int64, error) {
	rows, err := l.conn.Query(ctx, "select k.key from pg_catalog.unnest($1::bigint[]) k(key) where pg_catalog."+function+"(k.key)", keys)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[int64])
}

// room returns how many locks may be taken until PostgreSQL's lock table is half full.
func (l *AdvisoryLocks) room(ctx context.Context) (int, error) {
	var perTransaction, connections, taken int
	err := l.conn.QueryRow(ctx, `select pg_catalog.current_setting('max_locks_per_transaction')::int,
		pg_catalog.current_setting('max_connections')::int, (select pg_catalog.count(*) from pg_catalog.pg_locks where not fastpath)`,
	).Scan(&perTransaction, &connections, &taken)
	return perTransaction*connections/2 - taken, err
}

func (l *AdvisoryLocks) noteRoom(ctx context.Context, full bool) {
	if full && !l.full {
		l.log.WarnContext(ctx, "PostgreSQL's lock table is half full, so some followed workflows are not watched; a higher max_locks_per_transaction makes room",
			"watched", len(l.held))
	}
	l.full = full
}
