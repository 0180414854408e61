package migrations_test

import (
	"database/sql"
	"fmt"
	"io/fs"
	"os/exec"
	"strings"
	"sync"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"chatfeed/internal/dbtest"
	"chatfeed/internal/embedded"
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

// objects lists the objects in the schema, besides goose's own.
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

func TestDownUndoesUp(t *testing.T) {
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

func texts(t *testing.T, db *sql.DB, query string) []string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query)
	require.NoError(t, err)
	defer func() { require.NoError(t, rows.Close()) }()
	var all []string
	for rows.Next() {
		var text string
		require.NoError(t, rows.Scan(&text))
		all = append(all, text)
	}
	require.NoError(t, rows.Err())
	return all
}

// A database with items keeps them, their stamps and the order, there and back.
func TestItemsSurviveAnUpgradeAndADowngrade(t *testing.T) {
	t.Parallel()
	db, _ := empty(t)
	provider, err := migrations.Provider(t.Context(), db)
	require.NoError(t, err)
	_, err = provider.UpTo(t.Context(), 2)
	require.NoError(t, err)
	deep := strings.Repeat("[", 40) + strings.Repeat("]", 40) // what cannot be stored any more
	_, err = db.ExecContext(t.Context(), `
		insert into chatfeed.messages (workflow_id, id, message, metadata) values ('a', '1', 'x', '`+deep+`'), ('b', '1', 'y', null);
		insert into chatfeed.progress (workflow_id, id, progress, status) values ('a', '2', 1, 'running'), ('a', '3', 100, 'done');
		insert into chatfeed.logs (workflow_id, id, message) values ('b', '2', 'z');
		create role somebody; grant select, insert, update on chatfeed.workflows to somebody;
		create role reader; grant select on chatfeed.items to reader; create role "a Writer"; grant insert on chatfeed.messages to "a Writer"`)
	require.NoError(t, err)
	const items = `select workflow_id || ' ' || id || ' ' || "_createdAt" || ' ' || body::text || coalesce(metadata::text, '')
		from chatfeed.items order by workflow_id, "_createdAt"`
	before := texts(t, db, items)
	const oldHeads = `select id || ' ' || head || ' ' || status || ' ' || head_hour from chatfeed.workflows order by id`
	heads := texts(t, db, oldHeads)

	_, err = provider.Up(t.Context())
	require.NoError(t, err)
	require.Equal(t, before, texts(t, db, items))
	require.Equal(t, []string{"a done true", "b  true"}, texts(t, db, `
		select id || ' ' || status || ' ' || (head = active and born < head and head = (
			select max("_createdAt") from chatfeed.items i where i.workflow_id = h.id))::text from chatfeed.heads h order by id`))
	require.Equal(t, []string{"false"}, texts(t, db, `select has_table_privilege('somebody', 'chatfeed.workflows', 'update')::text`),
		"who writes needs no right on it any more")
	require.Equal(t, []string{"true true true"}, texts(t, db, `select concat_ws(' ', has_table_privilege('reader', 'chatfeed.entries', 'select')::text,
		has_table_privilege('reader', 'chatfeed.heads', 'select')::text, has_table_privilege('reader', 'chatfeed.erasures', 'select')::text)`),
		"who reads the items goes on reading")
	require.Equal(t, []string{"true true"}, texts(t, db, `select concat_ws(' ', has_table_privilege('a Writer', 'chatfeed.deltas', 'insert')::text,
		has_column_privilege('a Writer', 'chatfeed.tools', 'id', 'select')::text)`), "who writes messages may write what is new")
	later := func(id string) {
		_, err := db.ExecContext(t.Context(), `insert into chatfeed.logs (workflow_id, id, message) values ('a', $1, '')`, id)
		require.NoError(t, err)
		newest := texts(t, db, `select id from chatfeed.items where workflow_id = 'a' order by "_createdAt" desc limit 1`)
		require.Equal(t, []string{id}, newest)
	}
	later("4")
	_, err = db.ExecContext(t.Context(), `delete from chatfeed.logs where id = '4'`)
	require.NoError(t, err)

	_, err = provider.DownTo(t.Context(), 2)
	require.NoError(t, err)
	require.Equal(t, before, texts(t, db, items))
	require.Equal(t, heads[1:], texts(t, db, oldHeads)[1:], "of the workflow that was left alone")
	later("5")
}

func TestMigrationsMayRunConcurrently(t *testing.T) {
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
	files, err := fs.Glob(migrations.FS, "*.sql")
	require.NoError(t, err)
	require.Contains(t, goose("up"), fmt.Sprint("successfully migrated database to version: ", len(files)))
	insert(t, db)
	require.Equal(t, len(files), strings.Count(goose("status"), ".sql"))

	provider, err := migrations.Provider(t.Context(), db)
	require.NoError(t, err)
	pending, err := provider.HasPending(t.Context())
	require.NoError(t, err)
	require.False(t, pending, "our own command sees what goose has done")

	for range files {
		goose("down")
	}
	require.Empty(t, objects(t, db))
}
