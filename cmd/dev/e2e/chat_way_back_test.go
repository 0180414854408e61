package e2e

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	v1 "chatfeed/rpc/chatfeedv1"
	"chatfeed/rpc/chatfeedv1/chatfeedv1connect"
)

// serveCalls runs a server that allows calls, and starts workflows of the type Order on a task queue. It returns its address.
func serveCalls(t *testing.T, queue string) string {
	t.Helper()
	return serveWith(t, "--allow-start", "Order="+queue, "--allow-workflow", "Lonely", "--allow-terminate",
		"--allow-signal", "note,finish,renew", "--allow-query", "state,refuse,leak,bytes,large,unknown",
		"--allow-update", "add,nothing,wait,refuse,leak,unknown")
}

// serveWith runs a server with flags and returns its address.
func serveWith(t *testing.T, flags ...string) string {
	t.Helper()
	server := start(t, "chatfeed", append([]string{
		"serve", "--database-url", shared.DatabaseURL, "--temporal-address", shared.Temporal, "--listen", "127.0.0.1:0",
	}, flags...)...)
	server.prints(t, "msg=serving")
	return "http://" + regexp.MustCompile(`address=(\S+)`).FindStringSubmatch(server.out.String())[1]
}

// chatAt returns a client that calls the server once, without a try of its own.
func chatAt(url string) chatfeedv1connect.ChatServiceClient {
	return chatfeedv1connect.NewChatServiceClient(http.DefaultClient, url)
}

// losingAnswers passes requests on to a server, and cuts the connection when the server has answered the first to each path.
func losingAnswers(t *testing.T, server string) string {
	t.Helper()
	to, err := url.Parse(server)
	require.NoError(t, err)
	var mu sync.Mutex
	lost := map[string]bool{}
	proxy := httputil.NewSingleHostReverseProxy(to)
	proxy.ModifyResponse = func(r *http.Response) error {
		_, err := io.Copy(io.Discard, r.Body)
		mu.Lock()
		defer mu.Unlock()
		if err == nil && !lost[r.Request.URL.Path] {
			lost[r.Request.URL.Path] = true
			panic(http.ErrAbortHandler)
		}
		return io.ErrUnexpectedEOF
	}
	between := httptest.NewServer(proxy)
	t.Cleanup(between.Close)
	return between.URL
}

// events counts the events of a type in the history of a workflow's run.
func events(t *testing.T, c client.Client, workflow, run string, kind enums.EventType) (n int) {
	t.Helper()
	history := c.GetWorkflowHistory(t.Context(), workflow, run, false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for history.HasNext() {
		event, err := history.Next()
		require.NoError(t, err)
		if event.GetEventType() == kind {
			n++
		}
	}
	return n
}

func TestACallWhoseAnswerWasLostIsRepeatedAndHasItsEffectOnce(t *testing.T) {
	t.Parallel()
	ctx, c := t.Context(), dialTemporal(t)
	server := orders(t, c)
	chat, cut := chatAt(server), chatAt(losingAnswers(t, server))

	begin := &v1.StartWorkflowRequest{WorkflowId: "wf_once", Type: "Order", Args: []string{`{"customer": 12345678901234567890}`}, RequestId: "s"}
	_, err := cut.StartWorkflow(ctx, begin)
	require.Equal(t, connect.CodeUnavailable, connect.CodeOf(err), "%v", err)
	begun, err := c.DescribeWorkflowExecution(ctx, "wf_once", "")
	require.NoError(t, err, "it has its effect")
	first := begun.GetWorkflowExecutionInfo().GetExecution().GetRunId()
	started := func() {
		again, err := chat.StartWorkflow(ctx, begin)
		require.NoError(t, err)
		require.Equal(t, first, again.GetRunId())
	}
	started()
	_, err = chat.StartWorkflow(ctx, &v1.StartWorkflowRequest{WorkflowId: "wf_once", Type: "Order", RequestId: "another"})
	require.Equal(t, connect.CodeAlreadyExists, connect.CodeOf(err), "%v", err)

	note := &v1.SignalWorkflowRequest{WorkflowId: "wf_once", Name: "note", Args: []string{`"by a signal"`}, RequestId: "n"}
	_, err = cut.SignalWorkflow(ctx, note)
	require.Error(t, err)
	for range 2 {
		sent, err := chat.SignalWorkflow(ctx, note)
		require.NoError(t, err)
		require.Equal(t, first, sent.GetRunId())
	}
	require.Equal(t, 1, events(t, c, "wf_once", first, enums.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED))

	add := &v1.UpdateWorkflowRequest{WorkflowId: "wf_once", Name: "add", Args: []string{`"by an update"`}, RequestId: "u"}
	_, err = cut.UpdateWorkflow(ctx, add)
	require.Error(t, err)
	added := func() {
		for range 2 {
			result, err := chat.UpdateWorkflow(ctx, add)
			require.NoError(t, err)
			require.Equal(t, "2", result.GetResult())
		}
		require.Equal(t, 1, events(t, c, "wf_once", first, enums.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED))
	}
	added()
	state, err := chat.QueryWorkflow(ctx, &v1.QueryWorkflowRequest{WorkflowId: "wf_once", Name: "state", Args: []string{`"now"`}})
	require.NoError(t, err)
	require.Equal(t, `{"customer":12345678901234567890,"notes":["now","by a signal","by an update"],"runs":1}`, state.GetResult())

	_, err = chat.SignalWorkflow(ctx, &v1.SignalWorkflowRequest{WorkflowId: "wf_once", Name: "finish"})
	require.NoError(t, err)
	require.NoError(t, c.GetWorkflow(ctx, "wf_once", first).Get(ctx, nil))
	started() // also after its end
	added()
	_, err = chat.UpdateWorkflow(ctx, &v1.UpdateWorkflowRequest{WorkflowId: "wf_once", Name: "add", Args: []string{`"late"`}, RequestId: "late"})
	require.Equal(t, connect.CodeNotFound, connect.CodeOf(err), "%v", err)
	ended, err := chat.QueryWorkflow(ctx, &v1.QueryWorkflowRequest{WorkflowId: "wf_once", Name: "state", Args: []string{`"then"`}})
	require.NoError(t, err)
	require.Contains(t, ended.GetResult(), `"then","by a signal"`, "one that has ended can be asked")

	another, err := chat.StartWorkflow(ctx, &v1.StartWorkflowRequest{WorkflowId: "wf_once", Type: "Order", Args: []string{`{}`}, RequestId: "another"})
	require.NoError(t, err, "what has ended can be started again")
	require.NotEqual(t, first, another.GetRunId())
	end := &v1.TerminateWorkflowRequest{WorkflowId: "wf_once", Reason: "enough"}
	_, err = cut.TerminateWorkflow(ctx, end)
	require.Error(t, err)
	for range 2 {
		_, err = chat.TerminateWorkflow(ctx, end)
		require.NoError(t, err)
	}
	require.Equal(t, 1, events(t, c, "wf_once", another.GetRunId(), enums.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED))
}

func TestAStartIsRepeatedAlsoAfterTheWorkflowHasContinuedAsNew(t *testing.T) {
	t.Parallel()
	ctx, c := t.Context(), dialTemporal(t)
	chat := chatAt(orders(t, c))
	begin := &v1.StartWorkflowRequest{WorkflowId: "wf_renewed", Type: "Order", Args: []string{`{}`}, RequestId: "s"}
	first, err := chat.StartWorkflow(ctx, begin)
	require.NoError(t, err)
	latest := func() string {
		found, err := c.DescribeWorkflowExecution(ctx, "wf_renewed", "")
		require.NoError(t, err)
		return found.GetWorkflowExecutionInfo().GetExecution().GetRunId()
	}
	_, err = chat.SignalWorkflow(ctx, &v1.SignalWorkflowRequest{WorkflowId: "wf_renewed", Name: "renew"})
	require.NoError(t, err)
	waitFor(t, func() bool { return latest() != first.GetRunId() }, "the workflow to continue as new")
	second := latest()
	for range 2 {
		again, err := chat.StartWorkflow(ctx, begin)
		require.NoError(t, err)
		require.Equal(t, first.GetRunId(), again.GetRunId())
		require.Equal(t, second, latest())
		_, err = chat.SignalWorkflow(ctx, &v1.SignalWorkflowRequest{WorkflowId: "wf_renewed", Name: "finish", RequestId: "f"})
		if connect.CodeOf(err) != connect.CodeNotFound { // the second time, it has ended
			require.NoError(t, err)
		}
		require.NoError(t, c.GetWorkflow(ctx, "wf_renewed", second).Get(ctx, nil))
	}
}

func TestTheEffectOfASignalShowsInTheFeed(t *testing.T) {
	t.Parallel()
	server := orders(t, dialTemporal(t))
	tail := start(t, "chatfeed", "tail", "wf_effect", "--json", "--server", server)
	_, err := chatAt(server).StartWorkflow(t.Context(), &v1.StartWorkflowRequest{WorkflowId: "wf_effect", Type: "Order", Args: []string{`{}`}})
	require.NoError(t, err)
	for _, text := range []string{"one", "two"} {
		_, err := chatAt(server).SignalWorkflow(t.Context(), &v1.SignalWorkflowRequest{WorkflowId: "wf_effect", Name: "note", Args: []string{`"` + text + `"`}})
		require.NoError(t, err)
		tail.prints(t, `"message":"`+text+`"`)
	}
}

func TestAWorkflowThatDoesNotAnswerIsADeadlineAndNotAHang(t *testing.T) {
	t.Parallel()
	ctx, c := t.Context(), dialTemporal(t)
	chat := chatAt(orders(t, c))
	_, err := chat.StartWorkflow(ctx, &v1.StartWorkflowRequest{WorkflowId: "wf_busy", Type: "Order", Args: []string{`{}`}})
	require.NoError(t, err)
	nobody(t, c, "wf_lonely", "Lonely")
	for name, call := range map[string]func() error{
		"an update that does not end": func() error {
			_, err := chat.UpdateWorkflow(ctx, &v1.UpdateWorkflowRequest{WorkflowId: "wf_busy", Name: "wait", RequestId: "w"})
			return err
		},
		"an update without a worker": func() error {
			_, err := chat.UpdateWorkflow(ctx, &v1.UpdateWorkflowRequest{WorkflowId: "wf_lonely", Name: "add"})
			return err
		},
		"a query without a worker": func() error {
			_, err := chat.QueryWorkflow(ctx, &v1.QueryWorkflowRequest{WorkflowId: "wf_lonely", Name: "state"})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			err := call()
			require.Equal(t, connect.CodeDeadlineExceeded, connect.CodeOf(err), "%v", err)
			require.ErrorContains(t, err, "the workflow has not answered in time")
			require.Less(t, time.Since(began), time.Minute)
		})
	}
}

func TestWhatAWorkflowSaysReachesTheClientOnlyIfItIsMeantTo(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	chat := chatAt(orders(t, dialTemporal(t)))
	_, err := chat.StartWorkflow(ctx, &v1.StartWorkflowRequest{WorkflowId: "wf_words", Type: "Order", Args: []string{`{}`}})
	require.NoError(t, err)
	update := func(name string) (string, error) {
		got, err := chat.UpdateWorkflow(ctx, &v1.UpdateWorkflowRequest{WorkflowId: "wf_words", Name: name})
		return got.GetResult(), err
	}
	query := func(name string) (string, error) {
		got, err := chat.QueryWorkflow(ctx, &v1.QueryWorkflowRequest{WorkflowId: "wf_words", Name: name})
		return got.GetResult(), err
	}
	nothing, err := update("nothing")
	require.NoError(t, err)
	require.Equal(t, "null", nothing)
	const failed = "the workflow has failed this; its operator can see why"
	for _, c := range []struct {
		call      func(string) (string, error)
		name, say string
	}{
		{update, "refuse", "the order is sold out"},
		{update, "leak", failed},
		{update, "unknown", failed},
		{query, "refuse", "nobody may know that"},
		{query, "leak", failed},
		{query, "unknown", failed},
		{query, "bytes", "the workflow's answer is not JSON, and nothing else is delivered"},
		{query, "large", "the workflow's answer is 1048578 bytes long; at most 1048576 bytes are delivered"},
	} {
		_, err := c.call(c.name)
		require.EqualError(t, err, "failed_precondition: "+c.say, c.name)
	}
}

func TestAWorkflowOfATypeThatIsNotAllowedIsLikeOneThatDoesNotExist(t *testing.T) {
	t.Parallel()
	ctx, c := t.Context(), dialTemporal(t)
	chat := chatAt(serveCalls(t, t.Name()))
	nobody(t, c, "wf_payroll", "Payroll")
	for _, workflow := range []string{"wf_payroll", "wf_nothing"} {
		_, signal := chat.SignalWorkflow(ctx, &v1.SignalWorkflowRequest{WorkflowId: workflow, Name: "note"})
		_, update := chat.UpdateWorkflow(ctx, &v1.UpdateWorkflowRequest{WorkflowId: workflow, Name: "add"})
		_, query := chat.QueryWorkflow(ctx, &v1.QueryWorkflowRequest{WorkflowId: workflow, Name: "state"})
		_, terminate := chat.TerminateWorkflow(ctx, &v1.TerminateWorkflowRequest{WorkflowId: workflow})
		_, cancel := chat.CancelWorkflow(ctx, &v1.CancelWorkflowRequest{WorkflowId: workflow})
		for _, err := range []error{signal, update, query, terminate, cancel} {
			require.EqualError(t, err, "not_found: no workflow with this id is running", workflow)
		}
	}
	found, err := c.DescribeWorkflowExecution(ctx, "wf_payroll", "")
	require.NoError(t, err)
	require.Equal(t, enums.WORKFLOW_EXECUTION_STATUS_RUNNING, found.GetWorkflowExecutionInfo().GetStatus())
	require.Zero(t, events(t, c, "wf_payroll", "", enums.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED))

	_, err = chatAt(shared.Server).SignalWorkflow(ctx, &v1.SignalWorkflowRequest{WorkflowId: "wf_payroll", Name: "note"})
	require.Equal(t, connect.CodePermissionDenied, connect.CodeOf(err), "nothing is allowed by default: %v", err)
}

func TestMistakesInWhatIsAllowedAreNamed(t *testing.T) {
	t.Parallel()
	for flag, want := range map[string]string{
		"--allow-start==queue":          `--allow-start: "=queue" lacks a name; TYPE or TYPE=TASKQUEUE is accepted`,
		"--allow-start=Order=":          `--allow-start: "Order=" lacks a name`,
		"--allow-start=Order=a,Order=b": `--allow-start: the type "Order" has two task queues, "a" and "b"; one is accepted`,
		"--allow-signal=a,,b":           "--allow-signal: a name is empty",
		"--allow-query=,state":          "--allow-query: a name is empty",
		"--allow-update=,":              "--allow-update: a name is empty",
		"--allow-workflow=A,,B":         "--allow-workflow: a name is empty",
	} {
		p := start(t, "chatfeed", "serve", "--database-url", shared.DatabaseURL, "--listen", "127.0.0.1:0", flag)
		require.Equal(t, 2, p.ends(t), "%s: %s", flag, p.out)
		require.Contains(t, strings.TrimSpace(p.out.String()), want)
	}
}
