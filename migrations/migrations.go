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

// Up applies all migrations that db lacks. Programs may call it concurrently on one database: one migrates, the others
// wait for it, also through a pooler in transaction mode (where db may not use prepared statements). It needs two
// connections, and blocks until done or ctx ends.
func Up(ctx context.Context, db *sql.DB) error {
	provider, err := Provider(ctx, db)
	if err != nil {
		return Describe(err)
	}
	_, err = provider.Up(ctx)
	return Describe(err)
}

// Provider returns a goose provider over [FS] for PostgreSQL, whose runs are serialised by a lock. It creates
// the schema if it is missing. The provider does not own db; the caller closes db.
func Provider(ctx context.Context, db *sql.DB) (*goose.Provider, error) {
	store, err := database.NewStore(database.DialectPostgres, Table)
	if err != nil {
		return nil, fmt.Errorf("make the version store: %w", err)
	}
	if err := createSchema(ctx, db); err != nil {
		return nil, err
	}
	provider, err := goose.NewProvider("", db, FS,
		goose.WithStore(store), goose.WithLocker(&locker{}), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return nil, fmt.Errorf("read the migrations: %w", err)
	}
	return provider, nil
}

// createSchema creates the schema if it is missing, under the lock of the migrations: if two sessions create the same schema
// concurrently, one fails.
func createSchema(ctx context.Context, db *sql.DB) (err error) {
	var absent bool
	query := "select pg_catalog.to_regnamespace('chatfeed') is null"
	if err := db.QueryRowContext(ctx, query).Scan(&absent); err != nil {
		return fmt.Errorf("look for schema chatfeed: %w", err)
	}
	if !absent { // "if not exists" needs the privilege to create it even if it exists
		return nil
	}
	var l locker
	if err := l.Lock(ctx, db); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Unlock(ctx, db)) }()
	if err := db.QueryRowContext(ctx, query).Scan(&absent); err != nil || !absent {
		return err
	}
	if _, err := db.ExecContext(ctx, CreateSchema); err != nil {
		return fmt.Errorf("create schema chatfeed: %w", err)
	}
	return nil
}

// Describe adds the file to the error of a failed migration, and what an operator can do about a setting that aborted it.
func Describe(err error) error {
	var partial *goose.PartialError
	if errors.As(err, &partial) && partial.Failed != nil {
		err = fmt.Errorf("migration %s: %w", partial.Failed.Source.Path, partial.Err)
	}
	var failed interface{ SQLState() string }
	if !errors.As(err, &failed) {
		return err
	}
	switch failed.SQLState() {
	case "25006":
		return fmt.Errorf("the database is read-only: a standby, or default_transaction_read_only is set for the role or the database: %w", err)
	case "57014":
		return fmt.Errorf("it was cancelled, perhaps by a statement_timeout of the role or the database; migrate with statement_timeout = 0: %w", err)
	case "55P03":
		return fmt.Errorf("a lock was not available within the lock_timeout of the role or the database; migrate with lock_timeout = 0: %w", err)
	}
	return err
}
