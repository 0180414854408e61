package migrations_test

import (
	"database/sql"
	"os/exec"
	"strings"
	"sync"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"chatfeed/db/dbtest"
	"chatfeed/db/embedded"
	"chatfeed/migrations"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, dbtest.Goroutines()...) }

// empty returns a database without the schema, on a server of its own, and its URL.
func empty(t *testing.T) (*sql.DB, string) {
	t.Helper()
	server, err := embedded.Start(t.Context(), embedded.Config{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Stop()) })
	db, err := sql.Open("pgx", server.URL())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db, server.URL()
}

// objects lists what stands in the schema, besides goose's own.
func objects(t *testing.T, db *sql.DB) string {
	t.Helper()
	var names string
	require.NoError(t, db.QueryRowContext(t.Context(), `
		select coalesce(string_agg(name, ' ' order by name), '') from (
			select relname::text as name from pg_class where relnamespace = 'chatfeed'::regnamespace and relname not like 'goose%'
			union all
			select proname::text from pg_proc where pronamespace = 'chatfeed'::regnamespace
		) o`).Scan(&names))
	return names
}

func insert(t *testing.T, db *sql.DB) {
	t.Helper()
	_, err := db.ExecContext(t.Context(), `insert into chatfeed.messages (workflow_id, message) values ('wf', 'hello')`)
	require.NoError(t, err)
}

func TestDownUndoesWhatUpHasDone(t *testing.T) {
	t.Parallel()
	db, _ := empty(t)
	provider, err := migrations.Provider(t.Context(), db)
	require.NoError(t, err)
	_, err = provider.Up(t.Context())
	require.NoError(t, err)
	full := objects(t, db)
	require.Contains(t, full, "messages_in_order")
	insert(t, db)

	_, err = provider.DownTo(t.Context(), 0)
	require.NoError(t, err)
	require.Empty(t, objects(t, db))

	_, err = provider.Up(t.Context())
	require.NoError(t, err)
	require.Equal(t, full, objects(t, db))
	insert(t, db)
}

func TestManyMayMigrateAtOnce(t *testing.T) {
	t.Parallel()
	db, _ := empty(t)
	var migrating sync.WaitGroup
	for range 8 {
		migrating.Go(func() {
			if err := migrations.Up(t.Context(), db); err != nil {
				t.Errorf("migrate: %v", err)
			}
		})
	}
	migrating.Wait()
	insert(t, db)
}

func TestTheStockGooseCommandRunsTheSameFiles(t *testing.T) {
	t.Parallel()
	db, url := empty(t)
	// The tags leave out the drivers of other databases, which take minutes to compile.
	goose := func(command string) string {
		cmd := exec.CommandContext(t.Context(), "go", "run", "-tags", "no_clickhouse no_libsql no_mssql no_mysql no_sqlite3 "+
			"no_vertica no_ydb no_duckdb no_starrocks no_turso", "github.com/pressly/goose/v3/cmd/goose@v3.28.0",
			"-dir", ".", "-table", migrations.Table, "postgres", url, command)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
		return string(out)
	}
	_, err := db.ExecContext(t.Context(), migrations.CreateSchema)
	require.NoError(t, err)
	require.Contains(t, goose("up"), "successfully migrated database to version: 2")
	insert(t, db)
	require.Equal(t, 2, strings.Count(goose("status"), ".sql"))

	provider, err := migrations.Provider(t.Context(), db)
	require.NoError(t, err)
	pending, err := provider.HasPending(t.Context())
	require.NoError(t, err)
	require.False(t, pending, "our own command sees what goose has done")

	goose("down")
	goose("down")
	require.Empty(t, objects(t, db))
}
