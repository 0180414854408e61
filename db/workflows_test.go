package db_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"chatfeed/db"
	"chatfeed/db/dbtest"
	"chatfeed/feed"
)

// Who lists workflows takes at most two connections, and does not wait for ever for a turn.
func TestListsAreBoundedAndSayWhenThereAreTooMany(t *testing.T) {
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
