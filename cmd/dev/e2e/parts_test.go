package e2e

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"

	"chatfeed/cmd/dev/internal/demo"
	"chatfeed/cmd/internal/program"
	"chatfeed/db"
	"chatfeed/internal/dbtest"
	"chatfeed/internal/embedded"
)

// partEnv is the environment variable that makes the test binary one part of a stack, so that a test can kill the part.
const partEnv = "CHATFEED_E2E_PART"

// demoPart is the part that the test binary can be; its arguments are the address of Temporal and the database's URL.
const demoPart = "demo"

// runPart serves as a part until it is killed, or until its parent has gone, which closes the standard input.
func runPart(name string) int {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	ctx, cancel := context.WithCancel(context.Background())
	go func() { defer cancel(); _, _ = io.Copy(io.Discard, os.Stdin) }()
	var err error
	switch args := os.Args[1:]; name {
	case demoPart:
		err = runWorker(ctx, args[0], args[1], log, newDemo)
	case speakerPart:
		err = runWorker(ctx, args[0], args[1], log, newSpeaker)
	case trackedPart:
		err = runWorker(ctx, args[0], args[1], log, newTracked)
	default:
		err = fmt.Errorf("%s=%s: no such part", partEnv, name)
	}
	if err != nil {
		log.ErrorContext(ctx, "the part has ended", "error", err)
		return 1
	}
	return 0
}

func newDemo(c client.Client, writer *db.Writer) worker.Worker {
	return demo.NewWorker(c, writer, 2*time.Millisecond)
}

// runWorker serves a worker that writes to the database. Temporal may be away at first.
func runWorker(
	ctx context.Context, address, databaseURL string, log *slog.Logger, made func(client.Client, *db.Writer) worker.Worker,
) error {
	pool, err := pgxpool.New(ctx, databaseURL)
	if err != nil {
		return err
	}
	defer pool.Close()
	writer := db.NewWriter(pool)
	defer writer.Close()
	options, err := program.Temporal{TemporalAddress: address}.ClientOptions(log)
	if err != nil {
		return err
	}
	c, err := client.DialContext(ctx, options)
	for err != nil {
		select {
		case <-ctx.Done():
			return err
		case <-time.After(100 * time.Millisecond): //nolint:forbidigo // Temporal does not tell when it is there
			c, err = client.DialContext(ctx, options)
		}
	}
	defer c.Close()
	w := made(c, writer)
	if err := w.Start(); err != nil {
		return err
	}
	defer w.Stop()
	log.InfoContext(ctx, "serving", "address", address)
	<-ctx.Done()
	return nil
}

// startPart starts the test binary as a part. It ends with the test, and with the process of the test.
func startPart(t *testing.T, name string, args ...string) *process {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self, args...)
	cmd.Env = append(os.Environ(), partEnv+"="+name)
	return startUntilEOF(t, cmd)
}

// startUntilEOF starts a program that ends when its standard input does.
func startUntilEOF(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	_, err := cmd.StdinPipe() // held open by cmd
	require.NoError(t, err)
	return startCommand(t, cmd)
}

// part is one of those that a stack consists of. Its functions fail the test that they belong to.
type part struct {
	name    string
	process *process // the present one; nil for PostgreSQL
	kill    func()   // with SIGKILL; returns when it is gone
	start   func()   // returns before it serves
	ready   func()   // returns when it serves
}

// newPart starts a process and waits until it has printed that it serves.
func newPart(t *testing.T, name, serves string, begin func() *process) *part {
	t.Helper()
	p := &part{name: name}
	p.kill = func() {
		p.process.signal(t, syscall.SIGKILL)
		p.process.ends(t)
		status := p.process.ProcessState.Sys().(syscall.WaitStatus)
		require.Equal(t, syscall.SIGKILL, status.Signal(), "%s had ended before: %s", name, p.process.out)
	}
	p.start = func() { p.process = begin() }
	p.ready = func() {
		waitFor(t, func() bool {
			select {
			case <-p.process.exited: // Temporal gives up when it is not up in 15 s; whoever runs it would try again
				t.Logf("%s is started once more", name)
				p.start()
			default:
			}
			return contains(p.process.out.String(), serves)
		}, "%s to print %q", name, serves)
	}
	p.start()
	p.ready()
	return p
}

func (p *part) address() string {
	return regexp.MustCompile(`msg=serving address=(\S+)`).FindStringSubmatch(p.process.out.String())[1]
}

// requireAlive fails the test when the part has ended by itself.
func (p *part) requireAlive(t *testing.T) {
	t.Helper()
	if p.process == nil {
		return
	}
	select {
	case <-p.process.exited:
		require.FailNow(t, p.name+" has ended unexpectedly")
	default:
	}
}

// parts is a stack whose parts can be killed one by one; each comes back with its address and its data.
type parts struct {
	all                    []*part
	databaseURL, serverURL string
}

// startParts returns when all parts serve. They end with the test.
func startParts(t *testing.T) *parts {
	t.Helper()
	database := dbtest.Server(t)
	postgres := &part{
		name:  "PostgreSQL",
		kill:  func() { require.NoError(t, database.Halt(t.Context(), embedded.Kill)) },
		start: func() { require.NoError(t, database.Resume(t.Context())) },
		ready: func() {},
	}
	folder, port := t.TempDir(), "0"
	temporal := newPart(t, "Temporal", "msg=serving", func() *process {
		return startUntilEOF(t, exec.Command(filepath.Join(bin, "temporal"), "server", "start-dev", "--until-eof",
			"--port", port, "--db-filename", filepath.Join(folder, "temporal.db")))
	})
	address := temporal.address()
	_, port, err := net.SplitHostPort(address)
	require.NoError(t, err)
	listen := "127.0.0.1:0"
	server := newPart(t, "feed server", "msg=serving", func() *process {
		return start(t, "chatfeed", "serve", "--migrate", "--listen", listen,
			"--database-url", database.URL(), "--temporal-address", address)
	})
	listen = server.address()
	activities := newPart(t, "worker", "serving activities", func() *process {
		return start(t, "chatfeed", "worker", "--database-url", database.URL(), "--temporal-address", address)
	})
	workflows := newPart(t, "demo", "msg=serving", func() *process { return startPart(t, demoPart, address, database.URL()) })
	return &parts{
		all:         []*part{postgres, temporal, activities, workflows, server},
		databaseURL: database.URL(),
		serverURL:   "http://" + listen,
	}
}
