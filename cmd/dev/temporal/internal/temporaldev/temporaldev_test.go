package temporaldev_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"chatfeed/cmd/dev/temporal/internal/temporaldev"
)

func TestStartServesWorkflowsInTheNamespace(t *testing.T) {
	t.Parallel()
	s := started(t, temporaldev.Config{Namespace: "chats"})
	c := dialled(t, s, "chats")
	served(t, c)

	run, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "wf", TaskQueue: "test"}, "Greet", "Ada")

	require.NoError(t, err)
	var greeting string
	require.NoError(t, run.Get(t.Context(), &greeting))
	require.Equal(t, "Hello Ada", greeting)
}

func TestWorkflowsInAFileSurviveARestart(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "a folder? that is 100% new #1", "temporal.db")
	first := started(t, temporaldev.Config{File: file})
	c := dialled(t, first, "")
	_, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "wf", TaskQueue: "test"}, "Greet", "Bo")
	require.NoError(t, err)
	c.Close()
	require.NoError(t, first.Stop())
	require.FileExists(t, file)

	second := started(t, temporaldev.Config{File: file})

	c = dialled(t, second, "")
	served(t, c) // only now does anyone work on it
	var greeting string
	require.NoError(t, c.GetWorkflow(t.Context(), "wf", "").Get(t.Context(), &greeting))
	require.Equal(t, "Hello Bo", greeting)
}

func TestServersOfOneProcessShareNothingAndStartAgain(t *testing.T) {
	t.Parallel()
	first := started(t, temporaldev.Config{})
	beside := started(t, temporaldev.Config{})
	require.NotEqual(t, first.Address(), beside.Address())
	c := dialled(t, first, "")
	_, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "wf", TaskQueue: "test"}, "Greet", "Cy")
	require.NoError(t, err)
	_, err = dialled(t, beside, "").DescribeWorkflowExecution(t.Context(), "wf", "")
	require.ErrorContains(t, err, "not found")
	c.Close()
	require.NoError(t, first.Stop())
	require.NoError(t, first.Stop(), "a second call returns the first one's answer")
	_, number, err := net.SplitHostPort(first.Address())
	require.NoError(t, err)
	port, err := strconv.Atoi(number)
	require.NoError(t, err)

	again := started(t, temporaldev.Config{Port: port})

	require.Equal(t, first.Address(), again.Address())
	_, err = dialled(t, again, "").DescribeWorkflowExecution(t.Context(), "wf", "")
	require.ErrorContains(t, err, "not found", "what was in memory is gone")
}

func TestAServerThatStartsAndStopsLogsNothing(t *testing.T) {
	t.Parallel()
	var logged lines

	s, err := temporaldev.Start(t.Context(), temporaldev.Config{Log: slog.New(slog.NewTextHandler(&logged, nil))})
	require.NoError(t, err)
	require.NoError(t, s.Stop())

	require.Empty(t, logged.String())
}

func TestStopReturnsWhileClientsStillPoll(t *testing.T) {
	t.Parallel()
	s := started(t, temporaldev.Config{})
	served(t, dialled(t, s, ""))

	begin := time.Now()
	require.NoError(t, s.Stop())

	require.Less(t, time.Since(begin), 30*time.Second)
}

func TestATakenPortIsAnErrorThatNamesPortAndFlag(t *testing.T) {
	t.Parallel()
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, taken.Close()) }()
	port := taken.Addr().(*net.TCPAddr).Port

	_, err = temporaldev.Start(t.Context(), temporaldev.Config{Port: port})

	require.ErrorContains(t, err, "port "+strconv.Itoa(port))
	require.ErrorContains(t, err, "--port")
}

func TestAnInvalidPortIsRefused(t *testing.T) {
	t.Parallel()
	for _, port := range []int{-1, 65536} {
		_, err := temporaldev.Start(t.Context(), temporaldev.Config{Port: port})
		require.ErrorContains(t, err, "--port accepts")
	}
}

func TestACancelledStartFails(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()

	_, err := temporaldev.Start(ctx, temporaldev.Config{})

	require.ErrorIs(t, err, context.Canceled)
}

func TestAFolderThatCannotBeMadeIsNamed(t *testing.T) {
	t.Parallel()

	_, err := temporaldev.Start(t.Context(), temporaldev.Config{File: "/dev/null/data/temporal.db"})

	require.ErrorContains(t, err, "--db-filename /dev/null/data")
}

// Greet is a workflow that ends at once.
func Greet(_ workflow.Context, name string) (string, error) { return "Hello " + name, nil }

// started returns a server that is stopped with the test.
func started(t *testing.T, cfg temporaldev.Config) *temporaldev.Server {
	t.Helper()
	s, err := temporaldev.Start(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Stop()) })
	return s
}

func dialled(t *testing.T, s *temporaldev.Server, namespace string) client.Client {
	t.Helper()
	c, err := client.DialContext(t.Context(), client.Options{
		HostPort: s.Address(), Namespace: namespace, Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler)),
	})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

func served(t *testing.T, c client.Client) {
	t.Helper()
	w := worker.New(c, "test", worker.Options{})
	w.RegisterWorkflow(Greet)
	require.NoError(t, w.Start())
	t.Cleanup(w.Stop)
}

// lines is a buffer that any goroutine may write to.
type lines struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buffer.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buffer.String()
}
