package db_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"chatfeed/db"
	"chatfeed/db/dbtest"
)

func newWriter(t testing.TB, pool *pgxpool.Pool) *db.Writer {
	t.Helper()
	writer := db.NewWriter(pool)
	t.Cleanup(writer.Close)
	return writer
}

func TestConcurrentWritesAreDurableInEachCallersOrder(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := openPool(t, dbtest.URL(t), 8)
	writers := []*db.Writer{newWriter(t, pool), newWriter(t, pool)} // as two processes: their locks must not cross
	const callers, writes = 32, 20
	var calling sync.WaitGroup
	for c := range callers {
		calling.Go(func() {
			for n := range writes {
				var items []db.Item
				for i := range 1 + rand.IntN(4) {
					workflow := fmt.Sprintf("wf_%d", rand.IntN(6))
					items = append(items, itemOf(rand.IntN(4), workflow, fmt.Sprintf("%02d_%02d_%d", c, n, i)))
				}
				if err := writers[c%2].Write(ctx, items...); err != nil {
					t.Errorf("a write failed: %v", err)
				}
			}
		})
	}
	calling.Wait()
	disorder := column(ctx, t, pool, `
		select id from (
			select id, lag(id) over (partition by workflow_id, left(id, 2) order by "_createdAt") as before from chatfeed.items
		) i where id < before`)
	require.Empty(t, disorder)
	require.Len(t, column(ctx, t, pool, `select distinct left(id, 5) from chatfeed.items`), callers*writes)
}

func TestCallersThatQueueDuringACommitShareTheNext(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := openPool(t, dbtest.URL(t), 8)
	writer := newWriter(t, pool)
	// Another writer's open transaction holds up whoever writes to its workflow: both of the writer's flushers.
	tx, err := pool.Begin(ctx)
	require.NoError(t, err)
	require.NoError(t, db.Append(ctx, tx, db.Log{WorkflowID: "wf", ID: "open"}))
	var calling sync.WaitGroup
	write := func(id string) {
		calling.Go(func() {
			if err := writer.Write(ctx, db.Log{WorkflowID: "wf", ID: id}); err != nil {
				t.Errorf("a write failed: %v", err)
			}
		})
	}
	write("first")
	waitForLocks(t, pool, 1)
	write("second")
	waitForLocks(t, pool, 2)
	for i := range 50 {
		write(fmt.Sprint(i))
	}
	require.Eventually(t, func() bool { return writer.Queued() == 50 }, 10*time.Second, time.Millisecond)
	require.NoError(t, tx.Rollback(ctx))
	calling.Wait()
	require.Len(t, column(ctx, t, pool, `select distinct xmin::text from chatfeed.logs`), 3,
		"the first, the second, and all that queued meanwhile")
}

func waitForLocks(t *testing.T, pool *pgxpool.Pool, n int) {
	t.Helper()
	require.Eventually(t, func() bool {
		var waiting int
		err := pool.QueryRow(t.Context(), `select count(distinct pid) from pg_locks where not granted
			and database = (select oid from pg_database where datname = current_database())
			or not granted and transactionid is not null`).Scan(&waiting)
		return err == nil && waiting >= n
	}, 10*time.Second, time.Millisecond)
}

func TestACallerThatGivesUpLeavesTheOthersAlone(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := openPool(t, dbtest.URL(t), 8)
	writer := newWriter(t, pool)
	tx, err := pool.Begin(ctx)
	require.NoError(t, err)
	require.NoError(t, db.Append(ctx, tx, db.Log{WorkflowID: "wf"}))
	impatient, giveUp := context.WithCancel(ctx)
	gone, stayed := make(chan error, 1), make(chan error, 1)
	go func() { gone <- writer.Write(impatient, db.Log{WorkflowID: "wf", ID: "gone"}) }()
	go func() { stayed <- writer.Write(ctx, db.Log{WorkflowID: "wf", ID: "stayed"}) }()
	giveUp()
	require.ErrorIs(t, <-gone, context.Canceled)
	require.NoError(t, tx.Commit(ctx))
	require.NoError(t, <-stayed)
}

func TestCloseCommitsWhatIsQueuedAndRefusesWhatComesLater(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := openPool(t, dbtest.URL(t), 4)
	writer := db.NewWriter(pool)
	errs := make(chan error, 100)
	for i := range cap(errs) {
		go func() { errs <- writer.Write(ctx, db.Log{WorkflowID: "wf", ID: fmt.Sprint(i)}) }()
	}
	require.NoError(t, <-errs)
	writer.Close()
	written := 1
	for range cap(errs) - 1 {
		if err := <-errs; err == nil {
			written++
		} else {
			require.ErrorIs(t, err, db.ErrWriterClosed)
		}
	}
	require.Len(t, column(ctx, t, pool, `select id from chatfeed.logs`), written)
	require.ErrorIs(t, writer.Write(ctx, db.Log{WorkflowID: "wf"}), db.ErrWriterClosed)
	writer.Close()
}
