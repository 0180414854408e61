package db_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"chatfeed/db"
	"chatfeed/feed"
	"chatfeed/internal/dbtest"
)

func TestErasedAndChangedItemsAreRecordedAndAnnounced(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := openPool(t, dbtest.URL(t), 4)
	source := newSource(t, pool, db.SourceConfig{})
	writer := newWriter(t, pool)
	for i, id := range []string{"a", "b", "c", "d"} {
		require.NoError(t, failure(writer.Write(ctx, itemOf(i, "wf", id), itemOf(0, "other", id))))
	}
	head := func(workflow string) feed.Head {
		heads, err := source.Heads(ctx, []string{workflow})
		require.NoError(t, err)
		return heads[workflow]
	}
	before, other := head("wf"), head("other")
	require.Zero(t, before.Erased)
	connected, woken, _ := listening(t, source)
	<-connected

	for name, erase := range map[string]struct {
		statement string
		want      []feed.Gone
	}{
		"rows":       {`delete from chatfeed.messages where id = 'a' and workflow_id = 'wf'`, []feed.Gone{{Type: "message", ID: "a"}}},
		"the newest": {`delete from chatfeed.progress where id = 'd'`, []feed.Gone{{Type: "progress", ID: "d"}}},
		"a redaction": {
			`begin; alter table chatfeed.logs disable trigger refuse_update;
			update chatfeed.logs set message = 'redacted' where id = 'b'; alter table chatfeed.logs enable trigger refuse_update; commit`,
			[]feed.Gone{{Type: "log", ID: "b"}},
		},
	} {
		was := head("wf")
		_, err := pool.Exec(ctx, erase.statement)
		require.NoError(t, err, name)
		require.Equal(t, "wf 0", <-woken, name)
		now := head("wf")
		require.Greater(t, now.Erased, was.Erased, name)
		require.Equal(t, before.Born, now.Born, name)
		gone, err := source.Erased(ctx, "wf", was.Erased, 10)
		require.NoError(t, err)
		require.Equal(t, now.Erased, gone[len(gone)-1].Mark)
		for i := range gone {
			require.Positive(t, gone[i].CreatedAt)
			require.LessOrEqual(t, gone[i].CreatedAt, now.At+1e6)
			gone[i].Mark, gone[i].WorkflowID, gone[i].CreatedAt = 0, "", 0
		}
		require.Equal(t, erase.want, gone, name)
	}
	require.Equal(t, other, head("other"), "another workflow has nothing to do with it")

	_, err := pool.Exec(ctx, `delete from chatfeed.workflows where id = 'wf'`)
	require.NoError(t, err)
	require.Equal(t, "wf 0", <-woken)
	require.Empty(t, column(ctx, t, pool, `select item_id from chatfeed.erasures`), "its record ends with a workflow")
	require.Zero(t, head("wf"))
	require.NoError(t, failure(writer.Write(ctx, itemOf(0, "wf", "a"))))
	require.Greater(t, head("wf").Born, before.Born, "a new history")
}

// A superuser who sets session_replication_role disables all ordinary triggers.
func TestAnErasureThatBypassesTheOrdinaryTriggersIsRecorded(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	server := dbtest.Server(t)
	pool := openPool(t, as(t, server.URL(), "postgres"), 2)
	require.NoError(t, failure(newWriter(t, pool).Write(ctx, itemOf(0, "wf", "a"), itemOf(0, "wf", "b"))))
	_, err := pool.Exec(ctx, `begin; set local session_replication_role = replica;
		update chatfeed.messages set message = 'redacted' where id = 'a'; delete from chatfeed.messages where id = 'b'; commit`)
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b"}, column(ctx, t, pool, `select item_id from chatfeed.erasures order by mark`))
}

// Marks of erasures are in order of commit, like stamps: a reader that has read up to a mark misses none that commits later.
func TestErasuresOfAWorkflowWaitForEachOther(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := openPool(t, dbtest.URL(t), 4)
	require.NoError(t, failure(newWriter(t, pool).Write(ctx, itemOf(0, "wf", "a"), itemOf(1, "wf", "b"))))
	first, err := pool.Begin(ctx)
	require.NoError(t, err)
	_, err = first.Exec(ctx, `delete from chatfeed.messages`)
	require.NoError(t, err)
	_, err = pool.Exec(ctx, `begin; set local lock_timeout = '50ms'; delete from chatfeed.logs; commit`)
	var pg *pgconn.PgError
	require.ErrorAs(t, err, &pg)
	require.Equal(t, "55P03", pg.Code)
	require.NoError(t, first.Commit(ctx))
	_, err = pool.Exec(ctx, `delete from chatfeed.logs`)
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b"}, column(ctx, t, pool, `select item_id from chatfeed.erasures order by mark`))
}

// Whatever the clock does, nothing is stamped before an item that clients may have had.
func TestLaterItemsAreStampedAfterErasedOnes(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := openPool(t, dbtest.URL(t), 4)
	move := unsteadyClock(ctx, t, pool)
	var erased, later feed.Cursor
	read := func(into *feed.Cursor) {
		heads, err := newSource(t, pool, db.SourceConfig{}).Heads(ctx, []string{"wf"})
		require.NoError(t, err)
		*into = heads["wf"].At
	}
	require.NoError(t, failure(newWriter(t, pool).Write(ctx, itemOf(0, "wf", "a"))))
	read(&erased)
	_, err := pool.Exec(ctx, `delete from chatfeed.messages`)
	require.NoError(t, err)
	move(-1e12)
	require.NoError(t, failure(newWriter(t, pool).Write(ctx, itemOf(0, "wf", "b"))))
	read(&later)
	require.Equal(t, erased+1, later)
}

// A transaction that stamps again, because the clock has stepped back, has erased nothing.
func TestStampingAgainIsNotAnErasure(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := openPool(t, dbtest.URL(t), 4)
	move := unsteadyClock(ctx, t, pool)
	require.NoError(t, failure(newWriter(t, pool).Write(ctx, itemOf(0, "wf", "a"))))
	move(-1e12)
	require.NoError(t, pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		return failure(db.Append(context.WithoutCancel(ctx), tx, itemOf(0, "wf", "b"), itemOf(0, "wf", "c"), itemOf(0, "v", "d")))
	}))
	require.Empty(t, column(ctx, t, pool, `select item_id from chatfeed.erasures`))
	require.Equal(t, []string{"a", "b", "c"}, column(ctx, t, pool, `select id from chatfeed.items where workflow_id = 'wf' order by "_createdAt"`))
}

// A cursor of an erased history can be told from one of the new history, whatever the clock does.
func TestANewHistoryBeginsAfterTheErasedOne(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := openPool(t, dbtest.URL(t), 4)
	source := newSource(t, pool, db.SourceConfig{})
	move := unsteadyClock(ctx, t, pool)
	writer := newWriter(t, pool)
	var cursor feed.Cursor
	for _, ahead := range []time.Duration{0, -time.Hour, time.Hour, -time.Second} {
		move(ahead)
		require.NoError(t, failure(writer.Write(ctx, itemOf(0, "wf", "a"), itemOf(1, "wf", "b"))))
		heads, err := source.Heads(ctx, []string{"wf"})
		require.NoError(t, err)
		pages, err := source.After(ctx, []feed.Position{{WorkflowID: "wf"}}, feed.Window{Items: 10, Bytes: 1000})
		require.NoError(t, err)
		require.Greater(t, pages[0].Items[0].CreatedAt, heads["wf"].Born, "a history begins before its first item")
		require.Greater(t, heads["wf"].Born, cursor)
		cursor = heads["wf"].At
		_, err = pool.Exec(ctx, `delete from chatfeed.workflows`)
		require.NoError(t, err)
	}
}
