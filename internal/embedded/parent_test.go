package embedded

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// child is what a program prints that started a server.
type child struct {
	cmd                         *exec.Cmd
	url, data                   string
	server, supervisor, sleeper int
}

// startParent runs a program that starts a server, in a process group of its own as a terminal would.
func startParent(t *testing.T, data string) child {
	t.Helper()
	c := child{cmd: exec.Command(os.Args[0])}
	c.cmd.Env = append(os.Environ(), asParent+"=1", "CHATFEED_TEST_DATA="+data)
	c.cmd.Stderr = os.Stderr
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	output, err := c.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, c.cmd.Start())
	t.Cleanup(func() {
		_ = c.cmd.Process.Kill()
		_ = c.cmd.Wait()
		if c.sleeper != 0 {
			_ = syscall.Kill(c.sleeper, syscall.SIGKILL)
		}
	})
	line, err := bufio.NewReader(output).ReadString('\n')
	require.NoError(t, err)
	_, err = fmt.Sscan(line, &c.url, &c.data, &c.server, &c.supervisor, &c.sleeper)
	require.NoError(t, err)
	return c
}

func TestServerDiesWithAParentThatIsKilled(t *testing.T) {
	t.Parallel()
	c := startParent(t, "")
	processes := append(children(c.server), c.server, c.supervisor)
	require.Greater(t, len(processes), 4)
	require.DirExists(t, c.data)
	open := connect(t, c.url) // a client does not hold it up
	require.NoError(t, c.cmd.Process.Kill())
	require.Error(t, c.cmd.Wait())

	for _, pid := range processes {
		require.Eventually(t, func() bool { return !running(pid) }, patience, pollEvery, pid)
	}
	require.NoDirExists(t, c.data)
	require.Error(t, open.Ping(t.Context()))
	require.True(t, running(c.sleeper))
}

func TestKeptDataOutlivesAParentThatIsKilled(t *testing.T) {
	t.Parallel()
	data := filepath.Join(folder(t), "data")
	c := startParent(t, data)
	_, err := connect(t, c.url).Exec(t.Context(), "create table kept as select 7 as n")
	require.NoError(t, err)
	require.NoError(t, c.cmd.Process.Kill())
	require.Error(t, c.cmd.Wait())

	s := begin(t, Config{Data: data}) // at once: it waits for the one that is going down
	var n int
	require.NoError(t, connect(t, s.URL()).QueryRow(t.Context(), "select n from kept").Scan(&n))
	require.Equal(t, 7, n)
}

func TestServerDoesNotReceiveTheSignalsOfATerminal(t *testing.T) {
	t.Parallel()
	c := startParent(t, "")
	group, err := syscall.Getpgid(c.cmd.Process.Pid)
	require.NoError(t, err)
	for _, pid := range []int{c.server, c.supervisor} {
		own, err := syscall.Getpgid(pid)
		require.NoError(t, err)
		require.NotEqual(t, group, own)
	}
	// What a terminal sends at Ctrl-C would have to be sent to the supervisor itself, and even that does nothing.
	require.NoError(t, syscall.Kill(c.supervisor, syscall.SIGINT))
	require.NoError(t, connect(t, c.url).Ping(t.Context()))
	require.True(t, running(c.supervisor))
}
