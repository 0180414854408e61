package db_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"chatfeed/db"
	"chatfeed/internal/dbtest"
)

// unsteadyClock gives the triggers a clock that can be moved. The returned function sets how far ahead of the true time it is.
func unsteadyClock(ctx context.Context, t *testing.T, pool *pgxpool.Pool) (move func(ahead time.Duration)) {
	t.Helper()
	_, err := pool.Exec(ctx, dbtest.MovableClock)
	require.NoError(t, err)
	return func(ahead time.Duration) {
		_, err := pool.Exec(ctx, `select setval('public.ahead', $1)`, ahead.Microseconds())
		if err != nil && ctx.Err() == nil {
			t.Errorf("move the clock: %v", err)
		}
	}
}

// TestTheOrderHoldsAtEveryIsolationLevelWithSavepointsAndAnUnsteadyClock has writers of every isolation level, some with
// snapshots from before others' commits, parts of whose work is rolled back, under a clock that steps by up to two seconds
// at random.
func TestTheOrderHoldsAtEveryIsolationLevelWithSavepointsAndAnUnsteadyClock(t *testing.T) {
	t.Parallel()
	const writers, commits = 10, 1000
	ctx := t.Context()
	pool := openPool(t, dbtest.URL(t), 24)
	move := unsteadyClock(ctx, t, pool)
	workflows := []string{"wf_a", "wf_b", "wf_c"}
	writing := make(chan struct{})
	var beside sync.WaitGroup
	seen := make([]map[string][]string, 3)
	for i := range seen {
		beside.Go(func() {
			seen[i] = readPages(ctx, t, pool, workflows, writing,
				`select id, "_createdAt" from chatfeed.items where workflow_id = $1 and "_createdAt" > $2
				 order by "_createdAt" limit $3`)
		})
	}
	beside.Go(func() {
		for {
			select {
			case <-writing:
				return
			default:
				move(rand.N(4*time.Second) - 2*time.Second)
			}
		}
	})

	var mu sync.Mutex
	committed := make(map[string][]string)
	levels := make(map[pgx.TxIsoLevel]int)
	var done atomic.Int64
	var working sync.WaitGroup
	for w := range writers {
		working.Go(func() {
			for n := 0; done.Load() < commits; n++ {
				workflow := workflows[rand.IntN(len(workflows))]
				level := []pgx.TxIsoLevel{pgx.ReadCommitted, pgx.ReadCommitted, pgx.RepeatableRead, pgx.Serializable}[rand.IntN(4)]
				ids, err := writeInPieces(ctx, pool, level, workflow, fmt.Sprintf("w%d_%05d", w, n))
				switch {
				case err == nil:
					done.Add(1)
					mu.Lock()
					committed[workflow] = append(committed[workflow], ids...)
					levels[level]++
					mu.Unlock()
				case !again(err):
					t.Errorf("a writer failed: %v", err)
					return
				}
			}
		})
	}
	working.Wait()
	close(writing)
	beside.Wait()

	for _, workflow := range workflows {
		want := column(ctx, t, pool, `select id from chatfeed.items where workflow_id = $1 order by "_createdAt"`, workflow)
		require.ElementsMatch(t, committed[workflow], want, "the table has what was committed")
		for _, s := range seen {
			require.Equal(t, want, s[workflow], "a reader that pages by the bare timestamp")
		}
		last := make(map[string]string) // by transaction
		for _, id := range want {
			transaction := id[:strings.LastIndex(id, "_")]
			require.Greater(t, id, last[transaction], "the order within a transaction")
			last[transaction] = id
		}
	}
	t.Logf("commits by level: %v", levels)
	for _, level := range []pgx.TxIsoLevel{pgx.ReadCommitted, pgx.RepeatableRead, pgx.Serializable} {
		require.Positive(t, levels[level], "commits of level %s", level)
	}
}

// writeInPieces writes a few items in one transaction, some of them in savepoints that are rolled back, and returns the ids of
// those that are left.
func writeInPieces(ctx context.Context, pool *pgxpool.Pool, level pgx.TxIsoLevel, workflow, name string) (ids []string, err error) {
	errBack := errors.New("back to the savepoint")
	err = pgx.BeginTxFunc(ctx, pool, pgx.TxOptions{IsoLevel: level}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `select count(*) from chatfeed.items where workflow_id = $1`, workflow); err != nil {
			return err // the snapshot is from here on
		}
		if rand.IntN(2) == 0 {
			if _, err := pool.Exec(ctx, `select`); err != nil { // others may commit meanwhile
				return err
			}
		}
		for i := range 1 + rand.IntN(4) {
			id := fmt.Sprintf("%s_%d", name, i)
			err := pgx.BeginFunc(ctx, tx, func(savepoint pgx.Tx) error {
				if err := insertOne(ctx, savepoint, workflow, id); err != nil {
					return err
				}
				if rand.IntN(4) == 0 {
					return errBack
				}
				return nil
			})
			switch {
			case err == nil:
				ids = append(ids, id)
			case !errors.Is(err, errBack):
				return err
			}
		}
		return nil
	})
	return ids, err
}

func insertOne(ctx context.Context, tx pgx.Tx, workflow, id string) error {
	if rand.IntN(2) == 0 {
		return failure(db.Append(ctx, tx, itemOf(rand.IntN(5), workflow, id)))
	}
	_, err := tx.Exec(ctx, `insert into chatfeed.messages (workflow_id, id, message) values ($1, $2, '')`, workflow, id)
	return err
}

// again reports whether a transaction failed for a conflict with another.
func again(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "40001" || pg.Code == "40P01")
}

// A snapshot from before somebody's commit does not show what the commit has stamped, and the clock has stepped back since.
func TestAnOldSnapshotDoesNotBreakTheOrder(t *testing.T) {
	t.Parallel()
	for _, level := range []pgx.TxIsoLevel{pgx.RepeatableRead, pgx.Serializable} {
		t.Run(string(level), func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			pool := openPool(t, dbtest.URL(t), 4)
			move := unsteadyClock(ctx, t, pool)
			insert := func(on interface {
				Exec(context.Context, string, ...any) (pgconn.CommandTag, error)
			}, id string,
			) {
				_, err := on.Exec(ctx, `insert into chatfeed.messages (workflow_id, id, message) values ('wf', $1, '')`, id)
				require.NoError(t, err)
			}
			insert(pool, "first")
			tx, err := pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: level})
			require.NoError(t, err)
			defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
			_, err = tx.Exec(ctx, `select count(*) from chatfeed.items`)
			require.NoError(t, err)
			move(40 * time.Second)
			insert(pool, "second")
			move(20 * time.Second) // later than the beginning of the history, which every stamp is compared with
			insert(tx, "third")
			insert(tx, "fourth")
			require.NoError(t, tx.Commit(ctx))
			insert(pool, "fifth")
			require.Equal(t, []string{"first", "second", "third", "fourth", "fifth"},
				column(ctx, t, pool, `select id from chatfeed.items order by "_createdAt"`))
		})
	}
}
