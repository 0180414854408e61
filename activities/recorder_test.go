package activities_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"chatfeed/activities"
	"chatfeed/db"
	"chatfeed/internal/dbtest"
)

// recordIn runs an activity that records, in a workflow that has it tried up to three times. It returns the activity's error.
func recordIn(t *testing.T, writer activities.Writer, do func(ctx context.Context, r *activities.Recorder, attempt int) error) error {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestWorkflowEnvironment()
	attempt := 0
	env.RegisterActivity(func(ctx context.Context) (err error) {
		attempt++
		r := activities.NewRecorder(ctx, writer)
		defer func() { err = r.End(err) }()
		return do(ctx, r, attempt)
	})
	env.ExecuteWorkflow(func(ctx workflow.Context) error {
		return workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
			StartToCloseTimeout: time.Minute, RetryPolicy: &temporal.RetryPolicy{MaximumAttempts: 3},
		}), "func1").Get(ctx, nil)
	})
	return env.GetWorkflowError()
}

func texts(t *testing.T, pool *pgxpool.Pool, query string) []string {
	t.Helper()
	rows, _ := pool.Query(t.Context(), query)
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return all
}

func TestAnAnswerIsRecordedAsItIsWritten(t *testing.T) {
	t.Parallel()
	writer, pool := newWriter(t, dbtest.URL(t))
	const deltas = `select concat_ws(' ', attempt, part, kind, at, delta) from chatfeed.deltas order by part, at`
	require.NoError(t, recordIn(t, writer, func(_ context.Context, r *activities.Recorder, _ int) error {
		require.NoError(t, r.Progress(1, "thinking"))
		m := r.Message("")
		_, err := m.Reasoning().WriteString("Hm.")
		require.NoError(t, err)
		require.NoError(t, r.Log("info", "beside"))
		_, err = fmt.Fprint(m, "Good 👋")
		require.NoError(t, err)
		wave := []byte("🏽 day")
		for i := range wave { // a byte at a time
			_, err := m.Write(wave[i : i+1])
			require.NoError(t, err)
		}
		call, err := m.Tool("count", map[string]int{"n": 1})
		require.NoError(t, err)
		require.NoError(t, call.Output(2))
		written := texts(t, pool, deltas)
		require.Equal(t, "1 0 reasoning 0 Hm.", written[0], "it is there before the message is closed")
		joined := ""
		for _, d := range written[1:] {
			joined += strings.SplitN(d, " ", 5)[4]
		}
		require.Equal(t, "Good 👋🏽 day", joined)
		require.NoError(t, r.Stat(time.Second, 7))
		require.NoError(t, m.Close("complete"))
		_, err = m.WriteString("late")
		require.Error(t, err)
		require.Error(t, m.Close("again"))
		return nil
	}))
	require.Empty(t, texts(t, pool, deltas))
	require.Equal(t, []string{"progress", "log", "tool input-available", "tool output-available", "stat", "message Good 👋🏽 day complete assistant"},
		texts(t, pool, `select concat_ws(' ', type, body->>'state', body->>'message', nullif(body->>'status', 'thinking'), body->>'role')
			from (select type, body::jsonb - case type when 'log' then 'message' else '' end as body, "_createdAt" from chatfeed.items) i order by "_createdAt"`))
}

func TestTheTextOfAHigherAttemptTakesThePlaceOfLowerOnes(t *testing.T) {
	t.Parallel()
	writer, pool := newWriter(t, dbtest.URL(t))
	require.NoError(t, recordIn(t, writer, func(_ context.Context, r *activities.Recorder, attempt int) error {
		require.NoError(t, r.Progress(10, "writing"))
		m := r.Message("assistant")
		_, err := fmt.Fprintf(m, "This is attempt %d", attempt)
		require.NoError(t, err)
		require.NoError(t, r.Log("info", "the text is there"))
		if attempt < 3 {
			return errors.New("the model went away")
		}
		require.Equal(t, []string{"1", "2", "3"}, texts(t, pool, `select distinct attempt::text from chatfeed.deltas order by 1`))
		require.Len(t, texts(t, pool, `select distinct message_id from chatfeed.deltas`), 1)
		return nil
	}))
	require.Equal(t, []string{"This is attempt 3 complete"}, texts(t, pool, `select message || ' ' || status from chatfeed.messages`))
	require.Empty(t, texts(t, pool, `select id from chatfeed.deltas`))
	require.Len(t, texts(t, pool, `select id from chatfeed.progress union all select id from chatfeed.logs`), 2, "what is done again is recorded once")
}

func TestWhatWasSaidStandsWhereTheActivityIsNotTriedAgain(t *testing.T) {
	t.Parallel()
	for status, end := range map[string]error{
		"failed":    temporal.NewNonRetryableApplicationError("refused", "Refused", nil),
		"cancelled": temporal.NewCanceledError(),
	} {
		writer, pool := newWriter(t, dbtest.URL(t))
		require.Error(t, recordIn(t, writer, func(_ context.Context, r *activities.Recorder, _ int) error {
			_, err := r.Message("").WriteString("So far")
			require.NoError(t, err)
			return end
		}))
		require.Equal(t, []string{"So far " + status}, texts(t, pool, `select message || ' ' || status from chatfeed.messages`))
	}
	writer, pool := newWriter(t, dbtest.URL(t))
	require.Error(t, recordIn(t, writer, func(_ context.Context, r *activities.Recorder, attempt int) error {
		_, err := fmt.Fprint(r.Message(""), attempt)
		require.NoError(t, err)
		return errors.New("another attempt may follow")
	}))
	require.Empty(t, texts(t, pool, `select message from chatfeed.messages`))
	require.Equal(t, []string{"1", "2", "3"}, texts(t, pool, `select delta from chatfeed.deltas order by 1`))
}

// gate is a writer that is away until it is opened.
type gate struct {
	activities.Writer
	mu     sync.Mutex
	opened bool
	most   int // bytes of a call
	tries  int
}

func (g *gate) Write(ctx context.Context, items ...db.Item) ([]db.Written, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	size := 0
	for _, item := range items {
		if d, ok := item.(db.Delta); ok {
			size += len(d.Delta)
		}
	}
	g.most = max(g.most, size)
	if g.tries++; !g.opened {
		return nil, errors.New("the connection was lost")
	}
	return g.Writer.Write(ctx, items...)
}

func TestASlowDatabaseIsWaitedForAndNothingIsLost(t *testing.T) {
	t.Parallel()
	writer, pool := newWriter(t, dbtest.URL(t))
	g := &gate{Writer: writer}
	chunk := strings.Repeat("0123456789", 100)
	require.NoError(t, recordIn(t, g, func(_ context.Context, r *activities.Recorder, _ int) error {
		m := r.Message("")
		ended := make(chan error, 1)
		go func() {
			for range 300 {
				if _, err := m.WriteString(chunk); err != nil {
					ended <- err
					return
				}
			}
			ended <- nil
		}()
		require.Eventually(t, func() bool { g.mu.Lock(); defer g.mu.Unlock(); return g.tries > 2 }, 20*time.Second, time.Millisecond)
		require.Empty(t, ended, "who writes waits, too")
		g.mu.Lock()
		g.opened = true
		g.mu.Unlock()
		return <-ended
	}))
	require.Equal(t, []string{"true"}, texts(t, pool, `select (message = repeat('0123456789', 30000))::text from chatfeed.messages`))
	require.LessOrEqual(t, g.most, 64<<10+2*len(chunk), "bytes that wait")
}

func TestWhatCannotBeRecordedEndsTheRecording(t *testing.T) {
	t.Parallel()
	writer, pool := newWriter(t, dbtest.URL(t))
	err := recordIn(t, writer, func(_ context.Context, r *activities.Recorder, _ int) error {
		require.ErrorContains(t, r.Progress(101, ""), "progress: is 101")
		require.ErrorContains(t, r.Log("info", "after it"), "progress: is 101")
		return nil
	})
	var refused *temporal.ApplicationError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, activities.InvalidItem, refused.Type())
	require.Empty(t, texts(t, pool, `select id from chatfeed.items`))

	err = recordIn(t, writer, func(_ context.Context, r *activities.Recorder, _ int) error {
		m := r.Message("")
		for {
			if _, err := m.WriteString(strings.Repeat("x", 100<<10)); err != nil {
				return err
			}
		}
	})
	require.ErrorContains(t, err, "longer than 1048576 bytes")
}

func TestAMessageIsClosedWithWhatElseATransactionWrites(t *testing.T) {
	t.Parallel()
	writer, pool := newWriter(t, dbtest.URL(t))
	_, err := pool.Exec(t.Context(), `create table orders (id text)`)
	require.NoError(t, err)
	back := errors.New("back")
	for _, end := range []error{back, nil} {
		require.NoError(t, recordIn(t, writer, func(ctx context.Context, r *activities.Recorder, _ int) error {
			m := r.Message("")
			_, err := m.WriteString("Ordered.")
			require.NoError(t, err)
			err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
				if _, err := tx.Exec(ctx, `insert into orders values ('1')`); err != nil {
					return err
				}
				return errors.Join(m.CloseInTx(ctx, tx, "complete"), end)
			})
			if end == nil {
				return err
			}
			require.ErrorIs(t, err, back)
			return nil
		}))
	}
	require.Equal(t, []string{"1"}, texts(t, pool, `select id from orders`))
	require.Equal(t, []string{"Ordered."}, texts(t, pool, `select message from chatfeed.messages`))
}

// Workflows in other languages record deltas and tool calls as items like any.
func TestEveryTypeOfItemIsRecordedByItsName(t *testing.T) {
	t.Parallel()
	writer, pool := newWriter(t, dbtest.URL(t))
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	activities.Register(env, writer)
	record := func(input string) (recorded activities.Recorded, err error) {
		value, err := env.ExecuteActivity("RecordItems", json.RawMessage(input))
		if err == nil {
			require.NoError(t, value.Get(&recorded))
		}
		return recorded, err
	}
	recorded, err := record(`[{"type": "delta", "item": {"messageId": "m", "attempt": 2, "delta": "Hel", "mood": 1}},
		{"type": "tool", "item": {"callId": "c", "name": "count", "state": "input-available", "input": {"n": 1}}}]`)
	require.NoError(t, err)
	require.Equal(t, []string{"m:2:0:0", "c:input-available"}, recorded.IDs)
	require.Contains(t, recorded.Warning, "mood")
	require.Equal(t, []string{"m:2:0:0", "c:input-available"}, texts(t, pool, `select id from chatfeed.items order by "_createdAt"`))
	for input, want := range map[string]string{
		`[{"type": "delta", "item": {"messageId": "m"}}]`:                                  "items[0].item.delta: is missing",
		`[{"type": "delta", "item": {"delta": "x"}}]`:                                      "items[0].item.messageId: is empty",
		`[{"type": "tool", "item": {"callId": "c", "name": "count", "state": "running"}}]`: `items[0].item.state: is "running"; accepted are input-available, `,
		`[{"type": "tool", "item": {"name": "count", "state": "input-available"}}]`:        "items[0].item.callId: is missing",
		`[{"type": "reaction", "item": {}}]`:                                               "accepted are message, log, stat, progress, delta, tool",
	} {
		_, err := record(input)
		require.ErrorContains(t, err, want)
	}
}
