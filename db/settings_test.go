package db_test

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"chatfeed/db"
	"chatfeed/feed"
	"chatfeed/internal/dbtest"
	"chatfeed/internal/embedded"
	"chatfeed/migrations"
)

// settings are settings of a role or a database that must not affect readers and writers.
var settings = []string{
	"extra_float_digits = -15", "DateStyle = 'SQL, DMY'", "IntervalStyle = sql_standard", "TimeZone = 'Pacific/Chatham'",
	"bytea_output = escape", "standard_conforming_strings = off", "backslash_quote = on", "search_path = nowhere", "row_security = off",
	"default_transaction_isolation = serializable", "default_transaction_isolation = 'repeatable read'", "client_encoding = 'LATIN1'",
	"client_encoding = 'SQL_ASCII'", "statement_timeout = '20s'", "lock_timeout = '20s'", "idle_session_timeout = '1s'",
	"idle_in_transaction_session_timeout = '1s'", "transform_null_equals = on", "array_nulls = off", "xmloption = document",
	"plan_cache_mode = force_generic_plan", "lc_numeric = 'C'", "jit = on", "check_function_bodies = on", "quote_all_identifiers = on",
	"default_transaction_deferrable = on", "synchronous_commit = off", "enable_indexscan = off", "session_replication_role = origin",
}

// everySetting makes a database in which a role is set to each of the settings, and gives the role's address.
func everySetting(t *testing.T, each func(t *testing.T, setting, address string)) {
	t.Helper()
	server, err := embedded.Start(t.Context(), embedded.Config{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Stop()) })
	admin := openPool(t, as(t, server.URL(), "postgres"), 2)
	for i, setting := range settings {
		name := fmt.Sprint("with_", i)
		for _, statement := range []string{
			"create role " + name + " login superuser", "create database " + name + " owner " + name, "alter role " + name + " set " + setting,
		} {
			_, err := admin.Exec(t.Context(), statement)
			require.NoError(t, err, statement)
		}
		u, err := url.Parse(as(t, server.URL(), name))
		require.NoError(t, err)
		u.Path = "/" + name
		each(t, setting, u.String())
	}
}

func TestReadsAndWritesDoNotDependOnTheSettingsOfTheRole(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	var want []string
	everySetting(t, func(t *testing.T, setting, address string) {
		pool, err := db.Open(ctx, address)
		require.NoError(t, err, setting)
		defer pool.Close()
		database := sql.OpenDB(stdlib.GetPoolConnector(pool))
		require.NoError(t, migrations.Up(ctx, database), setting)
		require.NoError(t, database.Close())
		items := []db.Item{
			db.Message{WorkflowID: "wf_ü€", ID: "1", Message: `ö € 😀 \ ' " \'`, Metadata: []byte(`{"n": 0.30000000000000004, "ü": "\\"}`)},
			db.Stat{WorkflowID: "wf_ü€", ID: "2", ProcessingTime: 0.30000000000000004, TokenCount: 3},
			db.Progress{WorkflowID: "wf_ü€", ID: "3", Progress: 100.0 / 3, Status: "läuft", Result: `\x`},
		}
		writer := db.NewWriter(pool)
		defer writer.Close()
		require.NoError(t, failure(writer.Write(ctx, items...)), setting)
		require.NoError(t, pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			return failure(db.Append(ctx, tx, db.Log{WorkflowID: "wf_ü€", ID: "4", Message: "NULL"}, items[0]))
		}), setting)
		got := readAll(ctx, t, newSource(t, pool, db.SourceConfig{}), "wf_ü€")
		got = append(got, column(ctx, t, pool, `select body::text from chatfeed.items order by "_createdAt"`)...)
		if want == nil {
			want = got
			require.Contains(t, want[1], "0.30000000000000004", setting)
			require.Contains(t, want[2], "33.333333333333336", setting)
		}
		require.Equal(t, want, got, setting)
	})
}

// readAll returns what a source has of a workflow, but for the time.
func readAll(ctx context.Context, t *testing.T, source *db.Source, workflow string) (all []string) {
	t.Helper()
	pages, err := source.After(ctx, []feed.Position{{WorkflowID: workflow}}, feed.Window{Items: 100, Bytes: 1 << 20})
	require.NoError(t, err)
	before, err := source.Before(ctx, []feed.Position{{WorkflowID: workflow, Cursor: feed.End}}, feed.Window{Items: 100, Bytes: 1 << 20})
	require.NoError(t, err)
	require.Equal(t, pages[0].Items, before[0].Items)
	for _, item := range pages[0].Items {
		all = append(all, fmt.Sprintf("%s %s %s %s %s", item.WorkflowID, item.Type, item.ID, item.Body, item.Metadata))
	}
	heads, err := source.Heads(ctx, []string{workflow})
	require.NoError(t, err)
	require.Equal(t, pages[0].Items[len(pages[0].Items)-1].CreatedAt, heads[workflow].At)
	return all
}

// A wake with the workflow id in another encoding would have no effect.
func TestAListenerReceivesWorkflowIDsInUTF8WhateverTheRolesSettings(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	address := dbtest.URL(t)
	admin := openPool(t, address, 2)
	_, err := admin.Exec(ctx, `alter database `+pgx.Identifier{admin.Config().ConnConfig.Database}.Sanitize()+` set client_encoding = 'LATIN1'`)
	require.NoError(t, err)
	for _, listen := range []string{"", address} {
		pool, err := db.Open(ctx, address)
		require.NoError(t, err)
		t.Cleanup(pool.Close)
		connected, woken, _ := listening(t, newSource(t, pool, db.SourceConfig{Listen: listen}))
		<-connected
		require.NoError(t, failure(newWriter(t, pool).Write(ctx, itemOf(0, "wf_ü", ""))))
		require.Contains(t, <-woken, "wf_ü ")
	}
}

func TestAReadOnlyRoleReadsAndGetsAnErrorForWritesAndMigrations(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	server := dbtest.Server(t)
	admin := openPool(t, as(t, server.URL(), "postgres"), 2)
	require.NoError(t, failure(newWriter(t, admin).Write(ctx, itemOf(0, "wf", "1"))))
	_, err := admin.Exec(ctx, `create role quiet login superuser; alter role quiet set default_transaction_read_only = on`)
	require.NoError(t, err)
	_, err = admin.Exec(ctx, `create database empty`)
	require.NoError(t, err)
	pool, err := db.Open(ctx, as(t, server.URL(), "quiet"))
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	require.Len(t, readAll(ctx, t, newSource(t, pool, db.SourceConfig{}), "wf"), 1)
	require.NoError(t, db.CheckReader(ctx, pool))
	require.ErrorContains(t, failure(newWriter(t, pool).Write(ctx, itemOf(0, "wf", "2"))), "read-only")
	require.ErrorContains(t, db.CheckWriter(ctx, pool), "read-only")
	u, err := url.Parse(as(t, server.URL(), "quiet"))
	require.NoError(t, err)
	u.Path = "/empty"
	database, err := sql.Open("pgx", u.String())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, database.Close()) })
	require.ErrorContains(t, migrations.Up(ctx, database), "default_transaction_read_only")
}
