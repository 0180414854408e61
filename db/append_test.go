package db_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"chatfeed/db"
	"chatfeed/internal/dbtest"
)

func TestAppendCommitsWithTheRestOfTheTransactionOrNotAtAll(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := openPool(t, dbtest.URL(t), 4)
	_, err := pool.Exec(ctx, `create table orders (id int primary key)`)
	require.NoError(t, err)
	place := func(fail error) error {
		return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, `insert into orders values (1)`); err != nil {
				return err
			}
			if err := failure(db.Append(ctx, tx, db.Message{WorkflowID: "wf", Message: "ordered"})); err != nil {
				return err
			}
			return fail
		})
	}

	require.Error(t, place(errors.New("no")))
	require.Empty(t, column(ctx, t, pool, `select id from chatfeed.items`))
	require.Empty(t, column(ctx, t, pool, `select id from chatfeed.workflows`), "no trace of the workflow either")

	require.NoError(t, place(nil))
	require.Len(t, column(ctx, t, pool, `select id from chatfeed.items`), 1)
	require.Len(t, column(ctx, t, pool, `select id::text from orders`), 1)
}

func TestAppendKeepsTheOrderOfItemsOfAllTypes(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := openPool(t, dbtest.URL(t), 4)
	var items []db.Item
	var wantA, wantB []string
	for i := range 40 {
		a, b := fmt.Sprintf("a%d", i), fmt.Sprintf("b%d", i)
		wantA, wantB = append(wantA, a), append(wantB, b)
		items = append(items, itemOf(i*7%5, "wf_a", a), itemOf(i*5%3, "wf_b", b))
	}

	require.NoError(t, pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error { return failure(db.Append(ctx, tx, items...)) }))

	inOrder := `select id from chatfeed.items where workflow_id = $1 order by "_createdAt"`
	require.Equal(t, wantA, column(ctx, t, pool, inOrder, "wf_a"))
	require.Equal(t, wantB, column(ctx, t, pool, inOrder, "wf_b"))
}

func itemOf(kind int, workflow, id string) db.Item {
	return []db.Item{
		db.Message{WorkflowID: workflow, ID: id, Message: "m"},
		db.Log{WorkflowID: workflow, ID: id, Message: "l"},
		db.Stat{WorkflowID: workflow, ID: id, TokenCount: 1},
		db.Progress{WorkflowID: workflow, ID: id, Progress: 1},
		db.Tool{WorkflowID: workflow, ID: id, CallID: "call", Name: "t", State: db.InputAvailable},
	}[kind]
}

func TestAppendingAnItemAgainChangesNothing(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := openPool(t, dbtest.URL(t), 4)
	writer := newWriter(t, pool)
	require.NoError(t, failure(writer.Write(ctx, db.Progress{WorkflowID: "wf", ID: "one", Progress: 1, Status: "started"})))
	require.NoError(t, failure(writer.Write(ctx, db.Progress{WorkflowID: "wf", ID: "two", Progress: 100, Status: "done"})))
	before := column(ctx, t, pool, `select i::text from chatfeed.items i order by "_createdAt"`)

	require.NoError(t, failure(writer.Write(ctx, db.Progress{WorkflowID: "wf", ID: "one", Progress: 9, Status: "other"})))

	require.Equal(t, before, column(ctx, t, pool, `select i::text from chatfeed.items i order by "_createdAt"`))
	require.Equal(t, []string{"done"}, column(ctx, t, pool, `select status from chatfeed.heads`),
		"the status follows the latest item, not the latest try")
}

func TestAFieldThatCannotBeStoredIsNamed(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := openPool(t, dbtest.URL(t), 4)
	writer := newWriter(t, pool)
	long := strings.Repeat("x", 1<<20+1)
	tests := map[string]struct {
		item   db.Item
		field  string
		reason string
	}{
		"empty workflow":    {db.Message{}, "workflowId", "1 to 1000 bytes"},
		"long workflow":     {db.Log{WorkflowID: strings.Repeat("é", 501)}, "workflowId", "is 1002 bytes long"},
		"NUL in workflow":   {db.Stat{WorkflowID: "a\x00b"}, "workflowId", "NUL"},
		"long id":           {db.Stat{WorkflowID: "wf", ID: long[:201]}, "id", "at most 200 bytes"},
		"long message":      {db.Message{WorkflowID: "wf", Message: long}, "message", "at most 1048576 bytes"},
		"NUL in message":    {db.Message{WorkflowID: "wf", Message: "a\x00"}, "message", "NUL"},
		"bytes, not text":   {db.Log{WorkflowID: "wf", Message: "\xff"}, "message", "UTF-8"},
		"long role":         {db.Message{WorkflowID: "wf", Role: long[:1001]}, "role", "at most 1000 bytes"},
		"long result":       {db.Progress{WorkflowID: "wf", Result: long}, "result", "at most 1048576 bytes"},
		"progress above":    {db.Progress{WorkflowID: "wf", Progress: 100.5}, "progress", "a number from 0 to 100"},
		"progress below":    {db.Progress{WorkflowID: "wf", Progress: -1}, "progress", "a number from 0 to 100"},
		"progress NaN":      {db.Progress{WorkflowID: "wf", Progress: math.NaN()}, "progress", "is NaN"},
		"negative time":     {db.Stat{WorkflowID: "wf", ProcessingTime: -0.1}, "processingTime", "zero or more"},
		"infinite time":     {db.Stat{WorkflowID: "wf", ProcessingTime: math.Inf(1)}, "processingTime", "zero or more"},
		"too many tokens":   {db.Stat{WorkflowID: "wf", TokenCount: 1 << 31}, "tokenCount", "0 to 2147483647"},
		"metadata not JSON": {db.Message{WorkflowID: "wf", Metadata: json.RawMessage("{")}, "metadata", "JSON"},
		"long metadata":     {db.Message{WorkflowID: "wf", Metadata: json.RawMessage(`"` + long[:64<<10] + `"`)}, "metadata", "at most 65536"},
		"nil":               {nil, "item", "is nil"},
	}
	for name, test := range tests {
		err := failure(writer.Write(ctx, db.Message{WorkflowID: "wf", Message: "beside it"}, test.item))
		var bad *db.InvalidItemError
		require.ErrorAs(t, err, &bad, name)
		require.Equal(t, 1, bad.Index, name)
		require.Equal(t, test.field, bad.Field, name)
		require.Contains(t, bad.Reason, test.reason, name)
	}
	require.Empty(t, column(ctx, t, pool, `select id from chatfeed.items`), "nor has what stood beside it been written")
}

func TestTheTablesRefuseInvalidRowsOfOtherPrograms(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := openPool(t, dbtest.URL(t), 4)
	_, err := pool.Exec(ctx, `insert into chatfeed.messages (workflow_id, id, message) values ('wf', 'one', 'first')`)
	require.NoError(t, err)
	for statement, want := range map[string]string{
		`update chatfeed.messages set message = 'second'`:                                      "insert a new item",
		`insert into chatfeed.messages (workflow_id, message) values ('', 'm')`:                "workflow_id_length",
		`insert into chatfeed.messages (workflow_id, message) values (repeat('x', 1001), '')`:  "workflow_id_length",
		`insert into chatfeed.logs (workflow_id, message) values ('wf', repeat('x', 1048577))`: "message_length",
		`insert into chatfeed.progress (workflow_id, progress) values ('wf', 101)`:             "progress_range",
		`insert into chatfeed.progress (workflow_id, progress) values ('wf', 'NaN')`:           "progress_range",
		`insert into chatfeed.stats (workflow_id, token_count) values ('wf', -1)`:              "token_count_range",
		`insert into chatfeed.messages (workflow_id, id, message) values ('wf', 'one', '')
			on conflict (workflow_id, id) do update set message = 'second'`: "insert a new item",
	} {
		_, err := pool.Exec(ctx, statement)
		require.ErrorContains(t, err, want, statement)
	}
	require.Equal(t, []string{"first"}, column(ctx, t, pool, `select message from chatfeed.messages`))
}

func TestTheStampOverridesTheWriterAndGrowsWhenTheClockStepsBack(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := openPool(t, dbtest.URL(t), 4)
	stepBack(ctx, t, pool, "wf", "1", time.Hour)

	stamps := column(ctx, t, pool, `insert into chatfeed.messages (workflow_id, message, "_createdAt")
		values ('wf', '2', '1999-01-01'), ('wf', '3', 'infinity') returning message`)
	require.Len(t, stamps, 2)
	_, err := pool.Exec(ctx, `insert into chatfeed.logs (workflow_id, message) values ('wf', '4')`)
	require.NoError(t, err)

	require.Equal(t, []string{"1", "2", "3", "4"},
		column(ctx, t, pool, `select body->>'message' from chatfeed.items order by "_createdAt"`))
	require.Equal(t, []string{"0.000001", "0.000001", "0.000001"}, column(ctx, t, pool, `
		select trim(trailing '0' from extract(epoch from gap)::text) from (
			select "_createdAt" - lag("_createdAt") over (order by "_createdAt") as gap from chatfeed.items
		) g where gap is not null`), "one microsecond apart")
}

// stepBack writes a message that was stamped before the clock stepped back: it is ahead of the clock.
func stepBack(ctx context.Context, t *testing.T, pool *pgxpool.Pool, workflow, message string, ahead time.Duration) {
	t.Helper()
	_, err := pool.Exec(ctx, `insert into chatfeed.messages (workflow_id, message) values ($1, $2)`, workflow, message)
	require.NoError(t, err)
	// Also the horizon, where its owner's transaction would have left it.
	_, err = pool.Exec(ctx, fmt.Sprintf(`
		begin;
		alter table chatfeed.messages disable trigger user;
		update chatfeed.messages set "_createdAt" = "_createdAt" + interval '%d microseconds' where message = '%s';
		alter table chatfeed.messages enable trigger user;
		select setval('chatfeed.horizon', greatest(last_value, (extract(epoch from (select max("_createdAt") from chatfeed.messages)) * 1000000)::bigint))
		from chatfeed.horizon;
		commit`, ahead.Microseconds(), message))
	require.NoError(t, err)
}

func TestErasingAWorkflowErasesItsItems(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := openPool(t, dbtest.URL(t), 4)
	writer := newWriter(t, pool)
	for _, workflow := range []string{"wf_a", "wf_b"} {
		for kind := range 4 {
			require.NoError(t, failure(writer.Write(ctx, itemOf(kind, workflow, "x"))))
		}
	}
	_, err := pool.Exec(ctx, `delete from chatfeed.workflows where id = 'wf_a'`)
	require.NoError(t, err)
	require.Equal(t, []string{"wf_b", "wf_b", "wf_b", "wf_b"}, column(ctx, t, pool, `select workflow_id from chatfeed.items`))
}

func TestABadRowInAGroupFailsItsCallerOnly(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := openPool(t, dbtest.URL(t), 4)
	writer := newWriter(t, pool)
	// Valid JSON that jsonb refuses: only PostgreSQL knows.
	bad := db.Message{WorkflowID: "wf", ID: "bad", Metadata: json.RawMessage(`"\u0000"`)}
	failed := make(chan error, 64)
	for i := range cap(failed) {
		go func() {
			if i%8 == 3 {
				failed <- failure(writer.Write(ctx, bad))
				return
			}
			if err := failure(writer.Write(ctx, db.Message{WorkflowID: fmt.Sprintf("wf_%d", i%3), ID: fmt.Sprint(i)})); err != nil {
				failed <- fmt.Errorf("a good row failed: %w", err)
				return
			}
			failed <- nil
		}()
	}
	refused := 0
	for range cap(failed) {
		if err := <-failed; err != nil {
			var pg *pgconn.PgError
			require.ErrorAs(t, err, &pg)
			require.True(t, db.Refused(err))
			require.NotContains(t, err.Error(), "a good row")
			refused++
		}
	}
	require.Equal(t, cap(failed)/8, refused)
	require.Len(t, column(ctx, t, pool, `select id from chatfeed.items`), cap(failed)-refused)
}
