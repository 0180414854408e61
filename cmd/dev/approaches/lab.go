package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"go.temporal.io/sdk/client"

	"chatfeed/cmd/dev/internal/stack"
	"chatfeed/cmd/internal/bench"
)

// lab is where the approaches are measured.
type lab struct {
	bench       *bench.Lab
	pace        pace
	address     string
	temporal    client.Client
	temporalPID int
	runs        int
}

// openLab starts a Temporal server, which is built first if none is installed. The caller must call closeLab.
func openLab(ctx context.Context, base *bench.Lab, p pace) (l *lab, closeLab func() error, err error) {
	folder, err := os.MkdirTemp("", "chatfeed-approaches-")
	if err != nil {
		return nil, nil, err
	}
	serving, end := context.WithCancel(ctx)
	ready, exited := make(chan string, 1), make(chan error, 1)
	base.Progress("starting Temporal")
	said := new(tail)
	last := time.Now()
	building := func(begun, most int) {
		if time.Since(last) > 5*time.Second {
			last = time.Now()
			base.Progress("building Temporal: package %d of at most %d", begun, most)
		}
	}
	go func() {
		exited <- stack.RunTemporal(serving, folder, said, building, func(address string) { ready <- address })
	}()
	l = &lab{bench: base, pace: p}
	closeLab = func() error {
		if l.temporal != nil {
			l.temporal.Close()
		}
		end()
		return errors.Join(<-exited, os.RemoveAll(folder))
	}
	select {
	case l.address = <-ready:
	case err := <-exited:
		exited <- nil
		return nil, nil, errors.Join(err, ctx.Err(), errors.New("Temporal has said: "+said.String()), closeLab())
	}
	if l.temporalPID, err = serverOf(l.address); err == nil {
		l.temporal, err = newCalls().connect(ctx, l.address)
	}
	if err != nil {
		return nil, nil, errors.Join(err, closeLab())
	}
	return l, closeLab, nil
}

// serverOf returns the process of the Temporal server at an address. It is found by its command line, because a shell has started it.
func serverOf(address string) (int, error) {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return 0, err
	}
	names, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return 0, err
	}
	for _, name := range names {
		line, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended
		}
		arguments := bytes.Split(line, []byte{0})
		is := func(text string) bool {
			return slices.ContainsFunc(arguments, func(a []byte) bool { return string(a) == text })
		}
		if filepath.Base(string(arguments[0])) == "temporal" && is("start-dev") && is(port) {
			return strconv.Atoi(filepath.Base(filepath.Dir(name)))
		}
	}
	return 0, fmt.Errorf("the process of the Temporal server on port %s is not found, which needs Linux", port)
}

// transactions returns how many transactions PostgreSQL has counted in the database. A connection reports what it did when it ends, or
// after ten idle seconds, so this waits until only those of the lab are left.
func (l *lab) transactions(ctx context.Context) (n int, err error) {
	waiting, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		var others int
		if err := l.bench.Pool.QueryRow(waiting, `select count(*) from pg_stat_activity
			where datname = current_database() and backend_type = 'client backend'`).Scan(&others); err != nil {
			return 0, fmt.Errorf("wait for the connections of programs that have ended: %w", err)
		}
		if others <= int(l.bench.Pool.Stat().TotalConns()) {
			break
		}
		pause(waiting, 10*time.Millisecond)
	}
	err = l.bench.Pool.QueryRow(ctx, `select xact_commit + xact_rollback from pg_stat_database where datname = current_database()`).Scan(&n)
	return n, err
}

// tail is the last that a program has written: Temporal reports each call that it refuses, which is part of what is measured. The program's
// output is copied by one goroutine, and read when it has ended.
type tail struct{ text []byte }

// Write implements [io.Writer].
func (t *tail) Write(more []byte) (int, error) {
	const most = 4 << 10
	t.text = append(t.text, more...)
	t.text = t.text[max(0, len(t.text)-most):]
	return len(more), nil
}

// String returns it.
func (t *tail) String() string { return string(t.text) }
