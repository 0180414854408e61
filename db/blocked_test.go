package db_test

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"chatfeed/db"
	"chatfeed/internal/dbtest"
)

// hold opens another transaction that has written to workflows and stays open until release is called.
func hold(ctx context.Context, t *testing.T, pool *pgxpool.Pool, workflows ...string) (release func()) {
	t.Helper()
	tx, err := pool.Begin(ctx)
	require.NoError(t, err)
	for _, workflow := range workflows {
		_, err = tx.Exec(ctx, `insert into chatfeed.logs (workflow_id, message) values ($1, 'held')`, workflow)
		require.NoError(t, err)
	}
	var once sync.Once
	release = func() { once.Do(func() { require.NoError(t, tx.Rollback(context.WithoutCancel(ctx))) }) }
	t.Cleanup(release)
	return release
}

// Only writes to workflows that another transaction has locked wait, and while they wait they hold no
// lock that others need.
func TestABlockedWorkflowDelaysNoOther(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := openPool(t, dbtest.URL(t), 8)
	var held []string
	for i := range 40 {
		held = append(held, fmt.Sprintf("held_%02d", i))
	}
	require.NoError(t, failure(newWriter(t, pool).Write(ctx, itemOf(0, held[0], "first"))))
	release := hold(ctx, t, pool, held...)
	writer := newWriter(t, pool)
	blocked := make(chan error, len(held))
	for _, workflow := range held {
		go func() {
			blocked <- failure(writer.Write(ctx, itemOf(0, workflow, "waits"), itemOf(1, "beside_"+workflow, "waits")))
		}()
	}
	require.Eventually(t, func() bool { return writer.Blocked() == len(held) }, 20*time.Second, time.Millisecond)

	// Unrelated workflows of one call, of many callers, and of those that a blocked write names beside the held one.
	var slowest time.Duration
	for i := range 20 {
		began := time.Now()
		require.NoError(t, failure(writer.Write(ctx, itemOf(i%4, "free", fmt.Sprint(i)))))
		_, err := pool.Exec(ctx, `insert into chatfeed.messages (workflow_id, message) values ('beside_' || $1, 'by hand')`, held[i])
		require.NoError(t, err)
		slowest = max(slowest, time.Since(began))
	}
	t.Logf("the slowest of 20 unrelated writes and inserts by hand took %v", slowest)
	require.Less(t, slowest, 10*time.Second, "they would have waited for as long as the transaction is open")
	require.Empty(t, blocked)

	release()
	for range held {
		require.NoError(t, <-blocked)
	}
	require.Len(t, column(ctx, t, pool, `select id from chatfeed.items where id = 'waits'`), 2*len(held))
	require.Eventually(t, func() bool { return writer.Blocked() == 0 }, 20*time.Second, time.Millisecond)
}

// While a workflow is blocked its writes keep their order, and join groups again afterwards.
func TestBlockedWritesKeepTheirOrder(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := openPool(t, dbtest.URL(t), 4)
	release := hold(ctx, t, pool, "wf")
	writer := newWriter(t, pool)
	var waiting []<-chan error
	for i := range 20 {
		written, err := writer.Enqueue(itemOf(i%4, "wf", fmt.Sprintf("%02d", i)))
		require.NoError(t, err)
		waiting = append(waiting, written)
		if i == 0 { // so that no flusher has taken any of the others
			require.Eventually(t, func() bool { return writer.Blocked() > 0 }, 20*time.Second, time.Millisecond)
		}
	}
	release()
	for _, written := range waiting {
		require.NoError(t, <-written)
	}
	ids := column(ctx, t, pool, `select id from chatfeed.items order by "_createdAt"`)
	require.IsIncreasing(t, ids)
	require.Len(t, ids, 20)
}

// Blocked writes can be cancelled, and Close writes them.
func TestABlockedWriteCanBeCancelled(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := openPool(t, dbtest.URL(t), 4)
	release := hold(ctx, t, pool, "wf")
	writer := newWriter(t, pool)
	first, err := writer.Enqueue(itemOf(0, "wf", "first"))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return writer.Blocked() == 1 }, 20*time.Second, time.Millisecond)
	impatient, giveUp := context.WithCancel(ctx)
	gone := make(chan error, 1)
	go func() { gone <- failure(writer.Write(impatient, itemOf(0, "wf", "given up"))) }()
	require.Eventually(t, func() bool { return writer.Waiting("wf") > 0 }, 20*time.Second, time.Millisecond)
	giveUp()
	require.ErrorContains(t, <-gone, "not written")
	release()
	writer.Close()
	require.NoError(t, <-first)
	require.Equal(t, []string{"first"}, column(ctx, t, pool, `select id from chatfeed.items`))
	_, err = writer.Write(ctx, itemOf(0, "wf", "late"))
	require.ErrorIs(t, err, db.ErrWriterClosed)
}

// A lock other than a workflow's, such as that of a row which a foreign key refers to, blocks only the writes that need it.
func TestALockOfAnotherTableDelaysOnlyTheWritesThatNeedIt(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := openPool(t, dbtest.URL(t), 8)
	_, err := pool.Exec(ctx, `create table public.chats (id text primary key); insert into public.chats select 'c' || n from generate_series(1, 40) n;
		alter table chatfeed.messages add foreign key (workflow_id) references public.chats (id)`)
	require.NoError(t, err)
	tx, err := pool.Begin(ctx)
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback(context.WithoutCancel(ctx)) })
	_, err = tx.Exec(ctx, `select from public.chats where id in ('c1', 'c2') for update`)
	require.NoError(t, err)
	writer := newWriter(t, pool)
	blocked := make(chan error, 2)
	for _, workflow := range []string{"c1", "c2"} {
		go func() { blocked <- failure(writer.Write(ctx, itemOf(0, workflow, "waits"))) }()
	}
	for n := range 30 {
		require.NoError(t, failure(writer.Write(ctx, itemOf(0, fmt.Sprint("c", 3+n), "free"))))
	}
	require.Empty(t, blocked)
	require.NoError(t, tx.Rollback(ctx))
	require.NoError(t, <-blocked)
	require.NoError(t, <-blocked)
}

// A write that waits for one workflow does not wait for another workflow of a write before it.
func TestAWriteThatWaitsForAnotherWorkflowDoesNotDelayThoseBehindIt(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := openPool(t, dbtest.URL(t), 8)
	releaseA := hold(ctx, t, pool, "a")
	releaseB := hold(ctx, t, pool, "b")
	writer := newWriter(t, pool)
	both, err := writer.Enqueue(itemOf(0, "a", "both"), itemOf(0, "b", "both"))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return writer.Blocked() > 0 }, 20*time.Second, time.Millisecond)
	behind, err := writer.Enqueue(itemOf(0, "a", "behind"))
	require.NoError(t, err)
	releaseA()
	require.NoError(t, <-behind, "b is still held")
	require.Empty(t, both)
	releaseB()
	require.NoError(t, <-both)
}

// When the lock is free, the waiting writes join groups again, however many there are.
func TestAnUnblockedWorkflowIsWrittenInGroupsAgain(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := openPool(t, dbtest.URL(t), 8)
	release := hold(ctx, t, pool, "hot")
	writer := newWriter(t, pool)
	const callers, writes = 32, 40
	var calling sync.WaitGroup
	for c := range callers {
		calling.Go(func() {
			for n := range writes {
				if _, err := writer.Write(ctx, itemOf(0, "hot", fmt.Sprint(c, "_", n))); err != nil {
					t.Errorf("write: %v", err)
				}
			}
		})
	}
	require.Eventually(t, func() bool { return writer.Waiting("hot") >= callers-1 }, 20*time.Second, time.Millisecond)
	release()
	calling.Wait()
	transactions := column(ctx, t, pool, `select count(distinct xmin::text)::text from chatfeed.messages`)
	n, err := strconv.Atoi(transactions[0])
	require.NoError(t, err)
	require.Less(t, n, callers*writes/4, "transactions for %d writes", callers*writes)
}
