package page

import (
	"bytes"
	"net/http"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"chatfeed/internal/dbtest"
)

// server is a chatfeed server in a process of its own, which can be killed and started again at the same address.
type server struct {
	url     string
	args    []string
	process *exec.Cmd
}

// newServer starts a server, which is killed at the end of the test.
func newServer(t *testing.T, databaseURL string) *server {
	t.Helper()
	address := dbtest.FreeAddress(t)
	s := &server{
		url:  "http://" + address,
		args: []string{"serve", "--no-chat", "--listen", address, "--heartbeat", "1s", "--sweep", "1s", "--database-url", databaseURL},
	}
	s.start(t)
	t.Cleanup(func() { s.kill(t) })
	return s
}

// start starts the process and waits until it is ready.
func (s *server) start(t *testing.T) {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	s.process = exec.Command(self, s.args...)
	s.process.Env = append(os.Environ(), asProgram+"=1")
	var log bytes.Buffer
	s.process.Stderr = &log
	_, err = s.process.StdinPipe() // open as long as this process is
	require.NoError(t, err)
	require.NoError(t, s.process.Start())
	require.Eventually(t, func() bool {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/readyz", nil)
		if err != nil {
			return false
		}
		request.Close = true
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return false
		}
		return response.Body.Close() == nil && response.StatusCode == http.StatusOK
	}, time.Minute, 20*time.Millisecond)
}

// kill ends the process with SIGKILL.
func (s *server) kill(t *testing.T) {
	t.Helper()
	require.NoError(t, s.process.Process.Kill())
	require.Error(t, s.process.Wait())
}
