// Package migrations holds chatfeed's schema as plain goose files, embedded, and applies them.
//
// Everything lives in the schema "chatfeed", so that it can share the user's own database; the version table is
// [Table]. The stock goose command runs the same files.
package migrations

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
	"github.com/pressly/goose/v3/lock"
)

// FS holds the migration files, at its root.
//
//go:embed *.sql
var FS embed.FS

const (
	// Table is where goose records which migrations have been applied.
	Table = "chatfeed.goose_db_version"
	// CreateSchema makes the schema that [Table] lives in; it must exist before goose looks for its table.
	CreateSchema = "create schema if not exists chatfeed"
)

// lockID is the advisory lock that runs of the migrations in one database take turns by: the first eight bytes of
// "chatfeed" read as a number.
const lockID = 0x6368617466656564

// Up applies all migrations that db lacks. Programs may call it at the same time on one database: one migrates, the
// others wait for it. It blocks until done or ctx ends.
func Up(ctx context.Context, db *sql.DB) error {
	provider, err := Provider(ctx, db)
	if err != nil {
		return err
	}
	_, err = provider.Up(ctx)
	return describe(err)
}

// Provider returns a goose provider over [FS] for PostgreSQL, which takes a session lock for each run. It makes the
// schema if it is missing. The provider does not own db; the caller closes db.
func Provider(ctx context.Context, db *sql.DB) (*goose.Provider, error) {
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockID(lockID), lock.WithLockTimeout(1, 300))
	if err != nil {
		return nil, fmt.Errorf("make the migration lock: %w", err)
	}
	store, err := database.NewStore(database.DialectPostgres, Table)
	if err != nil {
		return nil, fmt.Errorf("make the version store: %w", err)
	}
	if err := createSchema(ctx, db); err != nil {
		return nil, err
	}
	provider, err := goose.NewProvider("", db, FS,
		goose.WithStore(store), goose.WithSessionLocker(locker), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return nil, fmt.Errorf("read the migrations: %w", err)
	}
	return provider, nil
}

// createSchema takes the lock of the migrations, because of two sessions that create one schema at once, one fails.
func createSchema(ctx context.Context, db *sql.DB) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("connect to migrate: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // after Commit it does nothing
	if _, err := tx.ExecContext(ctx, "select pg_advisory_xact_lock($1)", int64(lockID)); err != nil {
		return fmt.Errorf("lock the migrations: %w", err)
	}
	var absent bool
	if err := tx.QueryRowContext(ctx, "select to_regnamespace('chatfeed') is null").Scan(&absent); err != nil {
		return fmt.Errorf("look for schema chatfeed: %w", err)
	}
	if absent { // "if not exists" would ask for the right to create it even where it is there
		if _, err := tx.ExecContext(ctx, CreateSchema); err != nil {
			return fmt.Errorf("create schema chatfeed: %w", err)
		}
	}
	return tx.Commit()
}

// describe adds to a failed migration the file it stands in.
func describe(err error) error {
	var partial *goose.PartialError
	if errors.As(err, &partial) && partial.Failed != nil {
		return fmt.Errorf("migration %s: %w", partial.Failed.Source.Path, partial.Err)
	}
	return err
}
