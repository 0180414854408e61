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
	"chatfeed/internal/dbtest"
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
					items = append(items, itemOf(rand.IntN(5), workflow, fmt.Sprintf("%02d_%02d_%d", c, n, i)))
				}
				if _, err := writers[c%2].Write(ctx, items...); err != nil {
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
	pool := openPool(t, dbtest.URL(t), 2)
	writer, free := busyWriter(t, pool)
	const callers = 100
	var calling sync.WaitGroup
	for i := range callers {
		calling.Go(func() {
			if err := failure(writer.Write(ctx, db.Log{WorkflowID: "wf", ID: fmt.Sprint(i)})); err != nil {
				t.Errorf("a write failed: %v", err)
			}
		})
	}
	queued(t, writer, callers)
	free()
	calling.Wait()
	commits := column(ctx, t, pool, `select distinct xmin::text from chatfeed.logs where workflow_id = 'wf'`)
	require.Len(t, commits, 1)
}

func TestACancelledQueuedWriteIsNotWritten(t *testing.T) {
	t.Parallel()
	ctx, giveUp := context.WithCancel(t.Context())
	pool := openPool(t, dbtest.URL(t), 2)
	writer, free := busyWriter(t, pool)
	gone, stayed := make(chan error, 1), make(chan error, 1)
	go func() { gone <- failure(writer.Write(ctx, db.Log{WorkflowID: "wf", ID: "gone"})) }()
	go func() { stayed <- failure(writer.Write(t.Context(), db.Log{WorkflowID: "wf", ID: "stayed"})) }()
	queued(t, writer, 2)
	giveUp()
	err := <-gone
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "not written")
	free()
	require.NoError(t, <-stayed)
	require.Equal(t, []string{"stayed"}, column(t.Context(), t, pool, `select id from chatfeed.logs where workflow_id = 'wf'`))
}

// busyWriter makes a writer on a pool of two connections, each of whose flushers has one write and waits for a
// connection until free is called; later writes are queued.
func busyWriter(t *testing.T, pool *pgxpool.Pool) (writer *db.Writer, free func()) {
	t.Helper()
	var conns []*pgxpool.Conn
	free = sync.OnceFunc(func() {
		for _, conn := range conns {
			conn.Release()
		}
	})
	t.Cleanup(free)
	for range 2 {
		conn, err := pool.Acquire(t.Context())
		require.NoError(t, err)
		conns = append(conns, conn)
	}
	writer = db.NewWriter(pool)
	t.Cleanup(func() { free(); writer.Close() })
	for range conns {
		_, err := writer.Enqueue(db.Log{WorkflowID: "busy"})
		require.NoError(t, err)
		queued(t, writer, 0)
	}
	return writer, free
}

// queued waits until n writes are in the writer's queue.
func queued(t *testing.T, writer *db.Writer, n int) {
	t.Helper()
	require.Eventually(t, func() bool { return writer.Queued() == n }, 10*time.Second, time.Millisecond)
}

func TestACancelledCallerDoesNotAffectOthers(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := openPool(t, dbtest.URL(t), 8)
	writer := newWriter(t, pool)
	tx, err := pool.Begin(ctx)
	require.NoError(t, err)
	require.NoError(t, failure(db.Append(ctx, tx, db.Log{WorkflowID: "wf"})))
	impatient, giveUp := context.WithCancel(ctx)
	gone, stayed := make(chan error, 1), make(chan error, 1)
	go func() { gone <- failure(writer.Write(impatient, db.Log{WorkflowID: "wf", ID: "gone"})) }()
	go func() { stayed <- failure(writer.Write(ctx, db.Log{WorkflowID: "wf", ID: "stayed"})) }()
	giveUp()
	require.ErrorIs(t, <-gone, context.Canceled)
	require.NoError(t, tx.Commit(ctx))
	require.NoError(t, <-stayed)
}

func TestAnErrorOfAUsersOwnTriggerFailsItsCallerOnly(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := openPool(t, dbtest.URL(t), 4)
	_, err := pool.Exec(ctx, `create function refuse() returns trigger language plpgsql as
		$$ begin if new.message = 'no' then raise 'not here'; end if; return new; end $$;
		create trigger refuse before insert on chatfeed.messages for each row execute function refuse()`)
	require.NoError(t, err)
	writer := newWriter(t, pool)
	failed := make(chan error, 50)
	for i := range cap(failed) {
		item := &db.Message{WorkflowID: "wf", Message: map[bool]string{true: "no", false: "yes"}[i == 20]}
		go func() { failed <- failure(writer.Write(ctx, item)) }()
	}
	refused := 0
	for range cap(failed) {
		if err := <-failed; err != nil {
			require.ErrorContains(t, err, "not here")
			refused++
		}
	}
	require.Equal(t, 1, refused)
}

func TestCloseCommitsQueuedWritesAndRefusesLaterOnes(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := openPool(t, dbtest.URL(t), 4)
	writer := db.NewWriter(pool)
	errs := make(chan error, 100)
	for i := range cap(errs) {
		go func() { errs <- failure(writer.Write(ctx, db.Log{WorkflowID: "wf", ID: fmt.Sprint(i)})) }()
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
	require.ErrorIs(t, failure(writer.Write(ctx, db.Log{WorkflowID: "wf"})), db.ErrWriterClosed)
	writer.Close()
}
