package faults_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/workflow"

	"chatfeed/activities"
	"chatfeed/cmd/internal/audit"
	"chatfeed/db"
	"chatfeed/internal/host"
)

// asActivity in the environment makes the test binary an attempt of an activity that writes a message; see writeAnswer.
const asActivity = "CHATFEED_TEST_AS_ACTIVITY"

const answerWords = 100

// answerText is the message of an attempt.
func answerText(attempt int) string {
	return strings.Repeat(fmt.Sprintf("word %d, ", attempt), answerWords)
}

// writeAnswer writes a message word by word and closes it. The arguments are a database, a workflow, the number of the activity,
// which the message's id is made of, the number of the attempt, and the pause between words. It returns the exit code.
func writeAnswer(ctx context.Context, args []string) int {
	attempt, _ := strconv.Atoi(args[3])
	pause, err := time.ParseDuration(args[4])
	if err == nil {
		err = recordAnswer(ctx, args[0], activity.Info{
			WorkflowExecution: workflow.Execution{ID: args[1], RunID: "run"}, ActivityID: args[2], Attempt: int32(attempt),
		}, pause)
	}
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func recordAnswer(ctx context.Context, database string, info activity.Info, pause time.Duration) (err error) {
	pool, err := db.Open(ctx, database)
	if err != nil {
		return err
	}
	defer pool.Close()
	writer := db.NewWriter(pool)
	defer writer.Close()
	recorder := activities.NewRecorder(host.With(ctx, host.Host{
		Info: info, Logger: log.NewStructuredLogger(slog.Default()), Heartbeat: func() {},
	}), writer)
	defer func() { err = recorder.End(err) }()
	message := recorder.Message("")
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for _, word := range strings.SplitAfter(strings.TrimSuffix(answerText(int(info.Attempt)), " "), " ") {
		if _, err := message.WriteString(word); err != nil {
			return err
		}
		<-tick.C
	}
	return message.Close("complete")
}

// attempt starts a process that writes a message to a workflow.
func (w *world) attempt(workflow string, activity, attempt int, pause time.Duration) (process *exec.Cmd, said *bytes.Buffer) {
	w.t.Helper()
	self, err := os.Executable()
	require.NoError(w.t, err)
	said = new(bytes.Buffer)
	process = exec.CommandContext(w.t.Context(), self, w.postgres.URL(), workflow, strconv.Itoa(activity), strconv.Itoa(attempt), pause.String())
	process.Env = append(os.Environ(), asActivity+"=1")
	process.Stderr = said
	require.NoError(w.t, process.Start())
	return process, said
}

// fateOfAttempt is what happens to the first attempt of an activity.
type fateOfAttempt int

const (
	killed  fateOfAttempt = iota // kill -9
	stopped                      // it stops, and goes on when the second attempt has finished
)

// supersede ends or stops a process in the middle of a message, and has a second attempt write it from its beginning.
func supersede(how fateOfAttempt) func(*world) {
	return func(w *world) {
		for round := range rounds(3, 10) {
			workflow, _ := w.pick()
			activity := 10*w.random.IntN(1_000_000) + round
			first, said := w.attempt(workflow, activity, 1, 10*time.Millisecond)
			const drafts = `select message_id from chatfeed.deltas where workflow_id = $1 and message_id like 'msg\_%' and attempt = $2
				group by 1 having count(*) > 3 limit 1`
			until(w.t, "the first attempt writes", func() bool {
				rows, err := w.control.Query(w.t.Context(), drafts, workflow, 1)
				if err != nil {
					return false
				}
				found, err := pgx.CollectRows(rows, pgx.RowTo[string])
				return err == nil && len(found) > 0
			})
			message := ask[string](w, drafts, workflow, 1)
			if how == killed {
				require.NoError(w.t, first.Process.Kill())
				require.Error(w.t, first.Wait(), said)
			} else {
				require.NoError(w.t, first.Process.Signal(syscall.SIGSTOP))
			}
			w.catchUp([]string{workflow})
			second, secondSaid := w.attempt(workflow, activity, 2, time.Millisecond)
			require.NoError(w.t, second.Wait(), secondSaid)
			if how == stopped {
				require.NoError(w.t, first.Process.Signal(syscall.SIGCONT))
				require.NoError(w.t, first.Wait(), said)
			}
			require.Equal(w.t, strings.TrimSuffix(answerText(2), " "),
				ask[string](w, `select message from chatfeed.messages where workflow_id = $1 and id = $2`, workflow, message))
			require.Zero(w.t, ask[int](w, `select count(*) from chatfeed.deltas where workflow_id = $1 and message_id = $2`, workflow, message))
			w.newcomers(workflow)
			w.awaitHealthy()
		}
	}
}

// pruneDeltas prunes the deltas of unfinished messages while they are followed. Those who write them go on.
func pruneDeltas(w *world) {
	ctx := w.t.Context()
	for wanted := rounds(3, 20); wanted > 0; {
		const unfinished = `select workflow_id, id from chatfeed.deltas where workflow_id = any ($1)`
		type delta struct{ Workflow, ID string }
		all := func(tx pgx.Tx) (map[delta]bool, error) {
			rows, err := tx.Query(ctx, unfinished, w.config.Workflows)
			if err != nil {
				return nil, err
			}
			deltas, err := pgx.CollectRows(rows, pgx.RowToStructByPos[delta])
			found := make(map[delta]bool)
			for _, d := range deltas {
				found[d] = true
			}
			return found, err
		}
		until(w.t, "there are old deltas", func() bool {
			return ask[int](w, `select count(*) from chatfeed.deltas where "_createdAt" < clock_timestamp() - interval '1 second'`) > 5
		})
		w.catchUp(w.config.Workflows)
		before, pruned := w.audit.Progress(), 0
		w.change("deltas are pruned", func(tx pgx.Tx) error {
			had, err := all(tx)
			if err != nil {
				return err
			}
			if err := tx.QueryRow(ctx, `select chatfeed.prune_deltas('1 second')`).Scan(&pruned); err != nil {
				return err
			}
			left, err := all(tx)
			for d := range had {
				if !left[d] {
					w.audit.Meets(audit.Erased, d.Workflow, "delta", d.ID)
				}
			}
			return err
		})
		if pruned == 0 { // their messages have come meanwhile
			continue
		}
		wanted--
		w.awaitNotified(before, pruned*w.streams(), 0)
		for _, workflow := range w.config.Workflows {
			w.newcomers(workflow)
		}
		w.awaitHealthy()
	}
}
