package program_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"chatfeed/cmd/internal/bench"
	"chatfeed/internal/dbtest"
)

// refused runs an invalid command line and returns its output.
func refused(t *testing.T, code int, args ...string) string {
	t.Helper()
	cmd := command(t, args...)
	var said bytes.Buffer
	cmd.Stderr = &said
	err := cmd.Run()
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit)
	require.Equal(t, code, exit.ExitCode(), said.String())
	return said.String()
}

func TestAnUnknownScenarioIsRefusedWithTheAcceptedOnes(t *testing.T) {
	t.Parallel()
	said := refused(t, 2, "bench", "latency", "speed")
	require.Contains(t, said, `SCENARIO: "speed" is unknown; accepted are latency, fanout, write, catchup, herd, stream, steady and all`)
}

func TestTheHelpOfBenchNamesEveryScenario(t *testing.T) {
	t.Parallel()
	help, err := command(t, "bench", "--help").Output()
	require.NoError(t, err)
	for _, scenario := range bench.Scenarios() {
		require.Contains(t, string(help), scenario.Name)
	}
}

func TestErrorsOfBenchNameTheFlag(t *testing.T) {
	t.Parallel()
	require.Contains(t, refused(t, 2, "bench", "write", "--database-url=postgres://%zz"), "--database-url")
	require.Contains(t, refused(t, 2, "bench", "write", "--pg-bin=/nowhere"), "--pg-bin")
	require.Contains(t, refused(t, 1, "bench", "write", "--database-url=postgres://127.0.0.1:1/none"), "--database-url")
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	require.Contains(t, refused(t, 2, "bench", "write", "--out="+file), "--out")
	require.Contains(t, refused(t, 1, "bench", "write", "--pg-bin="+t.TempDir()), "--pg-bin")
}

func TestBenchPrintsOneJSONObjectAndWritesTheDocument(t *testing.T) {
	t.Parallel()
	out := filepath.Join(t.TempDir(), "docs")
	cmd := command(t, "bench", "write", "--short", "--json", "--out", out, "--database-url", dbtest.URL(t))
	text, err := cmd.Output()
	require.NoError(t, err)
	decoder := json.NewDecoder(bytes.NewReader(text))
	var got map[string]any
	require.NoError(t, decoder.Decode(&got))
	require.False(t, decoder.More(), "exactly one object")
	require.Equal(t, "write", got["scenario"])
	require.Positive(t, got["writer_vs_plain"])
	require.NotEmpty(t, got["machine"])
	require.Len(t, got["runs"], 2)
	saved, err := os.ReadFile(filepath.Join(out, "benchmarks", "write.json"))
	require.NoError(t, err)
	require.Equal(t, string(text), string(saved))
	require.FileExists(t, filepath.Join(out, "benchmarks.md"))
	require.FileExists(t, filepath.Join(out, "benchmarks", "write.svg"))
}

func TestBenchEndsWithAllItHasStartedWhenItIsInterrupted(t *testing.T) {
	t.Parallel()
	cmd := command(t, "bench", "latency")
	cmd.Stderr = nil
	progress, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	said := bufio.NewScanner(progress)
	for said.Scan() && !strings.Contains(said.Text(), "round 0") {
		continue
	}
	children := childrenOf(t, cmd.Process.Pid)
	require.Len(t, children, 2, "PostgreSQL's and a server")

	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	var last string
	for said.Scan() {
		last = said.Text()
	}
	require.Error(t, cmd.Wait())
	require.Equal(t, 1, cmd.ProcessState.ExitCode(), "it has ended by itself")
	require.Equal(t, "chatfeed: bench: interrupted; nothing is reported", last)
	for _, child := range children {
		require.ErrorIs(t, syscall.Kill(child, 0), syscall.ESRCH)
	}
}

// childrenOf lists the processes that a process has started and that run.
func childrenOf(t *testing.T, pid int) []int {
	t.Helper()
	processes, err := filepath.Glob("/proc/[0-9]*/stat")
	require.NoError(t, err)
	if len(processes) == 0 {
		t.Skip("no /proc here that tells who has started a process")
	}
	var children []int
	for _, process := range processes {
		text, err := os.ReadFile(process)
		if err != nil {
			continue // it has ended
		}
		// The program's name is in parentheses and may hold anything; behind it are the state and the parent.
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		if fields[1] == strconv.Itoa(pid) {
			child, err := strconv.Atoi(filepath.Base(filepath.Dir(process)))
			require.NoError(t, err)
			children = append(children, child)
		}
	}
	return children
}
