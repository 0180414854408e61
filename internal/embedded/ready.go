package embedded

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	pollEvery = 10 * time.Millisecond
	startTime = 30 * time.Second
)

var errTooLong = fmt.Errorf("the server did not accept connections within %s", startTime)

// resume starts the server's process, unless it runs, and waits until it accepts connections.
func (s *Server) resume(ctx context.Context) error {
	s.turn.Lock()
	defer s.turn.Unlock()
	if s.life.Err() != nil {
		return errStopped
	}
	if s.process != nil {
		return nil
	}
	ctx, cancel := s.whileAlive(ctx)
	defer cancel()
	p, err := s.supervisor.run(s.command())
	if err != nil {
		return err
	}
	if err := s.await(ctx, p); err != nil {
		return err
	}
	s.process = p
	s.background.Go(func() { s.watch(p) })
	return nil
}

// await returns when a connection to the server's database works.
func (s *Server) await(ctx context.Context, p *process) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startTime, errTooLong)
	defer cancel()
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	for {
		if s.listens(p) {
			err := s.connect(ctx)
			if err == nil {
				return nil
			}
			// 57P03 is "the database system is starting up".
			if answer := new(pgconn.PgError); errors.As(err, &answer) && answer.Code != "57P03" {
				return err
			}
		}
		select {
		case <-p.done:
			return s.explain(p)
		case <-ctx.Done():
			err := context.Cause(ctx)
			if lines := s.supervisor.log.String(); lines != "" {
				err = fmt.Errorf("%w; its log ends: %s", err, lines)
			}
			return err
		case <-poll.C:
		}
	}
}

// listens reads from the server's lock file whether it accepts connections. So a starting server does not log refused
// connections, and another server on the same port is not mistaken for this one.
func (s *Server) listens(p *process) bool {
	content, err := os.ReadFile(filepath.Join(s.data.path, "postmaster.pid"))
	if err != nil {
		return false
	}
	lines := strings.Split(string(content), "\n")
	return len(lines) >= 8 && lines[0] == strconv.Itoa(p.pid) && strings.TrimSpace(lines[7]) == "ready"
}

// connect creates the database if it is missing and connects to it.
func (s *Server) connect(ctx context.Context) error {
	if err := s.makeDatabase(ctx); err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, s.URL())
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}

func (s *Server) makeDatabase(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, s.url("postgres"))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	var exists bool
	err = conn.QueryRow(ctx, "select exists (select from pg_database where datname = $1)", s.cfg.Database).Scan(&exists)
	if err != nil || exists {
		return err
	}
	_, err = conn.Exec(ctx, "create database "+pgx.Identifier{s.cfg.Database}.Sanitize())
	return err
}

// explain is the error of a process that ended before it was ready.
func (s *Server) explain(p *process) error {
	lines := s.supervisor.log.String()
	switch {
	case strings.Contains(lines, "could not bind IPv4 address"):
		return fmt.Errorf("%w: port %d on 127.0.0.1", errPortTaken, s.cfg.Port)
	case strings.Contains(lines, `lock file "postmaster.pid" already exists`):
		return fmt.Errorf("the data directory %s is in use by another server: %s", s.data.path, lines)
	}
	return fmt.Errorf("the server ended with status %d; its log ends: %s", p.status, lines)
}

// awaitPort waits a while for a port that an earlier server may be about to free.
func awaitPort(ctx context.Context, port int) error {
	ctx, cancel := context.WithTimeout(ctx, predecessor)
	defer cancel()
	for {
		free, err := tryPort(ctx, port)
		if free {
			return nil
		}
		if !errors.Is(err, syscall.EADDRINUSE) {
			return fmt.Errorf("port %d on 127.0.0.1: %w", port, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: another program listens on port %d on 127.0.0.1; end it or choose another port",
				errPortTaken, port)
		case <-time.After(pollEvery):
		}
	}
}

// FreePort picks a free port on 127.0.0.1. It is below the ranges for outgoing connections and for listeners without a port, so that
// none of those takes it while the server restarts.
func FreePort(ctx context.Context) (int, error) {
	var err error
	for range 100 {
		port := 20000 + rand.IntN(12000)
		var free bool
		if free, err = tryPort(ctx, port); free {
			return port, nil
		}
	}
	return 0, fmt.Errorf("no free port found: %w", err)
}

func tryPort(ctx context.Context, port int) (bool, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return false, err
	}
	return true, listener.Close()
}
