package migrations_test

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"chatfeed/internal/dbtest"
	"chatfeed/migrations"
)

// pool returns a connection pool of its own, as each program has one.
func pool(t *testing.T, url string) *sql.DB {
	t.Helper()
	db, err := sql.Open("pgx", url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

func TestConcurrentMigrationsRunOnceThroughPgBouncerAndDirectly(t *testing.T) {
	t.Parallel()
	for range 3 {
		straight, url := empty(t)
		// Fewer connections than runs, so that waiting runs must leave some to the one that migrates.
		bouncer := dbtest.StartPgBouncer(t, url, "pool_mode = transaction\ndefault_pool_size = 3\n")
		var migrating sync.WaitGroup
		ran := make(chan int, 12)
		failed := make(chan error, 12)
		for i := range 12 {
			address := bouncer.URL() + "&default_query_exec_mode=cache_describe"
			if i%3 == 0 {
				address = url
			}
			db := pool(t, address)
			migrating.Go(func() {
				provider, err := migrations.Provider(t.Context(), db)
				if err != nil {
					failed <- err
					return
				}
				results, err := provider.Up(t.Context())
				ran <- len(results)
				failed <- err
			})
		}
		migrating.Wait()
		close(ran)
		close(failed)
		for err := range failed {
			require.NoError(t, err)
		}
		files, err := fs.Glob(migrations.FS, "*.sql")
		require.NoError(t, err)
		sum := 0
		for n := range ran {
			sum += n
		}
		require.Equal(t, len(files), sum, "each migration runs once")
		require.Equal(t, []string{fmt.Sprint(len(files))},
			texts(t, straight, `select count(*)::text from chatfeed.goose_db_version where version_id > 0`))
		require.Empty(t, texts(t, straight, `select pid::text from pg_locks where locktype = 'advisory'`), "no lock is left behind")
		insert(t, straight)
	}
}

func TestMigrationsNeedTwoConnections(t *testing.T) {
	t.Parallel()
	db, _ := empty(t)
	db.SetMaxOpenConns(1)
	require.ErrorContains(t, migrations.Up(t.Context(), db), "two are needed")
}

func TestACancelledWaitForMigrationsReturnsAnError(t *testing.T) {
	t.Parallel()
	db, _ := empty(t)
	tx, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	_, err = tx.ExecContext(t.Context(), `select pg_advisory_xact_lock($1)`, int64(0x6368617466656564))
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	err = migrations.Up(ctx, db)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "another program is running")
	require.NoError(t, tx.Rollback())
	require.NoError(t, migrations.Up(t.Context(), db))
}
