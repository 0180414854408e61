package db_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"chatfeed/db"
	"chatfeed/feed"
	"chatfeed/internal/dbtest"
)

// said returns what the source has of a workflow: type and id of each item, in order.
func said(ctx context.Context, t *testing.T, pool *pgxpool.Pool, workflow string) (items []string) {
	t.Helper()
	pages, err := newSource(t, pool, db.SourceConfig{}).After(ctx, []feed.Position{{WorkflowID: workflow}}, feed.Window{Items: 1000, Bytes: 1 << 20})
	require.NoError(t, err)
	for _, item := range pages[0].Items {
		items = append(items, item.Type+" "+item.ID)
	}
	return items
}

func TestTheDeltasOfAMessageGoWhenItComes(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := dbtest.Pool(t)
	writer := newWriter(t, pool)
	delta := func(message string, attempt, at int64) db.Delta {
		return db.Delta{WorkflowID: "wf", MessageID: message, Attempt: attempt, At: at, Delta: "x"}
	}
	require.NoError(t, failure(writer.Write(ctx, delta("a", 0, 0), delta("a", 0, 1), delta("b", 1, 0), delta("a:1", 1, 0), delta("a;", 1, 0))))
	written, err := writer.Write(ctx, delta("a", 1, 1), delta("a", 2, 0))
	require.NoError(t, err)
	require.Equal(t, []db.Written{{ID: "a:1:0:1", Already: true}, {ID: "a:2:0:0"}}, written, "a repeated delta is the same item")
	require.Equal(t, []string{"delta a:1:0:0", "delta a:1:0:1", "delta b:1:0:0", "delta a:1:1:0:0", "delta a;:1:0:0", "delta a:2:0:0"}, said(ctx, t, pool, "wf"))
	heads := column(ctx, t, pool, `select (head > now() - interval '1 minute')::text || erased from chatfeed.heads`)

	require.NoError(t, failure(writer.Write(ctx, db.Message{WorkflowID: "wf", ID: "a", Message: "xx"})))
	require.Equal(t, []string{"delta b:1:0:0", "delta a:1:1:0:0", "delta a;:1:0:0", "message a"}, said(ctx, t, pool, "wf"), "all of its attempts, and nobody else's")
	require.Empty(t, column(ctx, t, pool, `select item_id from chatfeed.erasures`), "it is no erasure")
	require.Equal(t, heads, column(ctx, t, pool, `select (head > now() - interval '1 minute')::text || erased from chatfeed.heads`))

	// An attempt that still runs, though another has finished the message, adds nothing.
	written, err = writer.Write(ctx, delta("a", 1, 2), delta("b", 1, 1))
	require.NoError(t, err)
	require.Equal(t, []db.Written{{ID: "a:1:0:2", Already: true}, {ID: "b:1:0:1"}}, written)
	_, err = pool.Exec(ctx, `insert into chatfeed.deltas (workflow_id, message_id, delta) values ('wf', 'a', 'late'), ('other', 'a', 'of another workflow')`)
	require.NoError(t, err)
	require.Equal(t, []string{"delta a:1:0:0"}, said(ctx, t, pool, "other"))

	// In one transaction, by hand, and several at once.
	_, err = pool.Exec(ctx, `insert into chatfeed.messages (workflow_id, id, message) values ('wf', 'b', ''), ('wf', 'a;', ''), ('other', 'a', '')`)
	require.NoError(t, err)
	require.NoError(t, pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		return failure(db.Append(ctx, tx, delta("c", 1, 0), delta("a:1", 1, 5), db.Message{WorkflowID: "wf", ID: "c"}, db.Message{WorkflowID: "wf", ID: "a:1"}))
	}))
	require.Empty(t, column(ctx, t, pool, `select id from chatfeed.deltas`))
	require.Equal(t, []string{"message a", "message b", "message a;", "message c", "message a:1"}, said(ctx, t, pool, "wf"))
}

// Other deletions of deltas are erasures as any.
func TestDeltasThatAreErasedOrPrunedAreOnRecord(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := dbtest.Pool(t)
	writer := newWriter(t, pool)
	for at := range int64(3) {
		require.NoError(t, failure(writer.Write(ctx, db.Delta{WorkflowID: "wf", MessageID: "m", At: at, Delta: "x"})))
	}
	_, err := pool.Exec(ctx, `delete from chatfeed.deltas where at = 1`)
	require.NoError(t, err)
	require.Equal(t, []string{"0"}, column(ctx, t, pool, `select chatfeed.prune_deltas()::text`))
	require.Equal(t, []string{"2"}, column(ctx, t, pool, `select chatfeed.prune_deltas('0 s')::text`))
	require.Equal(t, []string{"delta m:1:0:1", "delta m:1:0:0", "delta m:1:0:2"},
		column(ctx, t, pool, `select type || ' ' || item_id from chatfeed.erasures order by mark`))
	before := column(ctx, t, pool, `select floor::text from chatfeed.workflows`)
	require.NotEqual(t, []string{"-infinity"}, before, "what comes next is later than what was pruned")
	_, err = pool.Exec(ctx, `delete from chatfeed.workflows`)
	require.NoError(t, err)
	require.Empty(t, column(ctx, t, pool, `select item_id from chatfeed.erasures`))
}

func TestAClosedWorkflowTakesNothingMore(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := dbtest.Pool(t)
	writer := newWriter(t, pool)
	last := db.Progress{WorkflowID: "wf", ID: "last", Progress: 100, Final: true}
	require.NoError(t, failure(writer.Write(ctx, db.Message{WorkflowID: "wf", ID: "m", Message: "x"}, last)))
	for kind := range 5 {
		_, err := writer.Write(ctx, itemOf(0, "other", fmt.Sprint(kind)), itemOf(kind, "wf", "late"))
		var invalid *db.InvalidItemError
		require.ErrorAs(t, err, &invalid)
		require.Equal(t, "workflowId", invalid.Field)
		require.Contains(t, invalid.Reason, "closed")
		require.ErrorIs(t, err, db.ErrClosed)
	}
	_, err := pool.Exec(ctx, `insert into chatfeed.deltas (workflow_id, message_id, delta) values ('wf', 'late', '')`)
	require.ErrorContains(t, err, "workflow_open")
	written, err := writer.Write(ctx, db.Message{WorkflowID: "wf", ID: "m", Message: "x"}, last)
	require.NoError(t, err, "a write that is repeated, as its answer was lost")
	require.Equal(t, []db.Written{{ID: "m", Already: true}, {ID: "last", Already: true}}, written)
	require.Equal(t, []string{"message m", "progress last"}, said(ctx, t, pool, "wf"))
	require.Empty(t, said(ctx, t, pool, "other"))

	// In one statement, too, and not where the transaction is rolled back.
	_, err = pool.Exec(ctx, `insert into chatfeed.progress (workflow_id, progress, final) values ('both', 1, true), ('both', 2, false)`)
	require.ErrorContains(t, err, "workflow_open")
	require.NoError(t, failure(writer.Write(ctx, itemOf(0, "both", "open"))))
	_, err = pool.Exec(ctx, `delete from chatfeed.workflows where id = 'wf'`)
	require.NoError(t, err)
	require.NoError(t, failure(writer.Write(ctx, itemOf(0, "wf", "anew"))))
}

// The order of two types does not depend on which of them the workflow has had before, and whether the clock steps back.
func TestATypeThatAWorkflowHasForTheFirstTimeIsInOrder(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := dbtest.Pool(t)
	move := unsteadyClock(ctx, t, pool)
	writer := newWriter(t, pool)
	for n, kinds := range [][]int{{0, 4, 0}, {4, 0, 4}, {3, 4, 1}, {4, 4, 2}} {
		workflow := fmt.Sprint("wf_", n)
		var want []string
		for i, kind := range kinds {
			move(time.Duration(-i) * time.Hour)
			id := fmt.Sprint(i)
			require.NoError(t, failure(writer.Write(ctx, itemOf(kind, workflow, id), itemOf(0, "beside_"+workflow, id))))
			_, err := pool.Exec(ctx, `insert into chatfeed.deltas (workflow_id, message_id, at, delta) values ($1, 'm', $2, '')`, workflow, i)
			require.NoError(t, err)
			want = append(want, id, fmt.Sprintf("m:1:0:%d", i))
		}
		move(0)
		require.Equal(t, want, column(ctx, t, pool, `select id from chatfeed.items where workflow_id = $1 order by "_createdAt"`, workflow))
	}
}

// Each insert writes one row or two, and the clock steps back to before the latest item, but not to before the first.
func TestAnItemComesAfterTheOneBeforeItOfAnyTypeWhenTheClockStepsBack(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := dbtest.Pool(t)
	move := unsteadyClock(ctx, t, pool)
	inserts := []string{
		`messages (workflow_id, id, message) select $1, $2 || n, ''`,
		`progress (workflow_id, id, progress) select $1, $2 || n, 1`,
		`deltas (workflow_id, message_id, delta) select $1, $2 || n, ''`,
		`tools (workflow_id, id, call_id, name, state) select $1, $2 || n, 'c', 'n', 'output-error'`,
	}
	for i, first := range inserts {
		for j, second := range inserts {
			for rows := 1; rows <= 2; rows++ {
				workflow := fmt.Sprintf("wf_%d_%d_%d", i, j, rows)
				begun := time.Duration(3*(2*(len(inserts)*i+j)+rows)) * time.Hour // the clock stays later than the beginning of the history
				var want []string
				for k, insert := range []string{inserts[0], first, second} {
					move(begun + []time.Duration{0, 2 * time.Hour, time.Hour}[k])
					_, err := pool.Exec(ctx, `insert into chatfeed.`+insert+` from generate_series(1, $3::int) n`, workflow, fmt.Sprintf("item_%d_", k), rows)
					require.NoError(t, err)
					for n := range rows {
						want = append(want, fmt.Sprintf("item_%d_%d", k, n+1))
					}
				}
				ids := column(ctx, t, pool, `select split_part(id, ':', 1) from chatfeed.items where workflow_id = $1 order by "_createdAt"`, workflow)
				require.Equal(t, want, ids, "%s, then %s", first, second)
			}
		}
	}
}

func TestWhatATypeOfChatMayHoldIsCheckedByWhoeverItIsWritten(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := dbtest.Pool(t)
	writer := newWriter(t, pool)
	tool := db.Tool{WorkflowID: "wf", CallID: "c", Name: "search", State: db.OutputAvailable, Input: json.RawMessage(`{"q": 1}`), Output: json.RawMessage(`null`)}
	require.Equal(t, "c:output-available", func() string { w, err := writer.Write(ctx, tool); require.NoError(t, err); return w[0].ID }())
	refused := func(item db.Item, field string) {
		_, err := writer.Write(ctx, item)
		var invalid *db.InvalidItemError
		require.ErrorAs(t, err, &invalid, field)
		require.Equal(t, field, invalid.Field)
		require.NotEmpty(t, invalid.Reason)
	}
	refused(db.Delta{WorkflowID: "wf", Delta: "x"}, "messageId")
	refused(db.Delta{WorkflowID: "wf", MessageID: strings.Repeat("m", 151)}, "messageId")
	refused(db.Delta{WorkflowID: "wf", MessageID: "m", Attempt: 1 << 31}, "attempt")
	refused(db.Delta{WorkflowID: "wf", MessageID: "m", At: -1}, "at")
	refused(db.Delta{WorkflowID: "wf", MessageID: "m", Part: -1}, "part")
	refused(db.Delta{WorkflowID: "wf", MessageID: "m", Delta: strings.Repeat("x", 1<<20+1)}, "delta")
	refused(db.Message{WorkflowID: "wf", Replaces: strings.Repeat("x", 201)}, "replaces")
	for field, change := range map[string]func(*db.Tool){
		"callId": func(t *db.Tool) { t.CallID = "" },
		"name":   func(t *db.Tool) { t.Name = "" },
		"state":  func(t *db.Tool) { t.State = "done" },
		"input":  func(t *db.Tool) { t.Input = json.RawMessage(nested("[", "", "]", 32)) },
		"output": func(t *db.Tool) { t.Output = json.RawMessage(`"` + strings.Repeat("x", 256<<10) + `"`) },
		"error":  func(t *db.Tool) { t.Error = "\x00" },
	} {
		changed := tool
		change(&changed)
		refused(changed, field)
	}
	for _, values := range []string{
		`deltas (workflow_id, message_id, delta) values ('wf', '', '')`, `deltas (workflow_id, message_id, delta, attempt) values ('wf', 'm', '', 0)`,
		`deltas (workflow_id, message_id, delta, kind) values ('wf', 'm', '', '')`, `deltas (workflow_id, message_id, delta) values ('', 'm', '')`,
		`deltas (workflow_id, message_id, delta, metadata) values ('wf', 'm', '', '1e400')`,
		`tools (workflow_id, call_id, name, state) values ('wf', 'x', 'n', 'done')`, `tools (workflow_id, call_id, name, state) values ('wf', '', 'n', 'output-error')`,
		`tools (workflow_id, call_id, name, state, input) values ('wf', 'x', 'n', 'output-error', '` + nested("[", "", "]", 32) + `')`,
		`messages (workflow_id, message, replaces) values ('wf', '', repeat('x', 201))`,
	} {
		_, err := pool.Exec(ctx, `insert into chatfeed.`+values)
		require.ErrorContains(t, err, "23514", values)
	}
	_, err := pool.Exec(ctx, `insert into chatfeed.tools (workflow_id, call_id, name, state, output) values ('wf', 'c', 'search', 'output-error', '`+nested("[", "", "]", 31)+`')`)
	require.NoError(t, err)
	require.Equal(t, []string{"tool c:output-available", "tool c:output-error"}, said(ctx, t, pool, "wf"))
	bodies := column(ctx, t, pool, `select body::text from chatfeed.items order by "_createdAt"`)
	require.JSONEq(t, `{"callId": "c", "messageId": "", "name": "search", "state": "output-available", "input": {"q": 1}, "output": null, "error": ""}`, bodies[0])
}
