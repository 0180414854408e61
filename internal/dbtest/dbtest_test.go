package dbtest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"chatfeed/internal/embedded"
	"chatfeed/migrations"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, Goroutines()...)
}

func TestEachTestHasAMigratedDatabaseOfItsOwn(t *testing.T) {
	t.Parallel()
	for i := range 30 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			pool := Pool(t)
			var versions, messages int
			require.NoError(t, pool.QueryRow(t.Context(), "select count(*) from "+migrations.Table).Scan(&versions))
			require.Positive(t, versions)
			_, err := pool.Exec(t.Context(), "insert into chatfeed.messages (workflow_id, message) values ('w', 'hello')")
			require.NoError(t, err)
			require.NoError(t, pool.QueryRow(t.Context(), "select count(*) from chatfeed.messages").Scan(&messages))
			require.Equal(t, 1, messages)
		})
	}
}

func TestDatabaseIsDroppedAtTheEndOfItsTest(t *testing.T) {
	t.Parallel()
	var address string
	var left *pgx.Conn
	t.Run("inner", func(t *testing.T) {
		address = URL(t)
		conn, err := pgx.Connect(t.Context(), address)
		require.NoError(t, err)
		left = conn
	})
	require.Error(t, left.Ping(t.Context()))
	_, err := pgx.Connect(t.Context(), address)
	require.ErrorContains(t, err, "does not exist")
}

func TestUserOfADatabaseIsNotASuperuser(t *testing.T) {
	t.Parallel()
	var superuser bool
	var committed string
	require.NoError(t, Pool(t).QueryRow(t.Context(), `select rolsuper, current_setting('synchronous_commit')
		from pg_roles where rolname = current_user`).Scan(&superuser, &committed))
	require.False(t, superuser)
	require.Equal(t, "on", committed)
}

func TestServerSurvivesACrash(t *testing.T) {
	t.Parallel()
	server := Server(t)
	pool, err := pgxpool.New(t.Context(), server.URL())
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	_, err = pool.Exec(t.Context(), "insert into chatfeed.logs (workflow_id, message) values ('w', 'hello')")
	require.NoError(t, err)
	require.NoError(t, server.Restart(t.Context(), embedded.Kill))
	var logs int
	require.Eventually(t, func() bool {
		return pool.QueryRow(t.Context(), "select count(*) from chatfeed.logs").Scan(&logs) == nil
	}, 10*time.Second, 10*time.Millisecond)
	require.Equal(t, 1, logs)
}

func TestServerOfTheEnvironmentIsUsed(t *testing.T) {
	t.Parallel()
	if os.Getenv(EnvURL) != "" {
		t.Skip(EnvURL + " is set for all tests")
	}
	server := Server(t)
	test := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestEachTestHasAMigratedDatabaseOfItsOwn$")
	test.Env = append(os.Environ(), EnvURL+"="+server.URL())
	output, err := test.CombinedOutput()
	require.NoError(t, err, string(output))

	conn, err := pgx.Connect(t.Context(), server.URL())
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close(context.WithoutCancel(t.Context()))) }()
	var templates, copies int
	require.NoError(t, conn.QueryRow(t.Context(), `select
		count(*) filter (where datistemplate), count(*) filter (where not datistemplate)
		from pg_database where datname like 'testdb%'`).Scan(&templates, &copies))
	require.Equal(t, 1, templates)
	require.Zero(t, copies)
}

func TestAddressOfTheEnvironmentIsUnderstood(t *testing.T) {
	t.Parallel()
	config, err := parse("postgres://a%40b:p%2F%3A%20@[::1]/my%20db?sslmode=disable")
	require.NoError(t, err)
	require.Equal(t, "postgres://a%40b:p%2F%3A%20@[::1]:5432/my%20db?sslmode=disable", config.URL())
	parsed, err := pgx.ParseConfig(config.URL())
	require.NoError(t, err)
	require.Equal(t, "p/: ", parsed.Password)

	for _, wrong := range []string{
		"localhost:5432", "mysql://a:secret@b/c", "postgres:///chatfeed", "postgres://a:secret%zz@b",
	} {
		_, err := parse(wrong)
		require.Error(t, err, wrong)
		require.NotContains(t, err.Error(), "secret")
	}
}
