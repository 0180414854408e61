// Package temporaldev runs a Temporal server inside this process, for development: all of its services, on SQLite.
//
// Guarantees:
//
//   - It listens on 127.0.0.1 only, without authentication and without TLS, and connects to nothing but itself.
//   - It serves no metrics, no profiles and no HTTP API: the frontend's gRPC port is the only interface.
//   - It logs warnings and errors to the given logger, until it is stopped, and nothing anywhere else.
package temporaldev

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.temporal.io/server/temporal"
)

const (
	startWithin = 30 * time.Second
	stopWithin  = 15 * time.Second
	host        = "127.0.0.1"
)

// Config configures a server. Its zero value starts one on a free port that keeps nothing when it ends.
type Config struct {
	// Port of the frontend on 127.0.0.1. The usual one is 7233; zero picks a free one.
	Port int
	// Namespace exists when the server has started; empty is "default". A closed workflow stays in it for a day.
	Namespace string
	// File is the SQLite file that keeps the state from one start to the next; it is made when it is missing, with its
	// folder. One server at a time may use it. Empty keeps the state in memory.
	File string
	// Log receives the warnings and errors of the server; nil discards them.
	Log *slog.Logger
}

// Server is a running Temporal server. Its methods may be called concurrently.
type Server struct {
	address  string
	server   temporal.Server
	stopping atomic.Bool // from then on nothing is logged

	stop    sync.Once
	stopErr error
}

// Start starts a server and returns when its frontend answers for the namespace, which takes about a second; it fails
// after 30 s or when ctx ends. The server does not end with ctx. The caller must call [Server.Stop]. A start
// that fails leaves nothing running.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	s, err := start(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("start Temporal: %w", err)
	}
	return s, nil
}

func start(ctx context.Context, cfg Config) (*Server, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	cfg.Namespace = cmp.Or(cfg.Namespace, client.DefaultNamespace)
	cfg.Log = cmp.Or(cfg.Log, slog.New(slog.DiscardHandler))
	ports, err := choosePorts(cfg.Port)
	if err != nil {
		return nil, err
	}
	store, err := openStore(ctx, cfg.File, cfg.Namespace)
	if err != nil {
		return nil, err
	}
	s := &Server{address: address(ports.frontend)}
	s.server, err = launch(settings(ports, store), serverLog{to: cfg.Log, stopping: &s.stopping})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	if err := s.awaitReady(ctx, cfg.Namespace); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

// Address is where the frontend listens, as HOST:PORT.
func (s *Server) Address() string { return s.address }

// Stop shuts the server down and returns within 15 s. Running workflows are kept if there is a File. An error
// says that the services have not ended in time; they continue to stop. Further calls return the first one's result.
func (s *Server) Stop() error {
	s.stop.Do(func() {
		s.stopping.Store(true)
		ended := make(chan error, 1)
		go func() { ended <- s.server.Stop() }()
		select {
		case err := <-ended:
			if err != nil {
				s.stopErr = fmt.Errorf("stop Temporal: %w", err)
			}
		case <-time.After(stopWithin):
			s.stopErr = fmt.Errorf("stop Temporal: its services have not ended within %v", stopWithin)
		}
	})
	return s.stopErr
}

// awaitReady returns when a query about a workflow of the namespace has gone through the frontend to the history service and
// back: only then can workflows start.
func (s *Server) awaitReady(ctx context.Context, namespace string) error {
	c, err := client.NewLazyClient(client.Options{
		HostPort: s.address, Namespace: namespace, Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler)),
	})
	if err != nil {
		return fmt.Errorf("await the frontend: %w", err)
	}
	defer c.Close()
	for {
		attempt, cancel := context.WithTimeout(ctx, time.Second)
		_, err := c.DescribeWorkflowExecution(attempt, "no-such-workflow", "")
		cancel()
		if _, unknown := errors.AsType[*serviceerror.NotFound](err); err == nil || unknown {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("await the frontend: %w", errors.Join(context.Cause(ctx), err))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// ports of 127.0.0.1, one for each service.
type ports struct {
	frontend, history, matching, worker int
}

// choosePorts picks free ports for the services, and for the frontend when the wanted one is zero.
func choosePorts(wanted int) (ports, error) {
	if wanted < 0 || wanted > 65535 {
		return ports{}, fmt.Errorf("port %d: --port accepts 0 (a free port) to 65535", wanted)
	}
	listener, err := net.Listen("tcp", address(wanted))
	if err != nil && wanted != 0 {
		return ports{}, fmt.Errorf("port %d of %s is not available (choose another with --port, 0 for a free one): %w",
			wanted, host, err)
	}
	if err != nil {
		return ports{}, fmt.Errorf("find a free port: %w", err)
	}
	held := []net.Listener{listener}
	defer func() {
		for _, l := range held {
			_ = l.Close() // closed at the end, so that all ports differ
		}
	}()
	chosen := ports{frontend: port(listener)}
	for _, p := range []*int{&chosen.history, &chosen.matching, &chosen.worker} {
		l, err := net.Listen("tcp", address(0))
		if err != nil {
			return ports{}, fmt.Errorf("find a free port: %w", err)
		}
		held = append(held, l)
		*p = port(l)
	}
	return chosen, nil
}

func address(port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }

func port(l net.Listener) int { return l.Addr().(*net.TCPAddr).Port }
