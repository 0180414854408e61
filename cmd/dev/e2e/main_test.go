// Package e2e tests the whole of chatfeed as its users run it: real processes, a real PostgreSQL, a real Temporal server.
package e2e

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"chatfeed/cmd/dev/internal/stack"
)

// shared is a stack that tests use which do not break it. Each takes workflows of its own.
var shared stack.Running

// logged is what the shared stack logs, from warnings on.
var logged = new(lines)

// bin holds the programs as they are built for users.
var bin string

func TestMain(m *testing.M) {
	if name := os.Getenv(partEnv); name != "" {
		os.Exit(runPart(name))
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	folder, err := os.MkdirTemp("", "chatfeed-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(folder) }()
	if err := os.Chmod(folder, 0o755); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	bin = folder
	for program, pkg := range map[string]string{
		"chatfeed": "chatfeed/cmd/chatfeed", "dev": "chatfeed/cmd/dev/stack", "temporal": "chatfeed/cmd/dev/temporal",
	} {
		build := exec.Command("go", "build", "-o", filepath.Join(bin, program), pkg)
		build.Stderr = os.Stderr
		if err := build.Run(); err != nil {
			fmt.Fprintln(os.Stderr, "build", program, err)
			return 1
		}
	}
	// So that the stacks find it, whether another temporal program is installed or not.
	if err := os.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := os.Setenv("CHATFEED_DEV_NO_DEMO", "true"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan stack.Running, 1), make(chan error, 1)
	go func() {
		s := stack.Stack{Listen: "127.0.0.1:0", NoDemo: true, Pace: 20 * time.Millisecond}
		ended <- s.Run(ctx, slog.New(slog.NewTextHandler(logged, &slog.HandlerOptions{Level: slog.LevelWarn})), stack.Events{
			Ready:    func(stack.Running) {},
			Building: func(int, int) {},
			Temporal: func(at stack.Running) { ready <- at },
		})
	}()
	code := 1
	select {
	case shared = <-ready:
		code = m.Run()
	case err := <-ended:
		fmt.Fprintln(os.Stderr, "the stack does not start:", err)
		cancel()
		return 1
	}
	cancel()
	if err := <-ended; err != nil {
		fmt.Fprintln(os.Stderr, "the stack does not end well:", err)
		return 1
	}
	return code
}

// lines collects what a program writes, and lets a test wait for it.
type lines struct {
	mu   sync.Mutex
	text []byte
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, b...)
	return len(b), nil
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text)
}

// process is a program that a test has started.
type process struct {
	*exec.Cmd
	out    *lines
	exited chan struct{}
}

// start runs one of our programs; it is killed at the end of the test.
func start(t *testing.T, program string, args ...string) *process {
	t.Helper()
	return startCommand(t, exec.Command(filepath.Join(bin, program), args...))
}

func startCommand(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{Cmd: cmd, out: &lines{}, exited: make(chan struct{})}
	p.Stdout, p.Stderr = p.out, p.out
	p.WaitDelay = time.Second
	require.NoError(t, p.Start())
	go func() { defer close(p.exited); _ = p.Wait() }()
	t.Cleanup(func() {
		_ = p.Process.Kill()
		<-p.exited
		if t.Failed() {
			t.Logf("%s printed:\n%s", p.Path, p.out)
		}
	})
	return p
}

// prints waits until the program has printed a text.
func (p *process) prints(t *testing.T, text string) {
	t.Helper()
	waitFor(t, func() bool { return contains(p.out.String(), text) }, "%s to print %q", p.Path, text)
}

// ends waits until the program has ended and returns its exit code.
func (p *process) ends(t *testing.T) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
	defer cancel()
	select {
	case <-p.exited:
	case <-ctx.Done():
		require.FailNow(t, "a program does not end", p.Path)
	}
	return p.ProcessState.ExitCode()
}

func (p *process) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	require.NoError(t, p.Process.Signal(s))
}

func waitFor(t *testing.T, condition func() bool, what string, args ...any) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		if time.Now().After(deadline) {
			require.FailNow(t, "waited in vain for "+fmt.Sprintf(what, args...))
		}
		<-tick.C
	}
}

func openPool(t *testing.T, url string) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}
