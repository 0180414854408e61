package db_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"chatfeed/db"
	"chatfeed/feed"
	"chatfeed/internal/dbtest"
)

// workflowVersions counts the row versions that chatfeed.workflows has been given.
func workflowVersions(ctx context.Context, t *testing.T, pool *pgxpool.Pool) (inserted, updated int) {
	t.Helper()
	_, err := pool.Exec(ctx, `select pg_stat_force_next_flush()`)
	require.NoError(t, err)
	err = pool.QueryRow(ctx, `select n_tup_ins, n_tup_upd from pg_stat_user_tables
		where schemaname = 'chatfeed' and relname = 'workflows'`).Scan(&inserted, &updated)
	require.NoError(t, err)
	return inserted, updated
}

// Row versions could not be pruned while anyone holds a snapshot, or within one transaction, so none are made.
func TestAnItemMakesNoVersionOfItsWorkflowsRow(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := openPool(t, dbtest.URL(t), 1)
	for range 100 {
		_, err := pool.Exec(ctx, `insert into chatfeed.logs (workflow_id, message) values ('wf', '')`)
		require.NoError(t, err)
	}
	_, err := pool.Exec(ctx, `insert into chatfeed.progress (workflow_id, progress, status) select 'wf', 1, 's' || n from generate_series(1, 5000) n`)
	require.NoError(t, err)
	require.NoError(t, pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		for i := range 50 {
			if _, err := db.Append(ctx, tx, itemOf(i%4, "wf", fmt.Sprint("append_", i)), itemOf(0, "v", fmt.Sprint(i))); err != nil {
				return err
			}
		}
		return nil
	}))
	inserted, updated := workflowVersions(ctx, t, pool)
	require.Equal(t, 2, inserted, "the rows of the two workflows")
	require.LessOrEqual(t, updated, 5+2, "one for each type and workflow, and at most one in a minute and workflow")
}

// A write that is repeated and changes nothing moves no head, wakes nobody and does not change the listing.
func TestARepeatedWriteLeavesNoTrace(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := openPool(t, dbtest.URL(t), 4)
	writer := newWriter(t, pool)
	items := []db.Item{itemOf(0, "wf", "a"), itemOf(1, "wf", "b"), itemOf(0, "v", "a")}
	require.NoError(t, failure(writer.Write(ctx, items...)))
	source := newSource(t, pool, db.SourceConfig{})
	state := func() (map[string]feed.Head, []feed.Workflow) {
		heads, err := source.Heads(ctx, []string{"wf", "v"})
		require.NoError(t, err)
		workflows, err := source.Workflows(ctx, feed.Workflow{}, 10)
		require.NoError(t, err)
		return heads, workflows
	}
	_, err := pool.Exec(ctx, `update chatfeed.workflows set active = active - interval '1 hour'`) // so that the listing could move
	require.NoError(t, err)
	heads, workflows := state()
	connected, woken, _ := listening(t, source)
	<-connected
	written, err := writer.Write(ctx, items...)
	require.NoError(t, err)
	require.Equal(t, []db.Written{{ID: "a", Already: true}, {ID: "b", Already: true}, {ID: "a", Already: true}}, written)
	again, listed := state()
	require.Equal(t, heads, again)
	require.Equal(t, workflows, listed)
	require.NoError(t, failure(writer.Write(ctx, itemOf(2, "new", "c"))))
	require.Contains(t, <-woken, "new ", "the others were not notified")
}

// The time of activity that workflows are listed by is written seldom and never more than a minute behind.
func TestWorkflowsAreListedByATimeOfActivity(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := openPool(t, dbtest.URL(t), 4)
	move := unsteadyClock(ctx, t, pool)
	writer := newWriter(t, pool)
	for n := range 30 {
		move(time.Duration(n) * 17 * time.Second)
		require.NoError(t, failure(writer.Write(ctx, itemOf(n%4, "wf", fmt.Sprint(n)))))
		require.Equal(t, []string{"true"}, column(ctx, t, pool,
			`select (active <= head and head < active + interval '1 minute')::text from chatfeed.heads`))
	}
	_, updated := workflowVersions(ctx, t, pool)
	require.LessOrEqual(t, updated, 9+4, "of 30 items of four types in 8 minutes")
}
