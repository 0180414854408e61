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

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"chatfeed/activities"
	"chatfeed/db"
	"chatfeed/internal/dbtest"
)

// writes is a writer that is a function.
type writes func(items []db.Item) ([]db.Written, error)

func (w writes) Write(_ context.Context, items ...db.Item) ([]db.Written, error) { return w(items) }

// logged keeps what is logged at each level.
type logged struct {
	mu    sync.Mutex
	lines map[string][]string
}

func (l *logged) add(level, line string, keyvals []any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lines == nil {
		l.lines = make(map[string][]string)
	}
	l.lines[level] = append(l.lines[level], fmt.Sprintln(append([]any{line}, keyvals...)...))
}

func (l *logged) Debug(line string, keyvals ...any) { l.add("debug", line, keyvals) }
func (l *logged) Info(line string, keyvals ...any)  { l.add("info", line, keyvals) }
func (l *logged) Warn(line string, keyvals ...any)  { l.add("warn", line, keyvals) }
func (l *logged) Error(line string, keyvals ...any) { l.add("error", line, keyvals) }

// with returns the lines of a level that contain a text.
func (l *logged) with(level, text string) (lines []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines[level] {
		if strings.Contains(line, text) {
			lines = append(lines, line)
		}
	}
	return lines
}

// calls makes a workflow that calls RecordLog so many times, one after the other, and returns the last result.
func calls(n int, options workflow.ActivityOptions) func(workflow.Context) (activities.Recorded, error) {
	return func(ctx workflow.Context) (recorded activities.Recorded, err error) {
		options.StartToCloseTimeout = time.Minute
		ctx = workflow.WithActivityOptions(ctx, options)
		for range n {
			if err = workflow.ExecuteActivity(ctx, activities.RecordLog, activities.Log{Message: "x"}).Get(ctx, &recorded); err != nil {
				return recorded, err
			}
		}
		return recorded, nil
	}
}

// run runs such a workflow, with activities that write to w.
func run(w activities.Writer, log *logged, call func(workflow.Context) (activities.Recorded, error)) (activities.Recorded, error) {
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log)
	env := suite.NewTestWorkflowEnvironment()
	activities.Register(env, w)
	env.RegisterWorkflow(call)
	env.ExecuteWorkflow(call)
	if err := env.GetWorkflowError(); err != nil {
		return activities.Recorded{}, err
	}
	var recorded activities.Recorded
	return recorded, env.GetWorkflowResult(&recorded)
}

func TestTwoActivitiesWithOneActivityIDRecordTwoItems(t *testing.T) {
	t.Parallel()
	writer, pool := newWriter(t, dbtest.URL(t))
	_, err := run(writer, new(logged), calls(3, workflow.ActivityOptions{ActivityID: "record"}))
	require.NoError(t, err)
	var n int
	require.NoError(t, pool.QueryRow(t.Context(), `select count(*) from chatfeed.logs`).Scan(&n))
	require.Equal(t, 3, n)
}

// remembering is a writer that does not overwrite known ids, and whose first writes fail after they have written.
func remembering(failures int, ids ...string) writes {
	had := make(map[string]bool)
	for _, id := range ids {
		had[id] = true
	}
	return func(items []db.Item) ([]db.Written, error) {
		var written []db.Written
		for _, item := range items {
			_, id := db.WithDefaults(item, "", nil)
			written = append(written, db.Written{ID: id, Already: had[id]})
			had[id] = true
		}
		if failures > 0 {
			failures--
			return nil, errors.New("the connection was lost")
		}
		return written, nil
	}
}

func TestAFirstAttemptThatFindsItsIDsTakenWarns(t *testing.T) {
	t.Parallel()
	const two = `[{"type": "log", "item": {"message": "a", "id": "taken"}}, {"type": "log", "item": {"message": "b", "id": "new"}}]`
	call := func(ctx workflow.Context) (recorded activities.Recorded, err error) {
		ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
		err = workflow.ExecuteActivity(ctx, activities.RecordItems, json.RawMessage(two)).Get(ctx, &recorded)
		return recorded, err
	}
	log := new(logged)
	recorded, err := run(remembering(0, "taken"), log, call)
	require.NoError(t, err)
	require.Equal(t, []string{"taken", "new"}, recorded.IDs)
	require.Equal(t, []string{"taken"}, recorded.Already)
	require.Contains(t, recorded.Warning, "1 of 2 items were not written")
	require.Len(t, log.with("warn", "1 of 2 items were not written"), 1)

	log = new(logged)
	recorded, err = run(remembering(1), log, call)
	require.NoError(t, err)
	require.Equal(t, []string{"taken", "new"}, recorded.Already, "the attempt before has written them")
	require.Empty(t, recorded.Warning)
	require.Empty(t, log.with("warn", "were not written"))

	recorded, err = run(remembering(0), log, call)
	require.NoError(t, err)
	require.Empty(t, recorded.Already)
	require.Empty(t, recorded.Warning)
}

func TestATransientErrorIsRetriedAndExplained(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]error{
		"the database refuses this role (SQLSTATE 42501)":                           &pgconn.PgError{Code: "42501"},
		"no schema for this program, or a different version of it (SQLSTATE 42P01)": &pgconn.PgError{Code: "42P01"},
		"no schema for this program, or a different version of it (SQLSTATE 3F000)": &pgconn.PgError{Code: "3F000"},
		"no schema for this program, or a different version of it (SQLSTATE 42883)": &pgconn.PgError{Code: "42883"},
		"refuses the worker's login (SQLSTATE 28P01)":                               &pgconn.PgError{Code: "28P01"},
		"refuses the worker's login (SQLSTATE 3D000)":                               &pgconn.PgError{Code: "3D000"},
		"the database is read-only (SQLSTATE 25006)":                                &pgconn.PgError{Code: "25006"},
		"out of space, memory or connections (SQLSTATE 53100)":                      &pgconn.PgError{Code: "53100"},
		"other transactions were writing to the same workflow (SQLSTATE 40001)":     &pgconn.PgError{Code: "40001"},
		"other transactions were writing to the same workflow (SQLSTATE 55P03)":     &pgconn.PgError{Code: "55P03"},
		"stopping or starting, or has cancelled the statement (SQLSTATE 57P01)":     &pgconn.PgError{Code: "57P01"},
		"the database has failed (SQLSTATE XX000)":                                  &pgconn.PgError{Code: "XX000"},
		"trigger in the database has raised an error (SQLSTATE P0001)":              &pgconn.PgError{Code: "P0001"},
		"the database did not answer in time":                                       fmt.Errorf("append: outcome unknown: %w", context.DeadlineExceeded),
		"the activity was cancelled":                                                fmt.Errorf("append: not written: %w", context.Canceled),
		"the worker is stopping":                                                    db.ErrWriterClosed,
		"the connection to the database failed; it will be retried: EOF-ish":        errors.New("EOF-ish"),
	} {
		_, failed := run(writes(func([]db.Item) ([]db.Written, error) { return nil, err }), new(logged),
			calls(1, workflow.ActivityOptions{RetryPolicy: &temporal.RetryPolicy{MaximumAttempts: 1}}))
		var application *temporal.ApplicationError
		require.ErrorAs(t, failed, &application, want)
		require.False(t, application.NonRetryable(), want)
		require.NotEqual(t, activities.InvalidItem, application.Type(), want)
		require.Contains(t, application.Message(), want)
		require.Contains(t, application.Message(), "record 1 items: ")
	}
}

func TestItemsAreRecordedOnceAnOperatorHasFixedTheDatabase(t *testing.T) {
	t.Parallel()
	for want, test := range map[string]struct{ damage, repair string }{
		"refuses this role (SQLSTATE 42501)": {
			`revoke all on chatfeed.logs from current_user`, `grant all on chatfeed.logs to current_user`,
		},
		"or a different version of it (SQLSTATE 42P01)": {
			`alter schema chatfeed rename to elsewhere`, `alter schema elsewhere rename to chatfeed`,
		},
	} {
		writer, pool := newWriter(t, dbtest.URL(t))
		_, err := pool.Exec(t.Context(), test.damage)
		require.NoError(t, err)
		attempts := 0
		log := new(logged)
		recorded, err := run(writes(func(items []db.Item) ([]db.Written, error) {
			if attempts++; attempts == 4 {
				_, err := pool.Exec(t.Context(), test.repair)
				require.NoError(t, err)
			}
			return writer.Write(t.Context(), items...)
		}), log, calls(1, workflow.ActivityOptions{}))
		require.NoError(t, err)
		require.Len(t, recorded.IDs, 1)
		require.Equal(t, 4, attempts)
		require.Len(t, log.with("error", "Items cannot be recorded until an operator fixes this"), 1, "not once for each attempt")
		require.Len(t, log.with("error", want), 1+3, "and the SDK's own lines")
	}
}

func TestAnErrorOfTheWholeCallNamesNoItem(t *testing.T) {
	t.Parallel()
	w := writes(func(items []db.Item) ([]db.Written, error) {
		return nil, &db.InvalidItemError{Index: -1, Field: "items", Reason: fmt.Sprintf("are %d; too many", len(items))}
	})
	for name, input := range map[string]any{
		activities.RecordItems: activities.Items(activities.Log{}, activities.Log{}, activities.Log{}),
		activities.RecordLog:   activities.Log{},
	} {
		var suite testsuite.WorkflowTestSuite
		env := suite.NewTestActivityEnvironment()
		activities.Register(env, w)
		_, err := env.ExecuteActivity(name, input)
		var refused *temporal.ApplicationError
		require.ErrorAs(t, err, &refused)
		require.True(t, refused.NonRetryable())
		require.Equal(t, activities.InvalidItem, refused.Type())
		require.Regexp(t, "^items: are [13]; too many", refused.Message())
	}
}
