package db_test

import (
	"context"
	"net/url"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"chatfeed/internal/dbtest"
)

// client runs one of PostgreSQL's client programs and returns what it printed.
func client(t *testing.T, program string, args ...string) (string, error) {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + program)
		require.NotEmpty(t, found, "%s is not there; it is in the package postgresql-client", program)
		path = slices.Max(found)
	}
	out, err := exec.CommandContext(t.Context(), path, args...).CombinedOutput()
	return string(out), err
}

// everything returns all that a reader can see of the items, in order.
func everything(ctx context.Context, t *testing.T, pool *pgxpool.Pool) []string {
	t.Helper()
	return append(
		column(ctx, t, pool, `select i::text from chatfeed.items i order by workflow_id, "_createdAt"`),
		column(ctx, t, pool, `select id || ' ' || born || ' ' || head from chatfeed.heads order by id`)...)
}

// dumped returns a database with items, and a dump of it. The statements of the items were not in order of type.
func dumped(t *testing.T, options ...string) (pool *pgxpool.Pool, dump string) {
	t.Helper()
	address := dbtest.URL(t)
	pool = openPool(t, address, 2)
	writer := newWriter(t, pool)
	for i := range 40 {
		require.NoError(t, failure(writer.Write(t.Context(), itemOf(i*7%4, []string{"wf_a", "wf_b"}[i%2], string(rune('A'+i))))))
	}
	dump = filepath.Join(t.TempDir(), "dump")
	out, err := client(t, "pg_dump", append(options, "--format=custom", "--file="+dump, address)...)
	require.NoError(t, err, out)
	return pool, dump
}

func TestAFullDumpIsRestoredUnchanged(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool, dump := dumped(t)
	server := dbtest.Server(t)
	address, err := url.Parse(server.URL())
	require.NoError(t, err)
	admin := openPool(t, as(t, server.URL(), "postgres"), 1)
	_, err = admin.Exec(ctx, `create database other template template0`)
	require.NoError(t, err)
	address.Path = "/other"
	out, err := client(t, "pg_restore", "--exit-on-error", "--no-owner", "--dbname="+address.String(), dump)
	require.NoError(t, err, out)

	restored := openPool(t, as(t, address.String(), "postgres"), 2)
	want := everything(ctx, t, pool)
	require.Equal(t, want, everything(ctx, t, restored))
	worksAfterRestore(ctx, t, restored)
}

func TestADataDumpIsRestoredUnchanged(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool, dump := dumped(t, "--data-only", "--schema=chatfeed", "--exclude-table=chatfeed.goose_db_version")
	address := dbtest.URL(t)
	out, err := client(t, "pg_restore", "--exit-on-error", "--data-only", "--disable-triggers", "--dbname="+address, dump)
	require.NoError(t, err, out)

	restored := openPool(t, address, 2)
	require.Equal(t, everything(ctx, t, pool), everything(ctx, t, restored))
	worksAfterRestore(ctx, t, restored)
	_, err = restored.Exec(ctx, documented(t, "always"))
	require.NoError(t, err)
	require.Equal(t, []string{"12"}, column(ctx, t, restored, `select count(*)::text from pg_trigger where tgenabled = 'A'`))
}

// worksAfterRestore checks that a database orders and erases like one that was not restored.
func worksAfterRestore(ctx context.Context, t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	require.NoError(t, failure(newWriter(t, pool).Write(ctx, itemOf(0, "wf_a", "later"))))
	items := column(ctx, t, pool, `select id from chatfeed.items where workflow_id = 'wf_a' order by "_createdAt"`)
	require.Equal(t, "later", items[len(items)-1])
	_, err := pool.Exec(ctx, `delete from chatfeed.messages where id = 'later'`)
	require.NoError(t, err)
	require.Equal(t, []string{"later"}, column(ctx, t, pool, `select item_id from chatfeed.erasures`))
}

func TestARestoreThatWouldStampRowsAgainIsRefused(t *testing.T) {
	t.Parallel()
	for _, format := range [][]string{nil, {"--inserts"}} {
		address := dbtest.URL(t)
		_, dump := dumped(t, append(format, "--data-only", "--schema=chatfeed", "--exclude-table=chatfeed.goose_db_version")...)
		out, err := client(t, "pg_restore", "--data-only", "--dbname="+address, dump)
		require.Error(t, err)
		require.Contains(t, out, "would be stamped anew")
		require.Contains(t, out, "--disable-triggers")
		require.Empty(t, column(t.Context(), t, openPool(t, address, 1), `select id from chatfeed.items`))

		// As plain SQL through psql, too.
		script := filepath.Join(t.TempDir(), "dump.sql")
		out, err = client(t, "pg_restore", "--file="+script, dump)
		require.NoError(t, err, out)
		out, err = client(t, "psql", "--set=ON_ERROR_STOP=1", "--file="+script, address)
		require.Error(t, err)
		require.Contains(t, out, "would be stamped anew")
	}
}
