package db_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"chatfeed/db"
	"chatfeed/feed"
	"chatfeed/internal/dbtest"
)

// Lists take at most two connections, and do not wait for ever for a turn.
func TestConcurrentListsAreBoundedAndReturnBusyBeyond(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := openPool(t, dbtest.URL(t), 3)
	tx, err := pool.Begin(ctx)
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback(context.WithoutCancel(ctx)) })
	_, err = tx.Exec(ctx, `lock table chatfeed.workflows`)
	require.NoError(t, err)
	lister := db.NewLister(pool)
	listed := make(chan error, 20)
	for range cap(listed) {
		go func() {
			_, err := lister.Workflows(ctx, feed.Workflow{}, 10)
			listed <- err
		}()
	}
	for range cap(listed) - 2 {
		require.ErrorIs(t, <-listed, feed.ErrBusy)
	}
	require.NoError(t, tx.Rollback(ctx))
	require.NoError(t, <-listed)
	require.NoError(t, <-listed)
}

// A page of workflows costs what the page has, however many were active in the same hour.
func TestTheCostOfAListDoesNotGrowWithTheWorkflows(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := openPool(t, dbtest.URL(t), 1) // so that one session has all the counts
	_, err := pool.Exec(ctx, `insert into chatfeed.logs (workflow_id, message) select 'wf_' || n, '' from generate_series(1, 5000) n;
		analyze chatfeed.workflows; analyze chatfeed.logs`)
	require.NoError(t, err)
	reads := func() (workflows, items int) {
		_, err := pool.Exec(ctx, `select pg_stat_force_next_flush()`)
		require.NoError(t, err)
		require.NoError(t, pool.QueryRow(ctx, `
			select (select seq_tup_read from pg_stat_user_tables where schemaname = 'chatfeed' and relname = 'workflows')
				+ (select sum(idx_tup_read) from pg_stat_user_indexes where schemaname = 'chatfeed' and relname = 'workflows'),
				(select sum(idx_tup_read) from pg_stat_user_indexes where schemaname = 'chatfeed' and relname = 'logs')`).Scan(&workflows, &items))
		return workflows, items
	}
	lister := db.NewLister(pool)
	var after feed.Workflow
	for range 10 { // so that PostgreSQL has had its choice of a generic plan
		workflowsBefore, itemsBefore := reads()
		page, err := lister.Workflows(ctx, after, 50)
		require.NoError(t, err)
		require.Len(t, page, 50)
		workflows, items := reads()
		require.LessOrEqual(t, workflows-workflowsBefore, 55, "workflows read")
		require.LessOrEqual(t, items-itemsBefore, 3*50, "items read")
		after = page[49]
	}
}

func TestMessagesAreCountedAfterEachPosition(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := openPool(t, dbtest.URL(t), 2)
	_, err := pool.Exec(ctx, `insert into chatfeed.messages (workflow_id, id, message) select 'many', 'm' || n, '' from generate_series(1, 150) n`)
	require.NoError(t, err)
	_, err = pool.Exec(ctx, `insert into chatfeed.messages (workflow_id, id, message) values ('few', 'a', ''), ('few', 'b', ''), ('few', 'c', '')`)
	require.NoError(t, err)
	_, err = pool.Exec(ctx, `insert into chatfeed.messages (workflow_id, id, message, replaces) values ('few', 'd', '', 'a');
		insert into chatfeed.logs (workflow_id, message) values ('few', ''), ('logs', '')`)
	require.NoError(t, err)
	var at int64
	require.NoError(t, pool.QueryRow(ctx, `select extract(epoch from "_createdAt") * 1000000 from chatfeed.messages where id = 'b'`).Scan(&at))
	lister := db.NewLister(pool)
	positions := []feed.Position{
		{WorkflowID: "few", Cursor: feed.Cursor(at)},
		{WorkflowID: "none"},
		{WorkflowID: "many"},
		{WorkflowID: "few"},
		{WorkflowID: "logs"},
		{WorkflowID: "few", Cursor: feed.Cursor(at) - 1},
	}
	for range 10 { // so that PostgreSQL has had its choice of a generic plan
		counts, err := lister.MessagesAfter(ctx, positions, 100)
		require.NoError(t, err)
		require.Equal(t, []int{1, 0, 100, 3, 0, 2}, counts)
	}
}
