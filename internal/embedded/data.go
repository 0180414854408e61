package embedded

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// predecessor is how long a start waits for the server of an earlier run, whose parent was killed, to end.
const predecessor = 3 * time.Second

// nobodysID is an id that no process has: above the range of Linux and macOS.
const nobodysID = "2147483646"

// dataDir is an existing data directory.
type dataDir struct {
	path      string
	temporary bool
	fresh     bool // empty: initdb has not run yet
	broken    bool // initdb was interrupted
}

// plan is what is known about the data directory before anything is created.
type plan struct {
	path    string // absolute; empty for a temporary one
	account account
	major   int // the PostgreSQL version that made it; zero if it is new
}

// inspectData inspects the path, and waits a while for another server that is still using it.
func inspectData(ctx context.Context, path string) (plan, error) {
	if path == "" {
		who, err := chooseAccount("")
		return plan{account: who}, err
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return plan{}, err
	}
	who, err := chooseAccount(path)
	if err != nil {
		return plan{}, err
	}
	found := plan{path: path, account: who}
	entries, err := os.ReadDir(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0:
		return found, nil
	case err != nil:
		return plan{}, fmt.Errorf("the data directory: %w", err)
	}
	version, err := os.ReadFile(filepath.Join(path, "PG_VERSION"))
	if err != nil {
		return plan{}, fmt.Errorf("the folder %s is neither empty nor a PostgreSQL data directory", path)
	}
	text, _, _ := strings.Cut(strings.TrimSpace(string(version)), ".")
	if found.major, err = strconv.Atoi(text); err != nil {
		return plan{}, fmt.Errorf("the data directory %s: its PG_VERSION reads %q", path, version)
	}
	return found, settle(ctx, path)
}

// settle waits until no server runs on the data directory, and makes sure that a postmaster.pid which a crash left behind
// does not keep the next one from starting because an unrelated process got the id meanwhile. The file itself is kept:
// PostgreSQL also uses it to find the shared memory of a server that is still running.
func settle(ctx context.Context, path string) error {
	file := filepath.Join(path, "postmaster.pid")
	ctx, cancel := context.WithTimeout(ctx, predecessor)
	defer cancel()
	for {
		content, err := os.ReadFile(file)
		if err != nil {
			return nil // the usual case: there is none; the server reports other errors
		}
		first, rest, _ := bytes.Cut(content, []byte("\n"))
		pid, err := strconv.Atoi(strings.TrimSpace(string(first)))
		if err != nil || pid <= 0 || errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			return nil
		}
		if !serves(pid, path) {
			return os.WriteFile(file, append([]byte(nobodysID+"\n"), rest...), 0o600)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the data directory %s is in use by another server, process %d", path, pid)
		case <-time.After(pollEvery):
		}
	}
}

// make makes the data directory, if it is missing, for the user who runs the server.
func (p plan) make(ctx context.Context) (dataDir, error) {
	if p.path == "" {
		return p.makeTemporary(ctx)
	}
	parent := filepath.Dir(p.path)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return dataDir{}, fmt.Errorf("the data directory: %w", err)
	}
	if p.account.other() && !p.account.may(ctx, "-x", parent) {
		if ctx.Err() != nil {
			return dataDir{}, context.Cause(ctx)
		}
		return dataDir{}, fmt.Errorf("the data directory %s: started by root, the server runs as the user %s, "+
			"who cannot enter %s; choose a folder that this user can reach, such as one under /var/lib",
			p.path, p.account.name, parent)
	}
	if p.major == 0 {
		if err := os.Mkdir(p.path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return dataDir{}, fmt.Errorf("the data directory: %w", err)
		}
		if err := p.account.own(p.path); err != nil {
			return dataDir{}, fmt.Errorf("the data directory: %w", err)
		}
	}
	return dataDir{path: p.path, fresh: p.major == 0}, nil
}

func (p plan) makeTemporary(ctx context.Context) (dataDir, error) {
	parent, err := filepath.Abs(os.TempDir())
	if err != nil {
		return dataDir{}, err
	}
	// The supervisor must be able to remove it.
	if p.account.other() && (!p.account.may(ctx, "-x", parent) || !p.account.may(ctx, "-w", parent)) {
		parent = "/tmp"
	}
	path, err := os.MkdirTemp(parent, "chatfeed-postgres-")
	if err != nil {
		return dataDir{}, fmt.Errorf("a temporary data directory: %w", err)
	}
	data := dataDir{path: path, temporary: true, fresh: true}
	if err := p.account.own(path); err != nil {
		return dataDir{}, errors.Join(fmt.Errorf("a temporary data directory: %w", err), data.remove())
	}
	return data, nil
}

// remove removes a temporary data directory, and what an interrupted initdb left in one that is to be kept.
func (d dataDir) remove() error {
	switch {
	case d.temporary:
		return os.RemoveAll(d.path)
	case d.broken:
		entries, err := os.ReadDir(d.path)
		for _, entry := range entries {
			err = errors.Join(err, os.RemoveAll(filepath.Join(d.path, entry.Name())))
		}
		return err
	}
	return nil
}

// initialise fills the new data directory.
func (s *Server) initialise(ctx context.Context) error {
	command := []string{
		s.programs.initdb, "-D", s.data.path, "--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C",
		"--no-instructions",
	}
	if s.data.temporary { // data that is kept should survive a power failure from the start
		command = append(command, "--no-sync")
	}
	p, err := s.supervisor.run(command)
	if err != nil {
		return err
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		s.data.broken = true
		return fmt.Errorf("initdb: %w", context.Cause(ctx))
	}
	if p.status != 0 {
		return fmt.Errorf("initdb ended with status %d: %s", p.status, s.supervisor.log)
	}
	const access = "# written by chatfeed: everyone on this machine, nobody else\nhost all all 127.0.0.1/32 trust\n"
	file := filepath.Join(s.data.path, "pg_hba.conf")
	if err := os.WriteFile(file, []byte(access), 0o600); err != nil {
		return fmt.Errorf("initdb: %w", err)
	}
	return nil
}
