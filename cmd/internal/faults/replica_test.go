package faults_test

import (
	"cmp"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"chatfeed/internal/dbtest"
)

// replica is one server, in a process of its own, with its own connection to PostgreSQL.
type replica struct {
	address  string // where it serves when it runs
	database *network
	journal  *journal
	args     []string
	debug    *net.TCPListener // on which its process serves what it holds
	process  *os.Process      // nil when it is down
	ended    chan error
}

// newReplica makes a server that is down. It is killed at the end of the test.
func newReplica(t *testing.T, postgres string, s setup) *replica {
	t.Helper()
	debug, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	r := &replica{
		address:  dbtest.FreeAddress(t),
		database: newNetwork(t, postgres),
		journal:  &journal{},
		debug:    debug.(*net.TCPListener),
	}
	r.args = []string{
		"serve", "--no-chat", "--listen", r.address,
		"--heartbeat", cmp.Or(s.heartbeat, 300*time.Millisecond).String(), "--sweep", "1s",
		"--database-url", "postgres://postgres@" + r.database.address() + "/chatfeed?sslmode=disable" + s.parameters,
	}
	t.Cleanup(func() {
		r.kill(t)
		require.NoError(t, debug.Close())
		for _, bad := range []string{"DATA RACE", "panic"} {
			require.Zero(t, r.journal.count(bad), "%s\n%s", bad, r.journal.end(200))
		}
	})
	return r
}

// start starts the server and waits until it is ready.
func (r *replica) start(t *testing.T) {
	t.Helper()
	r.launch(t)
	until(t, "the server is ready", func() bool {
		select {
		case err := <-r.ended:
			require.FailNow(t, "the server has ended", "%v\n%s", err, r.journal.end(20))
		default:
		}
		return r.ready(t.Context())
	})
}

// launch starts the process.
func (r *replica) launch(t *testing.T) {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	debug, err := r.debug.File()
	require.NoError(t, err)
	defer debug.Close()
	cmd := exec.Command(self, r.args...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	cmd.Stderr = r.journal
	cmd.ExtraFiles = []*os.File{debug}
	_, err = cmd.StdinPipe() // open as long as this process is
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	r.process, r.ended = cmd.Process, make(chan error, 1)
	go func() { r.ended <- cmd.Wait() }()
}

func (r *replica) ready(ctx context.Context) bool {
	response, err := get(ctx, "http://"+r.address+"/readyz")
	if err != nil {
		return false
	}
	return response.Body.Close() == nil && response.StatusCode == http.StatusOK
}

// kill ends the process with SIGKILL, if there is one.
func (r *replica) kill(t *testing.T) {
	t.Helper()
	if r.process == nil {
		return
	}
	require.NoError(t, r.process.Kill())
	require.Error(t, <-r.ended)
	r.process = nil
}

// stop asks the process to end and requires that it does so properly.
func (r *replica) stop(t *testing.T) {
	t.Helper()
	require.NoError(t, r.process.Signal(syscall.SIGTERM))
	require.NoError(t, <-r.ended, r.journal.end(50))
	r.process = nil
}

// holds requests what the process holds.
func (r *replica) holds(t *testing.T) (h held) {
	t.Helper()
	response, err := get(t.Context(), "http://"+r.debug.Addr().String()+"/held")
	require.NoError(t, err)
	require.NoError(t, json.NewDecoder(response.Body).Decode(&h))
	require.NoError(t, response.Body.Close())
	return h
}

// goroutines is what the process does now, for a person to read.
func (r *replica) goroutines(t *testing.T) string {
	t.Helper()
	response, err := get(t.Context(), "http://"+r.debug.Addr().String()+"/goroutines")
	require.NoError(t, err)
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	return string(text)
}

// get sends a request on a connection of its own and waits up to a minute, because the process may be very busy.
func get(ctx context.Context, url string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	request.Close = true
	return (&http.Client{Timeout: time.Minute}).Do(request)
}
