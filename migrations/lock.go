package migrations

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/pressly/goose/v3/lock"
)

// lockID is the advisory lock that serialises runs of the migrations in one database: the eight bytes of "chatfeed" as a
// number.
const lockID = 0x6368617466656564

// retryLock is how often a waiting run tries to take the lock.
const retryLock = 200 * time.Millisecond

// locker is goose's lock, held by a transaction of its own that stays open during the run. With a pooler in transaction mode, a
// session's lock would remain, because the unlock may reach another session. A transaction keeps its connection, and its lock
// ends with it, whatever happens to this program.
//
// A waiting run holds no transaction: with a pooler, waiting runs could otherwise hold all connections that the running one
// needs.
type locker struct{ tx *sql.Tx }

var _ lock.Locker = (*locker)(nil)

// Lock implements [lock.Locker]. It waits until ctx ends.
func (l *locker) Lock(ctx context.Context, db *sql.DB) error {
	if db.Stats().MaxOpenConnections == 1 {
		return errors.New("lock the migrations: the pool has at most one connection; two are needed, one of which holds the lock")
	}
	tick := time.NewTicker(retryLock)
	defer tick.Stop()
	for waits := false; ; waits = true {
		tx, err := try(ctx, db)
		if err != nil {
			return fmt.Errorf("lock the migrations: %w", err)
		}
		if tx != nil {
			l.tx = tx
			return nil
		}
		if !waits {
			slog.InfoContext(ctx, "another program is running the migrations; waiting until it has ended")
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("lock the migrations, which another program is running: %w", context.Cause(ctx))
		}
	}
}

// try returns a transaction that holds the lock, or nil if another has it.
func try(ctx context.Context, db *sql.DB) (*sql.Tx, error) {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	got := false
	// The transaction is idle for as long as the migrations run.
	err = tx.QueryRowContext(ctx, `select pg_catalog.pg_try_advisory_xact_lock($1)
		from (select pg_catalog.set_config('idle_in_transaction_session_timeout', '0', true)) s`, int64(lockID)).Scan(&got)
	if err != nil || !got {
		return nil, errors.Join(err, tx.Rollback())
	}
	return tx, nil
}

// Unlock implements [lock.Locker].
func (l *locker) Unlock(context.Context, *sql.DB) error {
	tx := l.tx
	l.tx = nil
	if err := tx.Rollback(); err != nil && !errors.Is(err, sql.ErrTxDone) { // the context may have ended it
		return fmt.Errorf("unlock the migrations: %w", err)
	}
	return nil
}
