package e2e

import (
	"context"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"chatfeed/activities"
	"chatfeed/db"
)

// recordOnce records three items in one activity, which is tried again soon after its worker has gone.
func recordOnce(ctx workflow.Context, queue string) (activities.Recorded, error) {
	var recorded activities.Recorded
	items := activities.Items(
		activities.Message{Message: "one"}, activities.Log{Message: "two"}, activities.Stat{TokenCount: 3})
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue:           queue,
		StartToCloseTimeout: 3 * time.Second,
		RetryPolicy:         &temporal.RetryPolicy{InitialInterval: 100 * time.Millisecond},
	})
	err := workflow.ExecuteActivity(ctx, activities.RecordItems, items).Get(ctx, &recorded)
	return recorded, err
}

func TestAWorkerKilledBetweenItsCommitAndItsCompletionLeavesEachRowOnce(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	const queue, id = "killed", "wf_killed"
	pool := openPool(t, shared.DatabaseURL)
	link := startLink(t, shared.Temporal)
	doomed := start(t, "chatfeed", "worker", "--database-url", shared.DatabaseURL,
		"--temporal-address", link.address, "--task-queue", queue)
	doomed.prints(t, "serving activities")

	// While another transaction holds the workflow, the activity cannot commit; so the link can be cut before it does.
	tx, err := pool.Begin(ctx)
	require.NoError(t, err)
	_, err = db.Append(ctx, tx, db.Log{WorkflowID: id, Message: "in the way"})
	require.NoError(t, err)
	run := runWorkflow(t, queue, id)
	waitFor(t, func() bool {
		var waiting int
		err := pool.QueryRow(ctx, `select count(*) from pg_stat_activity where $1 = any (pg_blocking_pids(pid))`,
			tx.Conn().PgConn().PID()).Scan(&waiting)
		return err == nil && waiting > 0
	}, "the activity to wait for the lock")
	link.cut.Store(true)
	require.NoError(t, tx.Rollback(ctx))
	rows := func() []string {
		found, _ := pool.Query(ctx, `select id from chatfeed.items where workflow_id = $1 order by "_createdAt"`, id)
		ids, err := pgx.CollectRows(found, pgx.RowTo[string])
		require.NoError(t, err)
		return ids
	}
	waitFor(t, func() bool { return len(rows()) == 3 }, "the activity to commit")
	committed := rows()
	doomed.signal(t, syscall.SIGKILL)
	doomed.ends(t)

	next := start(t, "chatfeed", "worker", "--database-url", shared.DatabaseURL,
		"--temporal-address", shared.Temporal, "--task-queue", queue)
	next.prints(t, "serving activities")
	var recorded activities.Recorded
	require.NoError(t, run.Get(ctx, &recorded))
	require.Equal(t, committed, recorded.IDs, "the retry records the same ids")
	require.Equal(t, committed, rows(), "and each row is there once")
}

func runWorkflow(t *testing.T, queue, id string) client.WorkflowRun {
	t.Helper()
	c, err := client.Dial(client.Options{HostPort: shared.Temporal})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	w := worker.New(c, queue+"-workflows", worker.Options{})
	w.RegisterWorkflow(recordOnce)
	require.NoError(t, w.Start())
	t.Cleanup(w.Stop)
	run, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: id, TaskQueue: queue + "-workflows"}, recordOnce, queue)
	require.NoError(t, err)
	return run
}

// link passes connections on until it is cut: then what the client says no longer arrives.
type link struct {
	address string
	cut     atomic.Bool
}

func startLink(t *testing.T, to string) *link {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l := &link{address: listener.Addr().String()}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		for {
			down, err := listener.Accept()
			if err != nil {
				return
			}
			up, err := new(net.Dialer).DialContext(ctx, "tcp", to)
			if err != nil {
				_ = down.Close()
				continue
			}
			context.AfterFunc(ctx, func() { _ = down.Close(); _ = up.Close() })
			running.Go(func() { _, _ = io.Copy(down, up) })
			running.Go(func() { l.pass(ctx, up, down) })
		}
	})
	t.Cleanup(func() { cancel(); _ = listener.Close(); running.Wait() })
	return l
}

func (l *link) pass(ctx context.Context, to io.Writer, from io.Reader) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		if l.cut.Load() {
			<-ctx.Done()
			return
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func TestTheStackEndsWithEverythingItHasStarted(t *testing.T) {
	t.Parallel()
	run := func(cmd *exec.Cmd) *process {
		p := startCommand(t, cmd)
		p.prints(t, "chatfeed is ready")
		p.prints(t, "Temporal is ready")
		return p
	}
	dev := filepath.Join(bin, "dev")
	flags := []string{"--listen", "127.0.0.1:0", "--postgres-port", "0", "--temporal-port", "0"}
	t.Run("asked to", func(t *testing.T) {
		t.Parallel()
		p := run(exec.Command(dev, flags...))
		p.signal(t, syscall.SIGINT)
		require.Zero(t, p.ends(t), p.out)
		requireGone(t, p)
	})
	t.Run("killed", func(t *testing.T) {
		t.Parallel()
		p := run(exec.Command(dev, flags...))
		p.signal(t, syscall.SIGKILL)
		p.ends(t)
		requireGone(t, p)
	})
	t.Run("killed while go runs it", func(t *testing.T) {
		t.Parallel()
		cmd := exec.Command("go", append([]string{"run", "chatfeed/cmd/dev"}, flags...)...)
		p := run(cmd)
		p.signal(t, syscall.SIGKILL)
		requireGone(t, p)
	})
	t.Run("as an ordinary user", func(t *testing.T) {
		t.Parallel()
		cmd := exec.Command(dev, flags...)
		if os.Getuid() == 0 { // else it is what all tests do
			nobody, err := user.Lookup("nobody")
			require.NoError(t, err)
			uid, err := strconv.ParseUint(nobody.Uid, 10, 32)
			require.NoError(t, err)
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
			cmd.Dir = "/"
			cmd.Env = append(os.Environ(), "HOME=/nonexistent")
		}
		p := run(cmd)
		p.signal(t, syscall.SIGTERM)
		require.Zero(t, p.ends(t), p.out)
		requireGone(t, p)
	})
}

// requireGone waits until nothing answers any more where the stack was.
func requireGone(t *testing.T, p *process) {
	t.Helper()
	addresses := regexp.MustCompile(`127\.0\.0\.1:\d+`).FindAllString(p.out.String(), -1)
	require.GreaterOrEqual(t, len(addresses), 3, p.out)
	for _, address := range addresses {
		waitFor(t, func() bool {
			conn, err := net.Dial("tcp", address)
			if err == nil {
				_ = conn.Close()
			}
			return err != nil
		}, "%s to fall silent", address)
	}
}

func TestAStackThatKeepsItsDataHasItAgain(t *testing.T) {
	t.Parallel()
	data := filepath.Join(bin, "kept") // where another user may go, if PostgreSQL has to run as one
	flags := []string{"--listen", "127.0.0.1:0", "--postgres-port", "0", "--temporal-port", "0", "--data", data}
	for round := range 2 {
		p := start(t, "dev", flags...)
		p.prints(t, "Temporal is ready")
		server := regexp.MustCompile(`http://127\.0\.0\.1:\d+`).FindString(p.out.String())
		tail := start(t, "chatfeed", "tail", "wf_kept", "--server", server)
		if round == 0 {
			require.Zero(t, start(t, "chatfeed", "send", "wf_kept", "Keep me.", "--server", server).ends(t))
		}
		tail.prints(t, "> Keep me.")
		tail.prints(t, "100 %")
		p.signal(t, syscall.SIGTERM)
		require.Zero(t, p.ends(t), p.out)
	}
}
