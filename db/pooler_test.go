package db_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"chatfeed/db"
	"chatfeed/feed"
	"chatfeed/internal/dbtest"
)

// throughPgBouncer returns the address of a database through a PgBouncer as docs/operations.md has it. A server connection
// serves many clients, so whatever one leaves behind in a session meets others.
func throughPgBouncer(t *testing.T, address string) *dbtest.PgBouncer {
	t.Helper()
	return dbtest.StartPgBouncer(t, address, documentedAs(t, "ini", "pgbouncer")+"default_pool_size = 5\n")
}

func TestNothingFailsThroughPgBouncer(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	address := dbtest.URL(t)
	bouncer := throughPgBouncer(t, address)
	const callers, calls = 12, 20
	var working sync.WaitGroup
	failed := make(chan error, 1000)
	for caller := range callers {
		pool, err := db.Open(ctx, bouncer.URL())
		require.NoError(t, err)
		t.Cleanup(pool.Close)
		require.NoError(t, db.CheckReader(ctx, pool))
		require.NoError(t, db.CheckWriter(ctx, pool))
		source, writer := newSource(t, pool, db.SourceConfig{}), newWriter(t, pool)
		workflow := fmt.Sprint("wf_", caller)
		working.Go(func() {
			for i := range calls {
				name := fmt.Sprintf("%03d", i)
				failed <- failure(writer.Write(ctx, itemOf(i%4, workflow, name+"a"), itemOf((i+1)%4, workflow, name+"b")))
				failed <- pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
					return failure(db.Append(ctx, tx, itemOf(i%4, workflow, name+"c"), itemOf((i+2)%4, workflow, name+"d")))
				})
			}
		})
		working.Go(func() {
			for range calls {
				for _, read := range []func(context.Context, []feed.Position, feed.Window) ([]feed.Page, error){source.After, source.Before} {
					_, err := read(ctx, []feed.Position{{WorkflowID: workflow}}, feed.Window{Items: 100, Bytes: 1 << 20})
					failed <- err
				}
				_, err := source.Heads(ctx, []string{workflow})
				failed <- err
				_, err = source.Workflows(ctx, feed.Workflow{}, 10)
				failed <- err
			}
		})
	}
	go func() { working.Wait(); close(failed) }()
	n, bad := 0, []string{}
	for err := range failed {
		n++
		if err != nil {
			bad = append(bad, err.Error())
		}
	}
	require.Equal(t, callers*calls*6, n)
	require.Empty(t, bad[:min(3, len(bad))], "%d of %d failed", len(bad), n)
	straight := newSource(t, openPool(t, address, 1), db.SourceConfig{})
	for caller := range callers {
		pages, err := straight.After(ctx, []feed.Position{{WorkflowID: fmt.Sprint("wf_", caller)}}, feed.Window{Items: 1000, Bytes: 1 << 20})
		require.NoError(t, err)
		require.Len(t, pages[0].Items, calls*4)
		require.True(t, slices.IsSorted(ids(pages[0])))
	}
}

func TestSettingsApplyThroughPgBouncer(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool, err := db.Open(ctx, throughPgBouncer(t, dbtest.URL(t)).URL())
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	jit, err := db.ReadSetting(ctx, pool, "jit")
	require.NoError(t, err)
	require.Equal(t, "off", jit)
	require.Equal(t, []string{"on"}, column(ctx, t, pool, "select current_setting('jit')"), "nothing is left behind in the session")
	// A query that fails gives its connection back.
	for range 2 * pool.Config().MaxConns {
		_, err := db.ReadSetting(ctx, pool, "no.such")
		require.ErrorContains(t, err, "no.such")
	}
	require.Zero(t, pool.Stat().AcquiredConns())
}
