package db_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"chatfeed/db"
	"chatfeed/internal/dbtest"
)

// raising has messages fail with the SQLSTATE that their text is: while they are inserted or, with a role of "commit", when
// their transaction commits; each state as often as the second part of the text says, counted across transactions.
func raising(ctx context.Context, t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	_, err := pool.Exec(ctx, `
		create sequence public.raised;
		create function public.raise_it() returns trigger language plpgsql as $$
		begin
			if new.message <> '' and nextval('public.raised') <= split_part(new.message, ' ', 2)::int then
				raise exception 'raised' using errcode = split_part(new.message, ' ', 1);
			end if;
			return new;
		end $$;
		create trigger zz_insert after insert on chatfeed.messages for each row when (new.role <> 'commit') execute function public.raise_it();
		create constraint trigger zz_commit after insert on chatfeed.messages deferrable initially deferred
			for each row when (new.role = 'commit') execute function public.raise_it()`)
	require.NoError(t, err)
}

func state(err error) string {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return ""
	}
	return pg.Code
}

// Every error of a statement, a trigger or a commit is classified: invalid data, transient, or about other rows.
func TestPermanentAndTransientErrorsAreDistinguished(t *testing.T) {
	t.Parallel()
	const refused, passing, others = "refused", "passing", "all of the group"
	for code, want := range map[string]string{
		"22001": refused, "22003": refused, "22021": refused, "22P02": refused, "22P05": refused,
		"23502": refused, "23503": refused, "23505": refused, "23514": refused, "23P01": refused, "54001": refused,
		// A trigger of the user's, a right, a table: the rows that have nothing to do with it are written.
		"P0001": passing, "42501": passing, "42P01": passing, "3F000": passing, "42883": passing, "0A000": passing, "57014": passing,
		"55000": passing, "54011": passing,
		// The transaction, the connection or the server: nothing in the group is at fault.
		"54000": others, "53100": others, "53200": others, "53300": others, "25006": others, "57P01": others, "57P03": others,
		"58030": others, "XX000": others, "08006": others, "28000": others, "3D000": others, "26000": others, "25P02": others,
	} {
		for _, when := range []string{"insert", "commit"} {
			t.Run(code+" at "+when, func(t *testing.T) {
				t.Parallel()
				ctx := t.Context()
				pool := openPool(t, dbtest.URL(t), 2)
				raising(ctx, t, pool)
				writer, free := busyWriter(t, pool)
				bad, err := writer.Enqueue(db.Message{WorkflowID: "wf", ID: "bad", Role: when, Message: code + " 1000"})
				require.NoError(t, err)
				good, err := writer.Enqueue(db.Message{WorkflowID: "wf", ID: "good"})
				require.NoError(t, err)
				free()
				failed := <-bad
				require.Equal(t, code, state(failed))
				require.Equal(t, want == refused, db.Refused(failed))
				if want == others {
					require.Equal(t, code, state(<-good), "one group")
				} else {
					require.NoError(t, <-good)
				}
			})
		}
	}
}

func TestAConflictWithOthersIsRetried(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"40001", "40P01"} {
		for _, when := range []string{"insert", "commit"} {
			t.Run(code+" at "+when, func(t *testing.T) {
				t.Parallel()
				ctx := t.Context()
				pool := openPool(t, dbtest.URL(t), 3)
				raising(ctx, t, pool)
				writer := newWriter(t, pool)
				require.NoError(t, failure(writer.Write(ctx, db.Message{WorkflowID: "wf", Role: when, Message: code + " 5"})))
				_, err := writer.Write(ctx, db.Message{WorkflowID: "wf", Role: when, Message: code + " 1000"})
				require.Equal(t, code, state(err), "not for ever")
				require.Equal(t, []string{"16"}, column(ctx, t, pool, `select last_value::text from public.raised`), "6 and 10 tries")
			})
		}
	}
}

// A caller that cancels learns whether its items may have been written.
func TestACancelledWriteSaysWhetherItsOutcomeIsKnown(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	address := dbtest.URL(t)
	pool := openPool(t, address, 3)
	writer, free := busyWriter(t, openPool(t, address, 2))
	queuedCtx, giveUp := context.WithCancel(ctx)
	result := make(chan error, 1)
	go func() { result <- failure(writer.Write(queuedCtx, itemOf(0, "wf", "queued"))) }()
	queued(t, writer, 1)
	giveUp()
	require.ErrorContains(t, <-result, "not written")
	free()

	locked, err := pool.Begin(ctx)
	require.NoError(t, err)
	t.Cleanup(func() { _ = locked.Rollback(context.WithoutCancel(ctx)) }) // also where the test fails
	_, err = locked.Exec(ctx, `lock table chatfeed.messages`)
	require.NoError(t, err)
	underWay, giveUp := context.WithCancel(ctx)
	go func() { result <- failure(writer.Write(underWay, itemOf(0, "wf", "under way"))) }()
	require.Eventually(t, func() bool {
		return len(column(ctx, t, pool, `select '' from pg_stat_activity
			where wait_event_type = 'Lock' and datname = current_database() and query like '%insert into chatfeed.messages%'`)) > 0
	}, 20*time.Second, 5*time.Millisecond)
	giveUp()
	require.ErrorContains(t, <-result, "outcome unknown")
	require.NoError(t, locked.Rollback(ctx))
	writer.Close()
	require.Equal(t, []string{"under way"}, column(ctx, t, pool, `select id from chatfeed.messages where workflow_id = 'wf'`))
}

func TestAnErrorSaysWhatAnOperatorCanDo(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := openPool(t, dbtest.URL(t), 3)
	raising(ctx, t, pool)
	writer := newWriter(t, pool)
	for code, want := range map[string]string{
		"42501": "docs/operations.md has the grants", "42P01": "run chatfeed migrate up", "54000": "NOTIFY queue is full", "25006": "read-only",
	} {
		_, err := writer.Write(ctx, db.Message{WorkflowID: "wf", Message: code + " 1000"})
		require.ErrorContains(t, err, want, fmt.Sprint(code))
	}
}
