package activities_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"
	"go.uber.org/goleak"

	"chatfeed/activities"
	"chatfeed/db"
	"chatfeed/internal/dbtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, dbtest.Goroutines()...) }

func newWriter(t *testing.T, url string) (*db.Writer, *pgxpool.Pool) {
	t.Helper()
	pool, err := db.Open(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	writer := db.NewWriter(pool)
	t.Cleanup(writer.Close)
	return writer, pool
}

// flaky is a writer whose first calls write and then fail, as a worker does that is killed after its commit.
type flaky struct {
	activities.Writer
	failures int
}

func (f *flaky) Write(ctx context.Context, items ...db.Item) ([]db.Written, error) {
	written, err := f.Writer.Write(ctx, items...)
	if f.failures > 0 {
		f.failures--
		return nil, errors.New("the connection was lost")
	}
	return written, err
}

// recordAll calls every activity the way a workflow of another language does: by name, with JSON.
func recordAll(ctx workflow.Context) ([]string, error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
	var ids []string
	for _, call := range []struct{ name, input string }{
		{"RecordProgress", `{"progress": 12.5, "status": "working"}`},
		{"RecordMessage", `{"role": "user", "message": "Hello", "status": "first", "metadata": {"lang": "en"}}`},
		{"RecordLog", `{"level": "warn", "message": "careful"}`},
		{"RecordStat", `{"processingTime": 0.25, "tokenCount": 7}`},
		{"RecordItems", `[{"type": "message", "item": {"message": "a"}}, {"type": "message", "item": {"message": "b", "id": "own"}},
			{"type": "progress", "item": {"progress": 100, "status": "done", "workflowId": "wf_other"}}]`},
	} {
		var recorded activities.Recorded
		if err := workflow.ExecuteActivity(ctx, call.name, json.RawMessage(call.input)).Get(ctx, &recorded); err != nil {
			return nil, err
		}
		ids = append(ids, recorded.IDs...)
	}
	return ids, nil
}

func TestEveryActivityRecordsOnceWhateverTheNumberOfAttempts(t *testing.T) {
	t.Parallel()
	writer, pool := newWriter(t, dbtest.URL(t))
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestWorkflowEnvironment()
	activities.Register(env, &flaky{writer, 2})
	env.RegisterWorkflow(recordAll)

	env.ExecuteWorkflow(recordAll)

	require.NoError(t, env.GetWorkflowError())
	var recorded []string
	require.NoError(t, env.GetWorkflowResult(&recorded))
	rows, _ := pool.Query(t.Context(), `select id from chatfeed.items order by "_createdAt"`)
	written, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.Equal(t, recorded, written)
	require.Len(t, written, 7)
	for i, prefix := range []string{"prog_", "msg_", "log_", "stat_", "msg_", "own", "prog_"} {
		require.True(t, strings.HasPrefix(written[i], prefix), "%s begins with %s", written[i], prefix)
	}
	var body string
	require.NoError(t, pool.QueryRow(t.Context(), `select (body::jsonb || metadata)::text from chatfeed.items
		where type = 'message' and metadata is not null`).Scan(&body))
	require.JSONEq(t, `{"role": "user", "message": "Hello", "status": "first", "lang": "en"}`, body)
	var other string
	require.NoError(t, pool.QueryRow(t.Context(), `select body::jsonb->>'status' from chatfeed.items where workflow_id = 'wf_other'`).Scan(&other))
	require.Equal(t, "done", other)
}

func TestInvalidInputIsNotRetriedAndNamesTheField(t *testing.T) {
	t.Parallel()
	writer, pool := newWriter(t, dbtest.URL(t))
	for _, test := range []struct{ name, input, want string }{
		{"RecordMessage", `{"mesage": "typo"}`, `message: is missing; a string is accepted, also an empty one; ["mesage"] is not a field of this item; accepted are workflowId, id, role, message, status, metadata`},
		{"RecordMessage", `{"message": 7}`, "message: is a JSON number; accepted is a string"},
		{"RecordMessage", `{"message": "a\u0000b"}`, "message: contains a NUL byte"},
		{"RecordMessage", `{"message": "x", "workflowId": "` + strings.Repeat("w", 1001) + `"}`, "workflowId: is 1001 bytes long; at most 1000"},
		{"RecordMessage", `{"message": "` + strings.Repeat("m", 1<<20+1) + `"}`, "message: is 1048577 bytes long; at most 1048576"},
		{"RecordMessage", `"just text"`, "item: is a JSON string; accepted is an object"},
		{"RecordMessage", `{"message": "x", "metadata": "\u0000"}`, "unsupported Unicode escape sequence"},
		{"RecordLog", `{"message": "x", "level": "` + strings.Repeat("l", 1001) + `"}`, "level: is 1001 bytes long"},
		{"RecordStat", `{"tokenCount": 1.5}`, "tokenCount: is a JSON number 1.5; accepted is a whole number"},
		{"RecordStat", `{"processingTime": -1}`, "processingTime: is -1; accepted is seconds, zero or more"},
		{"RecordProgress", `{"progress": 101}`, "progress: is 101; accepted is a number from 0 to 100"},
		{"RecordProgress", `{"progress": -0.5}`, "progress: is -0.5"},
		{"RecordProgress", `{"progress": "half"}`, "progress: is a JSON string; accepted is a number"},
		{"RecordProgress", `{"progress": 100, "final": 1}`, "final: is a JSON number; accepted is true or false"},
		{"RecordItems", `[{"type": "video", "item": {}}]`, `items[0].type: "video" is no type of item; accepted are message, log, stat, progress`},
		{"RecordItems", `[{"type": "log", "item": {"message": "good"}}, {"type": "progress", "item": {"progress": 200}}]`, "items[1].item.progress: is 200"},
		{"RecordItems", `[{"type": "log", "item": {"text": "x"}}]`, "items[0].item.message: is missing; a string is accepted, also an empty one; [\"text\"] is not a field of this item"},
		{"RecordItems", `[{"type": "log"}]`, "items[0].item: is missing"},
		{"RecordItems", `[{"kind": "log"}]`, "items[0].type: \"\" is no type of item"},
		{"RecordItems", `{"type": "log"}`, "input: is not a list; accepted is a list of"},
		{"RecordItems", `null`, "input: is null; accepted is a list of"},
		{"RecordItems", `[null]`, "items[0]: is null; accepted is"},
		{"RecordItems", `[{"type": "log", "item": null}]`, "items[0].item: is null; a JSON object is accepted"},
		{"RecordItems", `[{"type": "log", "item": {"message": "x"}}, {"type": "stat", "item": {}}]`, "items[1].item.processingTime: is missing, and so is tokenCount"},
		{"RecordMessage", `{}`, "message: is missing; a string is accepted, also an empty one"},
		{"RecordMessage", `null`, "item: is null; accepted is an object"},
		{"RecordMessage", `{"message": null}`, "message: is missing"},
		{"RecordMessage", `{"role": "user", "metadata": {"message": "x"}}`, "message: is missing"},
		{"RecordLog", `{}`, "message: is missing"},
		{"RecordLog", `null`, "item: is null"},
		{"RecordStat", `{}`, "processingTime: is missing, and so is tokenCount; one of them is required"},
		{"RecordStat", `{"tokenCount": null, "metadata": 1}`, "processingTime: is missing"},
		{"RecordStat", `null`, "item: is null"},
		{"RecordProgress", `{}`, "progress: is missing; a number from 0 to 100 is accepted"},
		{"RecordProgress", `{"status": "half"}`, "progress: is missing"},
		{"RecordProgress", `null`, "item: is null"},
	} {
		var suite testsuite.WorkflowTestSuite
		env := suite.NewTestActivityEnvironment()
		activities.Register(env, writer)
		_, err := env.ExecuteActivity(test.name, json.RawMessage(test.input))
		var refused *temporal.ApplicationError
		require.ErrorAs(t, err, &refused, test.want)
		require.True(t, refused.NonRetryable(), test.want)
		require.Equal(t, activities.InvalidItem, refused.Type(), test.want)
		require.Contains(t, refused.Message(), test.want)
	}
	var n int
	require.NoError(t, pool.QueryRow(t.Context(), `select count(*) from chatfeed.items`).Scan(&n))
	require.Zero(t, n, "what stands beside a refused item is not recorded either")
}

func TestWithoutAnInputNothingIsRecorded(t *testing.T) {
	t.Parallel()
	writer, pool := newWriter(t, dbtest.URL(t))
	for _, name := range []string{"RecordMessage", "RecordLog", "RecordStat", "RecordProgress", "RecordItems"} {
		for _, input := range [][]any{{}, {nil}} { // nil is what null is in some languages, and has an encoding of its own
			var suite testsuite.WorkflowTestSuite
			env := suite.NewTestActivityEnvironment()
			activities.Register(env, writer)
			_, err := env.ExecuteActivity(name, input...)
			var refused *temporal.ApplicationError
			require.ErrorAs(t, err, &refused, name)
			require.True(t, refused.NonRetryable(), name)
			require.Contains(t, refused.Message(), "input: is missing; accepted is ", name)
		}
	}
	var n int
	require.NoError(t, pool.QueryRow(t.Context(), `select count(*) from chatfeed.items`).Scan(&n))
	require.Zero(t, n)
}

func TestEmptyValuesAreRecorded(t *testing.T) {
	t.Parallel()
	writer, pool := newWriter(t, dbtest.URL(t))
	call := func(ctx workflow.Context) error {
		ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
		ctx = workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{StartToCloseTimeout: time.Minute})
		for _, call := range []struct {
			name  string
			input any
		}{
			{"RecordMessage", json.RawMessage(`{"message": ""}`)},
			{"RecordMessage", activities.Message{}},
			{"RecordLog", json.RawMessage(`{"message": ""}`)},
			{"RecordStat", json.RawMessage(`{"tokenCount": 0}`)},
			{"RecordStat", json.RawMessage(`{"processingTime": 0}`)},
			{"RecordProgress", json.RawMessage(`{"progress": 0}`)},
			{"RecordProgress", activities.Progress{}},
			{"RecordItems", json.RawMessage(`[]`)},
			{"RecordItems", activities.Items()},
			{"RecordItems", activities.Items(activities.Log{})},
		} {
			if err := workflow.ExecuteActivity(ctx, call.name, call.input).Get(ctx, nil); err != nil {
				return err
			}
		}
		return workflow.ExecuteLocalActivity(ctx, activities.RecordLog, activities.Log{}).Get(ctx, nil)
	}
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestWorkflowEnvironment()
	activities.Register(env, writer)
	env.RegisterWorkflow(call)
	env.ExecuteWorkflow(call)
	require.NoError(t, env.GetWorkflowError())
	var n int
	require.NoError(t, pool.QueryRow(t.Context(), `select count(*) from chatfeed.items`).Scan(&n))
	require.Equal(t, 9, n)
}

func TestAnUnavailableDatabaseIsLeftToTheRetryPolicy(t *testing.T) {
	t.Parallel()
	writer, _ := newWriter(t, "postgres://nobody@127.0.0.1:1/none?sslmode=disable")
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	activities.Register(env, writer)
	_, err := env.ExecuteActivity(activities.RecordLog, activities.Log{Message: "x"})
	require.Error(t, err)
	var failed *temporal.ApplicationError
	require.ErrorAs(t, err, &failed)
	require.False(t, failed.NonRetryable())
}

// twoActivities records the same thing in two activities, one of them local.
func twoActivities(ctx workflow.Context) ([]string, error) {
	var first, second, local activities.Recorded
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
	ctx = workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{StartToCloseTimeout: time.Minute})
	same := activities.Log{Message: "same"}
	if err := workflow.ExecuteActivity(ctx, activities.RecordLog, same).Get(ctx, &first); err != nil {
		return nil, err
	}
	if err := workflow.ExecuteActivity(ctx, activities.RecordLog, same).Get(ctx, &second); err != nil {
		return nil, err
	}
	err := workflow.ExecuteLocalActivity(ctx, activities.RecordLog, same).Get(ctx, &local)
	return append(append(first.IDs, second.IDs...), local.IDs...), err
}

func TestDifferentActivitiesRecordDifferentItems(t *testing.T) {
	t.Parallel()
	writer, pool := newWriter(t, dbtest.URL(t))
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestWorkflowEnvironment()
	activities.Register(env, writer)
	env.RegisterWorkflow(twoActivities)
	env.ExecuteWorkflow(twoActivities)
	require.NoError(t, env.GetWorkflowError())
	var n int
	require.NoError(t, pool.QueryRow(t.Context(), `select count(distinct id) from chatfeed.logs`).Scan(&n))
	require.Equal(t, 3, n)
}

// A workflow may be newer than its worker, and must not wait for a newer worker.
func TestAnUnknownFieldIsLeftOutWithAWarning(t *testing.T) {
	t.Parallel()
	writer, pool := newWriter(t, dbtest.URL(t))
	for name, input := range map[string]string{
		"RecordMessage":  `{"id": "1", "message": "m", "tone": "warm", "attempt": {"n": 1}}`,
		"RecordLog":      `{"id": "2", "message": "l", "tone": "warm", "attempt": null}`,
		"RecordStat":     `{"id": "3", "tokenCount": 0, "tone": "warm", "attempt": 1}`,
		"RecordProgress": `{"id": "4", "progress": 0, "tone": "warm", "attempt": []}`,
		"RecordItems": `[{"type": "log", "item": {"id": "5", "message": "l", "tone": 1}},
			{"type": "message", "item": {"id": "6", "MESSAGE": "m", "tone": 1, "attempt": 1}}]`,
	} {
		var suite testsuite.WorkflowTestSuite
		env := suite.NewTestActivityEnvironment()
		activities.Register(env, writer)
		value, err := env.ExecuteActivity(name, json.RawMessage(input))
		require.NoError(t, err, name)
		var recorded activities.Recorded
		require.NoError(t, value.Get(&recorded), name)
		require.Equal(t, "Fields that this version does not know were left out: attempt, tone.", recorded.Warning, name)
	}
	var n int
	require.NoError(t, pool.QueryRow(t.Context(), `select count(*) from chatfeed.items`).Scan(&n))
	require.Equal(t, 6, n)
}
