package db

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// ErrUnfit is the error of a database that can never be used with chatfeed: its version is too old, or its encoding cannot
// represent every text.
var ErrUnfit = errors.New("the database is unfit for chatfeed")

// ErrUnprepared is the error of a database in which something is missing that an operator can add: the schema, a migration,
// a privilege.
var ErrUnprepared = errors.New("the database is not prepared")

// Check reports why a database cannot be used: [ErrUnfit], or [ErrUnprepared] with what is missing and how to add it. Any
// other error means that the check itself failed.
func Check(ctx context.Context, pool *pgxpool.Pool) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	var number int
	var version, encoding string
	var migrated bool
	err := pool.QueryRow(ctx, `
		select pg_catalog.current_setting('server_version_num')::int, pg_catalog.current_setting('server_version'),
			pg_catalog.current_setting('server_encoding'), pg_catalog.to_regclass('chatfeed.tools') is not null`,
	).Scan(&number, &version, &encoding, &migrated)
	switch {
	case err != nil:
		return fmt.Errorf("check the database: %w", err)
	case number < 140000:
		return fmt.Errorf("%w: it is PostgreSQL %s; 14 and later are accepted", ErrUnfit, version)
	case encoding != "UTF8":
		return fmt.Errorf("%w: its encoding is %s; UTF8 is accepted", ErrUnfit, encoding)
	case !migrated:
		return fmt.Errorf("%w: it has no schema chatfeed, or one of an older version, or this role may not use it; "+
			"run chatfeed migrate up, and see docs/operations.md for the grants", ErrUnprepared)
	}
	return nil
}

// CheckReader is [Check] for a program that reads: it also reports privileges that the role lacks.
func CheckReader(ctx context.Context, pool *pgxpool.Pool) error {
	return checkRights(ctx, pool, "reader", `
		select current_user, array(
			select 'select on ' || v from pg_catalog.unnest(array['chatfeed.entries', 'chatfeed.heads', 'chatfeed.erasures']::text[]) v
			where not pg_catalog.has_table_privilege(v, 'select'))`)
}

// CheckWriter is [Check] for a program that writes: it also reports privileges that the role lacks.
func CheckWriter(ctx context.Context, pool *pgxpool.Pool) error {
	asking, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	var readOnly bool
	if err := pool.QueryRow(asking, "select pg_catalog.current_setting('transaction_read_only')::boolean").Scan(&readOnly); err == nil && readOnly {
		return errors.New("the database is read-only: a standby, or default_transaction_read_only is set for the role or the database")
	}
	var tables []string
	for _, k := range kinds {
		tables = append(tables, "chatfeed."+k.table)
	}
	return checkRights(ctx, pool, "writer", `
		select current_user, pg_catalog.array_remove(array[
			case when not pg_catalog.has_schema_privilege('chatfeed', 'usage') then 'usage on schema chatfeed' end] ||
			array(select 'insert, select (workflow_id, id) on ' || t from pg_catalog.unnest($1::text[]) t
				where not (pg_catalog.has_table_privilege(t, 'insert') and pg_catalog.has_column_privilege(t, 'workflow_id', 'select')
					and pg_catalog.has_column_privilege(t, 'id', 'select'))), null)`, tables)
}

// checkRights runs [Check] and then a query for the role and the privileges that it lacks.
func checkRights(ctx context.Context, pool *pgxpool.Pool, whose, query string, args ...any) error {
	if err := Check(ctx, pool); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	var role string
	var lacks []string
	err := pool.QueryRow(ctx, query, args...).Scan(&role, &lacks)
	switch {
	case err != nil:
		return fmt.Errorf("check the privileges of the database role: %w", err)
	case len(lacks) > 0:
		return fmt.Errorf("%w: the role %s lacks %q; docs/operations.md has the grants that a %s needs", ErrUnprepared, role, lacks, whose)
	}
	return nil
}

// QueueUsage is how full PostgreSQL's NOTIFY queue is, from 0 to 1, and the start of the oldest transaction that may keep
// it from being emptied, as far as this role may see; zero if none is known. While the queue is full, commits that notify fail.
func QueueUsage(ctx context.Context, pool *pgxpool.Pool) (usage float64, since time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	var oldest *time.Time
	err = pool.QueryRow(ctx, `
		select pg_catalog.pg_notification_queue_usage(),
			(select pg_catalog.min(xact_start) from pg_catalog.pg_stat_activity where datname operator(pg_catalog.=) pg_catalog.current_database())`,
	).Scan(&usage, &oldest)
	if err != nil {
		return 0, time.Time{}, fmt.Errorf("read the usage of the NOTIFY queue: %w", err)
	}
	if oldest != nil {
		since = *oldest
	}
	return usage, since, nil
}
