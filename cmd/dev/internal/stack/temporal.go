package stack

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"chatfeed/cmd/dev/internal/child"
	"chatfeed/cmd/dev/internal/compile"
	"chatfeed/cmd/internal/program"
)

// The program that is compiled while the stack runs, and the one that is compiled before.
const (
	temporalProgram = "chatfeed/cmd/dev/temporal"
	stackProgram    = "chatfeed/cmd/dev/stack"
)

// temporal is an existing server, or one that runs as a child.
type temporal struct {
	address string
	port    string    // of the child; empty for an existing server
	file    string    // with the state of the child, or empty
	errors  io.Writer // of the child

	waitingFor atomic.Pointer[string] // what is being waited for; empty when the server is ready
}

// newTemporal chooses the address, so that it is known before the server runs.
func (s *Stack) newTemporal(data string) (*temporal, error) {
	t := &temporal{address: s.TemporalAddress, errors: os.Stderr}
	t.setWaiting("Temporal is starting; try again in a few seconds")
	if t.address != "" {
		t.setWaiting("Temporal at %s does not answer yet; try again in a few seconds", t.address)
		return t, nil
	}
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(s.TemporalPort)))
	if err != nil {
		return nil, fmt.Errorf("--temporal-port %d is not available (choose another, 0 for a free one, or say with "+
			"--temporal-address which server to use): %w", s.TemporalPort, err)
	}
	defer func() { _ = listener.Close() }()
	t.address = listener.Addr().String()
	if data != "" {
		t.file = filepath.Join(data, "temporal", "temporal.db")
		if err := os.MkdirAll(filepath.Dir(t.file), 0o700); err != nil {
			return nil, fmt.Errorf("--data: %w", err)
		}
	}
	_, t.port, err = net.SplitHostPort(t.address)
	return t, err
}

// flags returns how to connect. For a server of our own the environment is ignored.
func (t *temporal) flags() program.Temporal {
	return program.Temporal{TemporalAddress: t.address, Local: t.port != ""}
}

func (t *temporal) setWaiting(format string, args ...any) {
	reason := fmt.Sprintf(format, args...)
	t.waitingFor.Store(&reason)
}

// run runs the server until ctx ends: the installed one, or ours, which is built into the folder first.
func (t *temporal) run(ctx context.Context, folder string, building func(begun, most int)) error {
	if t.port == "" {
		return nil
	}
	file, err := exec.LookPath("temporal")
	if err != nil {
		file = filepath.Join(cmp.Or(folder, os.TempDir()), "temporal")
		t.setWaiting("Temporal is still being built; try again in a minute")
		err := compile.Program(ctx, temporalProgram, file, stackProgram, func(begun, most int) {
			t.setWaiting("Temporal is still being built: package %d of at most %d; try again in a minute", begun, most)
			building(begun, most)
		})
		if err != nil {
			return ended(ctx, "temporal", err)
		}
		t.setWaiting("Temporal is starting; try again in a few seconds")
	}
	command := []string{file, "server", "start-dev", "--headless", "--ip", "127.0.0.1", "--port", t.port, "--log-level", "error"}
	if t.file != "" {
		command = append(command, "--db-filename", t.file)
	}
	err = child.Run(ctx, nil, t.errors, command...)
	if err = ended(ctx, "temporal", err); err != nil || ctx.Err() != nil {
		return err
	}
	return errors.New("temporal has ended unexpectedly")
}

// ended is the error of a part that has ended, or nil if ctx has ended.
func ended(ctx context.Context, what string, err error) error {
	if err == nil || ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

// await returns when a query about a workflow has gone through the frontend to the history service and back: only then can
// workflows start. It reports false if ctx ended before. The error is about the settings.
func (t *temporal) await(ctx context.Context) (bool, error) {
	options, err := t.flags().ClientOptions(slog.New(slog.DiscardHandler))
	if err != nil {
		return false, err
	}
	c, err := client.NewLazyClient(options)
	if err != nil {
		return false, err
	}
	defer c.Close()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		attempt, cancel := context.WithTimeout(ctx, time.Second)
		_, err := c.DescribeWorkflowExecution(attempt, "no-such-workflow", "")
		cancel()
		if _, unknown := errors.AsType[*serviceerror.NotFound](err); err == nil || unknown {
			return true, nil
		}
		select {
		case <-ctx.Done():
			return false, nil
		case <-tick.C:
		}
	}
}

// RunTemporal runs a Temporal server without the rest of the stack, on a free port of 127.0.0.1, until ctx ends: the installed one, or
// ours, which is built into the folder first; building is called meanwhile. When workflows can start, it calls ready with the address,
// in another goroutine. The server writes its errors to the writer. It returns when the server has ended.
func RunTemporal(
	ctx context.Context, folder string, errorLog io.Writer, building func(begun, most int), ready func(address string),
) error {
	t, err := new(Stack).newTemporal("")
	if err != nil {
		return err
	}
	t.errors = errorLog
	awaiting, stop := context.WithCancel(ctx)
	awaited := make(chan error, 1)
	go func() {
		there, err := t.await(awaiting)
		if there {
			ready(t.address)
		}
		awaited <- err
	}()
	err = t.run(ctx, folder, building)
	stop()
	return errors.Join(err, <-awaited)
}
