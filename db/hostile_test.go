package db_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"chatfeed/db"
	"chatfeed/feed"
	"chatfeed/internal/dbtest"
)

// The triggers run with their owner's privileges, so no other role may use them on its own tables.
func TestTheTriggersCannotBeUsedOnOtherTables(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	owner, reader := withRole(t, "reader")
	require.NoError(t, failure(newWriter(t, owner).Write(ctx, itemOf(0, "victim", "a"), itemOf(0, "victim", "b"))))
	attacks := map[string]string{
		"erase_items": `create temp table t (id text); create trigger x after delete on t for each row execute function chatfeed.erase_items('messages');
			insert into t values ('victim'); delete from t`,
		"announce": `create temp table messages (workflow_id text, id text, "_createdAt" timestamptz);
			create trigger x after insert on messages referencing new table as inserted for each statement execute function chatfeed.announce();
			insert into messages values ('victim', 'a', '9999-12-31')`,
		"stamp": `create temp table u (workflow_id text, id text, "_createdAt" timestamptz, metadata jsonb);
			create trigger x before insert on u for each row execute function chatfeed.stamp(); insert into u values ('victim', 'a', null, null)`,
		"lock_before_erasure": `create temp table v (workflow_id text);
			create trigger x before delete on v for each row execute function chatfeed.lock_before_erasure();
			insert into v values ('victim'); delete from v`,
		"record_erasure": `create temp table w (workflow_id text, id text, "_createdAt" timestamptz);
			create trigger x after delete on w referencing old table as gone for each statement execute function chatfeed.record_erasure('message');
			insert into w values ('victim', 'a', '9999-12-31'); delete from w`,
		"announce_end": `create temp table y (id text);
			create trigger x after delete on y referencing old table as gone for each statement execute function chatfeed.announce_end();
			insert into y values ('victim'); delete from y`,
	}
	before := everything(ctx, t, owner)
	refuses(t, reader, values(attacks)...)
	// A restore without privileges grants them to everyone again.
	_, err := owner.Exec(ctx, `grant execute on all functions in schema chatfeed to public`)
	require.NoError(t, err)
	for name, attack := range attacks {
		_, err := reader.Exec(ctx, attack)
		require.ErrorContains(t, err, "this is for the tables of chatfeed", name)
	}
	require.Equal(t, before, everything(ctx, t, owner))
}

func values(m map[string]string) (all []string) {
	for _, v := range m {
		all = append(all, v)
	}
	return all
}

// With an older snapshot, items that were committed since would remain.
func TestAWorkflowIsErasedCompletelyOrNotAtAll(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := openPool(t, dbtest.URL(t), 4)
	require.NoError(t, failure(newWriter(t, pool).Write(ctx, itemOf(0, "wf", "a"))))
	for _, level := range []pgx.TxIsoLevel{pgx.RepeatableRead, pgx.Serializable} {
		err := pgx.BeginTxFunc(ctx, pool, pgx.TxOptions{IsoLevel: level}, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, `delete from chatfeed.workflows`)
			return err
		})
		require.ErrorContains(t, err, "cannot be erased in a transaction that is "+string(level))
	}
	open, err := pool.Begin(ctx)
	require.NoError(t, err)
	_, err = open.Exec(ctx, `insert into chatfeed.logs (workflow_id, message) values ('wf', 'late')`)
	require.NoError(t, err)
	erased := make(chan error, 1)
	go func() {
		_, err := pool.Exec(ctx, `delete from chatfeed.workflows`)
		erased <- err
	}()
	require.Eventually(t, func() bool {
		return len(column(ctx, t, pool, `select '' from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`)) > 0
	}, 20*time.Second, 5*time.Millisecond)
	require.NoError(t, open.Commit(ctx))
	require.NoError(t, <-erased)
	require.Empty(t, column(ctx, t, pool, `select id from chatfeed.items`))
}

func TestTheTablesRefuseToBeTruncated(t *testing.T) {
	t.Parallel()
	pool := openPool(t, dbtest.URL(t), 1)
	for _, table := range []string{"messages", "logs", "stats", "progress", "workflows"} {
		_, err := pool.Exec(t.Context(), `truncate chatfeed.`+table)
		require.ErrorContains(t, err, "cannot be truncated: delete from it instead", table)
	}
}

// PostgreSQL keeps plans for as long as a connection lives, also those that it made when a table had one row.
func TestAPlanOfASmallTableDoesNotOutliveIt(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	address := dbtest.URL(t)
	pool, other := openPool(t, address, 1), openPool(t, address, 1)
	insert := func(n int) {
		for i := range n {
			_, err := pool.Exec(ctx, `insert into chatfeed.messages (workflow_id, message) values ($1, '')`, fmt.Sprint("wf_", i%5))
			require.NoError(t, err)
		}
	}
	insert(5)
	for _, table := range []string{"messages", "logs", "stats", "progress", "workflows"} {
		_, err := pool.Exec(ctx, `vacuum analyze chatfeed.`+table)
		require.NoError(t, err)
	}
	_, err := pool.Exec(ctx, `discard plans`)
	require.NoError(t, err)
	insert(20) // so that each has a generic plan
	_, err = other.Exec(ctx, `insert into chatfeed.messages (workflow_id, message) select 'of_others_' || n, '' from generate_series(1, 3000) n`)
	require.NoError(t, err)
	scanned := func() (rows int) {
		_, err := pool.Exec(ctx, `select pg_stat_force_next_flush()`)
		require.NoError(t, err)
		require.NoError(t, pool.QueryRow(ctx, `select sum(seq_tup_read) from pg_stat_user_tables where schemaname = 'chatfeed'`).Scan(&rows))
		return rows
	}
	before := scanned()
	insert(20)
	require.Less(t, scanned()-before, 1000, "rows read by scanning tables of 3,000")
}

// Several inserts of one statement are in no order to each other, and cost what they cost apart.
func TestSeveralInsertsOfOneStatementAreNotStampedAgain(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := openPool(t, dbtest.URL(t), 1)
	for _, nest := range []func(func(pgx.Tx) error) error{
		func(do func(pgx.Tx) error) error { return pgx.BeginFunc(ctx, pool, do) },
		func(do func(pgx.Tx) error) error {
			return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error { return pgx.BeginFunc(ctx, tx, do) })
		},
	} {
		for range 20 {
			require.NoError(t, nest(func(tx pgx.Tx) error {
				var message, progress time.Time
				err := tx.QueryRow(ctx, `
					with m as (insert into chatfeed.messages (workflow_id, message) values ('wf', '') returning "_createdAt")
					insert into chatfeed.progress (workflow_id, progress) values ('wf', 1) returning "_createdAt", (select * from m)`).Scan(&progress, &message)
				if err != nil {
					return err
				}
				var kept int
				err = tx.QueryRow(ctx, `select count(*) from chatfeed.items where "_createdAt" in ($1, $2)`, message, progress).Scan(&kept)
				require.Equal(t, 2, kept, "the stamps that were returned are those that the rows have")
				return err
			}))
		}
	}
	_, updated := workflowVersions(ctx, t, pool)
	require.LessOrEqual(t, updated, 2, "versions of the workflow's row for 40 statements")
}

// After a step back, the clock may show the stamp of an existing item.
func TestAClockThatStepsBackIntoDenseStampsFailsNoInsert(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := openPool(t, dbtest.URL(t), 1)
	move := unsteadyClock(ctx, t, pool)
	_, err := pool.Exec(ctx, `insert into chatfeed.logs (workflow_id, id, message) select 'wf', n::text, '' from generate_series(1, 3000) n`)
	require.NoError(t, err)
	move(-50 * time.Millisecond)
	_, err = pool.Exec(ctx, `insert into chatfeed.logs (workflow_id, id, message) select 'wf', n::text, '' from generate_series(3001, 5000) n`)
	require.NoError(t, err)
	require.Equal(t, []string{"true 5000"}, column(ctx, t, pool, `
		select bool_and(right_order)::text || ' ' || count(distinct "_createdAt") from (
			select "_createdAt", id::int > lag(id::int, 1, 0) over (order by "_createdAt") as right_order from chatfeed.logs) l`))
}

func TestErasingAndRepeatingAnItemDoNotDeadlock(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := openPool(t, dbtest.URL(t), 4)
	require.NoError(t, failure(newWriter(t, pool).Write(ctx, itemOf(0, "wf", "x"))))
	writer, err := pool.Begin(ctx)
	require.NoError(t, err)
	t.Cleanup(func() { _ = writer.Rollback(context.WithoutCancel(ctx)) })
	_, err = writer.Exec(ctx, `insert into chatfeed.logs (workflow_id, message) values ('wf', '')`)
	require.NoError(t, err)
	erased := make(chan error, 1)
	go func() {
		_, err := pool.Exec(ctx, `delete from chatfeed.messages where id = 'x'`)
		erased <- err
	}()
	require.Eventually(t, func() bool {
		return len(column(ctx, t, pool, `select '' from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`)) > 0
	}, 20*time.Second, 5*time.Millisecond)
	require.NoError(t, failure(db.Append(ctx, writer, itemOf(0, "wf", "x"))))
	require.NoError(t, writer.Commit(ctx))
	require.NoError(t, <-erased)
}

func TestErasingOneByOneMakesNoVersions(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := openPool(t, dbtest.URL(t), 1)
	_, err := pool.Exec(ctx, `insert into chatfeed.logs (workflow_id, id, message) select 'wf', n::text, '' from generate_series(1, 100) n`)
	require.NoError(t, err)
	for n := range 99 {
		_, err := pool.Exec(ctx, `delete from chatfeed.logs where id = $1`, fmt.Sprint(n+1))
		require.NoError(t, err)
	}
	_, updated := workflowVersions(ctx, t, pool)
	require.LessOrEqual(t, updated, 1)
	require.Len(t, column(ctx, t, pool, `select item_id from chatfeed.erasures`), 99)

	// Erasures older than a day are removed, except the last of each workflow.
	_, err = pool.Exec(ctx, `update chatfeed.erasures set erased_at = erased_at - interval '2 days';
		insert into chatfeed.logs (workflow_id, id, message) values ('other', 'a', ''), ('other', 'b', ''); delete from chatfeed.logs where id = 'a'`)
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"99", "a"}, column(ctx, t, pool, `select item_id from chatfeed.erasures`))
}

// A workflow whose items are all erased is no longer listed, until it has new ones.
func TestAWorkflowWithoutItemsIsNotListed(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := openPool(t, dbtest.URL(t), 2)
	lister := db.NewLister(pool)
	listed := func() int {
		workflows, err := lister.Workflows(ctx, feed.Workflow{}, 10)
		require.NoError(t, err)
		return len(workflows)
	}
	insert := `insert into chatfeed.logs (workflow_id, id, message) values ('wf', $1, '')`
	_, err := pool.Exec(ctx, insert, "a")
	require.NoError(t, err)
	require.Equal(t, 1, listed())
	_, err = pool.Exec(ctx, `delete from chatfeed.logs`)
	require.NoError(t, err)
	require.Zero(t, listed())
	require.Equal(t, []string{"-infinity"}, column(ctx, t, pool, `select active::text from chatfeed.workflows`), "nor looked at")
	_, err = pool.Exec(ctx, insert, "b")
	require.NoError(t, err)
	require.Equal(t, 1, listed())
	var pg *pgconn.PgError
	_, err = pool.Exec(ctx, insert, "b")
	require.ErrorAs(t, err, &pg)
	require.Equal(t, "23505", pg.Code)
}
