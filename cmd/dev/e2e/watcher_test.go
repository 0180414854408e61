package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/common/v1"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"chatfeed/internal/dbtest"
)

// silent is a workflow that records nothing. It ends as the signal "end" says.
func silent(ctx workflow.Context) error {
	percent := 0.0
	if err := workflow.SetQueryHandler(ctx, "progress", func() (float64, error) { return percent, nil }); err != nil {
		return err
	}
	for {
		var how string
		selector := workflow.NewSelector(ctx)
		selector.AddReceive(workflow.GetSignalChannel(ctx, "end"), func(c workflow.ReceiveChannel, _ bool) { c.Receive(ctx, &how) })
		selector.AddReceive(workflow.GetSignalChannel(ctx, "percent"), func(c workflow.ReceiveChannel, _ bool) { c.Receive(ctx, &percent) })
		selector.AddReceive(ctx.Done(), func(workflow.ReceiveChannel, bool) { how = "cancel" })
		selector.Select(ctx)
		switch how {
		case "complete":
			return nil
		case "fail":
			return temporal.NewApplicationError("it was told to", "test")
		case "cancel":
			return ctx.Err()
		case "again":
			return workflow.NewContinueAsNewError(ctx, silent)
		}
	}
}

// silence is a Temporal with a worker for silent workflows, and a database without anything.
type silence struct {
	client.Client
	pool   *pgxpool.Pool
	queue  string
	worker worker.Worker
}

func startSilence(t *testing.T, queue string) *silence {
	t.Helper()
	s := &silence{Client: dialTemporal(t), pool: dbtest.Pool(t), queue: queue}
	s.work(t)
	return s
}

// work starts a worker, which ends with the test.
func (s *silence) work(t *testing.T) {
	t.Helper()
	s.worker = worker.New(s.Client, s.queue, worker.Options{})
	s.worker.RegisterWorkflow(silent)
	require.NoError(t, s.worker.Start())
	t.Cleanup(s.worker.Stop)
}

func (s *silence) start(t *testing.T, options client.StartWorkflowOptions) client.WorkflowRun {
	t.Helper()
	options.TaskQueue = s.queue
	run, err := s.ExecuteWorkflow(t.Context(), options, silent)
	require.NoError(t, err)
	return run
}

// serve starts a server that watches, with a Temporal of its own to count its calls.
func (s *silence) serve(t *testing.T, flags ...string) (url string, calls *meter, server *process) {
	t.Helper()
	calls = startMeter(t)
	server = start(t, "chatfeed", append([]string{"serve"}, append(flags, "--watch-temporal", "--no-chat", "--listen", "127.0.0.1:0",
		"--database-url", s.pool.Config().ConnString(), "--temporal-address", calls.address)...)...)
	server.prints(t, "msg=serving")
	return "http://" + (&part{process: server}).address(), calls, server
}

// told returns what the progress items of a workflow say.
func (s *silence) told(t *testing.T, workflowID string) []string {
	t.Helper()
	rows, _ := s.pool.Query(t.Context(), `select progress || ' ' || status from chatfeed.progress where workflow_id = $1 order by "_createdAt"`, workflowID)
	told, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return told
}

func TestEachEndOfAWorkflowThatRecordsNothingIsShown(t *testing.T) {
	t.Parallel()
	s := startSilence(t, "watched-ends")
	url, _, _ := s.serve(t)
	signal := func(how string) func(*testing.T, client.WorkflowRun) {
		return func(t *testing.T, run client.WorkflowRun) {
			require.NoError(t, s.SignalWorkflow(t.Context(), run.GetID(), run.GetRunID(), "end", how))
		}
	}
	for say, c := range map[string]struct {
		options client.StartWorkflowOptions
		end     func(*testing.T, client.WorkflowRun)
	}{
		"100 % completed": {end: signal("complete")},
		"0 % failed":      {end: signal("fail")},
		"0 % cancelled": {end: func(t *testing.T, run client.WorkflowRun) {
			require.NoError(t, s.CancelWorkflow(t.Context(), run.GetID(), ""))
		}},
		"0 % terminated": {end: func(t *testing.T, run client.WorkflowRun) {
			require.NoError(t, s.TerminateWorkflow(t.Context(), run.GetID(), "", "for the test"))
		}},
		"0 % timed_out": {options: client.StartWorkflowOptions{WorkflowRunTimeout: 10 * time.Second}},
	} {
		t.Run(say, func(t *testing.T) {
			t.Parallel()
			c.options.ID = "wf_" + say
			run := s.start(t, c.options)
			tail := start(t, "chatfeed", "tail", c.options.ID, "--server", url)
			tail.prints(t, "0 % running")
			if c.end != nil {
				c.end(t, run)
			}
			tail.prints(t, say)
		})
	}
}

func TestAWorkflowTerminatedWhileSomeoneFollowsShowsItWithinSixSeconds(t *testing.T) {
	t.Parallel()
	s := startSilence(t, "watched-terminated")
	url, calls, _ := s.serve(t)
	const n = 8
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprint("wf_terminated_", i)
		s.start(t, client.StartWorkflowOptions{ID: ids[i]})
	}
	tail := start(t, "chatfeed", append([]string{"tail", "--server", url}, ids...)...)
	waitFor(t, func() bool { return calls.count("DescribeWorkflowExecution") >= 20*n }, "the intervals to be at their longest")
	for _, id := range ids {
		require.NoError(t, s.TerminateWorkflow(t.Context(), id, "", "for the test"))
	}
	soon := 0
	for _, id := range ids {
		waitFor(t, func() bool { return len(s.told(t, id)) == 2 }, "%s to be told", id)
		require.Equal(t, []string{"0 running", "0 terminated"}, s.told(t, id))
		run, err := s.DescribeWorkflowExecution(t.Context(), id, "")
		require.NoError(t, err)
		var at time.Time
		require.NoError(t, s.pool.QueryRow(t.Context(), `select "_createdAt" from chatfeed.progress where workflow_id = $1 and status = 'terminated'`, id).Scan(&at))
		if at.Sub(run.GetWorkflowExecutionInfo().GetCloseTime().AsTime()) < 6*time.Second {
			soon++
		}
	}
	require.GreaterOrEqual(t, soon, n*3/4, "some may be later on a machine that is busy")
	tail.prints(t, "0 % terminated")
}

func TestWatchingCostsNoCallWithoutFollowersAndNoMoreWithTwoServers(t *testing.T) {
	t.Parallel()
	s := startSilence(t, "watched-calls")
	urlA, callsA, _ := s.serve(t)
	urlB, callsB, _ := s.serve(t)
	const n = 5
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprint("wf_calls_", i)
		s.start(t, client.StartWorkflowOptions{ID: ids[i]})
	}
	count := func() int { return callsA.count("") + callsB.count("") }
	require.Zero(t, count(), "nobody follows")
	var tails []*process
	for _, url := range []string{urlA, urlB} {
		tails = append(tails, start(t, "chatfeed", append([]string{"tail", "--server", url}, ids...)...))
	}
	waitFor(t, func() bool { return count() >= 18*n }, "the intervals to be at their longest")
	begun, before := time.Now(), count()
	waitFor(t, func() bool { return time.Since(begun) > 22*time.Second }, "some calls")
	most := n * (int(time.Since(begun)/(5*time.Second)) + 1)
	require.LessOrEqual(t, count()-before, most, "as many as of one server")
	require.NotZero(t, count()-before)
	for _, tail := range tails {
		tail.signal(t, syscall.SIGKILL)
		tail.ends(t)
	}
	var idle, since time.Time
	last := -1
	waitFor(t, func() bool {
		if now := count(); now != last {
			last, since = now, time.Now()
		}
		idle = time.Now()
		return idle.Sub(since) > 12*time.Second
	}, "calls to end with the followers")
}

func TestAnotherServerGoesOnWatchingWhenTheOneThatDoesIsKilled(t *testing.T) {
	t.Parallel()
	s := startSilence(t, "watched-killed")
	const id = "wf_watched_killed"
	s.start(t, client.StartWorkflowOptions{ID: id})
	urlA, callsA, a := s.serve(t)
	tailA := start(t, "chatfeed", "tail", id, "--server", urlA)
	tailA.prints(t, "0 % running")
	urlB, callsB, _ := s.serve(t)
	tailB := start(t, "chatfeed", "tail", id, "--server", urlB)
	tailB.prints(t, "0 % running")
	before := callsA.count("")
	waitFor(t, func() bool { return callsA.count("") > before+2 }, "the first to go on")
	require.Zero(t, callsB.count(""), "the other waits")
	a.signal(t, syscall.SIGKILL)
	a.ends(t)
	require.NoError(t, s.TerminateWorkflow(t.Context(), id, "", "for the test"))
	tailB.prints(t, "0 % terminated")
	require.Equal(t, []string{"0 running", "0 terminated"}, s.told(t, id))
}

func TestAWorkflowThatIsResetOrContinuesAsNewIsFollowed(t *testing.T) {
	t.Parallel()
	s := startSilence(t, "watched-reset")
	const id = "wf_watched_reset"
	s.start(t, client.StartWorkflowOptions{ID: id})
	url, calls, _ := s.serve(t)
	tail := start(t, "chatfeed", "tail", id, "--server", url)
	tail.prints(t, "0 % running")
	require.NoError(t, s.SignalWorkflow(t.Context(), id, "", "end", "again"))
	before := calls.count("")
	waitFor(t, func() bool { return calls.count("") > before+5 }, "the new run to be described")
	require.Equal(t, []string{"0 running"}, s.told(t, id))
	require.NoError(t, s.SignalWorkflow(t.Context(), id, "", "end", "complete"))
	tail.prints(t, "100 % completed")
	_, err := s.ResetWorkflowExecution(t.Context(), &workflowservice.ResetWorkflowExecutionRequest{
		Namespace: "default", WorkflowExecution: &common.WorkflowExecution{WorkflowId: id}, Reason: "for the test",
		WorkflowTaskFinishEventId: 4, RequestId: id,
		ResetReapplyExcludeTypes: []enums.ResetReapplyExcludeType{enums.RESET_REAPPLY_EXCLUDE_TYPE_SIGNAL}, // else it would complete again
	})
	require.NoError(t, err)
	waitFor(t, func() bool { return len(s.told(t, id)) == 3 }, "the run after the reset to be found")
	require.NoError(t, s.TerminateWorkflow(t.Context(), id, "", "for the test"))
	tail.prints(t, "0 % terminated")
	require.Equal(t, []string{"0 running", "100 completed", "0 running", "0 terminated"}, s.told(t, id))
}

func TestAnOutageOfTemporalIsShownAndDelaysNoItem(t *testing.T) {
	t.Parallel()
	s := startSilence(t, "watched-outage")
	const id = "wf_watched_outage"
	s.start(t, client.StartWorkflowOptions{ID: id})
	url, calls, server := s.serve(t, "--watch-query", "progress")
	tail := start(t, "chatfeed", "tail", id, "no_workflow", "--server", url)
	tail.prints(t, "0 % running")
	require.NoError(t, s.SignalWorkflow(t.Context(), id, "", "percent", 40))
	tail.prints(t, "40 % running")
	for _, breakIt := range []func(bool){calls.fail, calls.hang} {
		breakIt(true)
		_, err := s.pool.Exec(t.Context(), `insert into chatfeed.messages (workflow_id, role, message) values ($1, 'psql', 'meanwhile')`, id)
		require.NoError(t, err)
		tail.prints(t, "meanwhile")
		before := len(s.told(t, id))
		waitFor(t, func() bool { return len(s.told(t, id)) > before }, "the outage to be told")
		require.Equal(t, "40 unknown", s.told(t, id)[before])
		breakIt(false)
		waitFor(t, func() bool { return len(s.told(t, id)) > before+1 }, "its end to be told")
		require.Equal(t, "40 running", s.told(t, id)[before+1])
	}
	server.prints(t, "a workflow cannot be described")
	tail.prints(t, "40 % unknown: Temporal does not answer")
	require.Empty(t, s.told(t, "no_workflow"))
}

func TestAWorkflowWhoseWorkerIsGoneIsStalledAndItsEndIsShown(t *testing.T) {
	t.Parallel()
	s := startSilence(t, "watched-stalled")
	const id = "wf_watched_stalled"
	s.start(t, client.StartWorkflowOptions{ID: id})
	url, _, _ := s.serve(t, "--watch-query", "progress")
	tail := start(t, "chatfeed", "tail", id, "--server", url)
	tail.prints(t, "0 % running")
	require.NoError(t, s.SignalWorkflow(t.Context(), id, "", "percent", 40))
	tail.prints(t, "40 % running")
	s.worker.Stop()
	tail.prints(t, "40 % stalled: The workflow is running, but its worker does not go on with it.")
	s.work(t)
	waitFor(t, func() bool { return len(s.told(t, id)) > 3 }, "the workflow to answer again")
	require.NoError(t, s.SignalWorkflow(t.Context(), id, "", "percent", 400)) // which is no percentage
	require.NoError(t, s.TerminateWorkflow(t.Context(), id, "", "for the test"))
	tail.prints(t, "40 % terminated")
	require.Equal(t, []string{"0 running", "40 running", "40 stalled", "40 running", "40 terminated"}, s.told(t, id))
}

func TestTheExampleOfTheWatcherIsShown(t *testing.T) {
	t.Parallel()
	s := &silence{Client: dialTemporal(t), pool: dbtest.Pool(t)}
	program := filepath.Join(t.TempDir(), "example")
	build := exec.Command("go", "build", "-o", program, "chatfeed/examples/watcher")
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))
	url, _, _ := s.serve(t, "--watch-query", "progress")
	tail := start(t, "chatfeed", "tail", "import-e2e", "--server", url)
	example := exec.Command(program, "import-e2e")
	example.Env = append(os.Environ(), "TEMPORAL_ADDRESS="+shared.Temporal)
	startCommand(t, example).prints(t, "import-e2e is running")
	tail.prints(t, "5 % importing")
	require.NoError(t, s.TerminateWorkflow(t.Context(), "import-e2e", "", "for the test"))
	tail.prints(t, "% terminated")
}
