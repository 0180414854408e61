package embedded

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

const patience = 20 * time.Second

func begin(t *testing.T, cfg Config) *Server {
	t.Helper()
	s, err := Start(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Stop()) })
	return s
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}

func show(t *testing.T, conn *pgx.Conn, setting string) string {
	t.Helper()
	var value string
	require.NoError(t, conn.QueryRow(t.Context(), "select current_setting($1)", setting).Scan(&value))
	return value
}

// folder is a folder that the user who runs the server can reach.
func folder(t *testing.T) string {
	t.Helper()
	path, err := os.MkdirTemp("/tmp", "chatfeed-test-") //nolint:usetesting // t.TempDir is closed to other users
	require.NoError(t, err)
	require.NoError(t, os.Chmod(path, 0o755))
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(path)) })
	return path
}

func isClosed(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}

func TestServerListensOnLoopbackOnlyWithSafeDefaults(t *testing.T) {
	t.Parallel()
	s := begin(t, Config{Settings: map[string]string{"max_connections": "17", "application_name": "it's one"}})
	conn := connect(t, s.URL())
	require.Equal(t, "127.0.0.1", show(t, conn, "listen_addresses"))
	require.Empty(t, show(t, conn, "unix_socket_directories"))
	require.Equal(t, "on", show(t, conn, "fsync"))
	require.Equal(t, "on", show(t, conn, "synchronous_commit"))
	require.Equal(t, "UTF8", show(t, conn, "server_encoding"))
	require.Equal(t, "17", show(t, conn, "max_connections"))
	require.Equal(t, "postgres://postgres@127.0.0.1:"+show(t, conn, "port")+"/chatfeed?sslmode=disable", s.URL())
	var superuser, strict bool
	require.NoError(t, conn.QueryRow(t.Context(),
		"select rolsuper from pg_roles where rolname = current_user").Scan(&superuser))
	require.True(t, superuser)
	require.NoError(t, conn.QueryRow(t.Context(),
		"select count(*) = 1 and bool_and(address = '127.0.0.1') from pg_hba_file_rules").Scan(&strict))
	require.True(t, strict)
}

func TestStopEndsTheServerAndRemovesTemporaryData(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	s, err := Start(t.Context(), Config{Log: &log, Database: `a "name" with / and ?`})
	require.NoError(t, err)
	conn := connect(t, s.URL())
	require.Equal(t, s.data.path, show(t, conn, "data_directory"))
	require.False(t, isClosed(s.Done()))
	pid := s.process.pid
	require.NoError(t, s.Stop())
	require.True(t, isClosed(s.Done()))
	require.False(t, running(pid))
	require.NoDirExists(t, s.data.path)
	require.Contains(t, log.String(), "received fast shutdown request")
	require.Contains(t, log.String(), "database system is shut down")
	require.NoError(t, s.Stop())
	require.ErrorIs(t, s.Restart(t.Context(), Fast), errStopped)
	require.ErrorIs(t, s.Resume(t.Context()), errStopped)
}

func TestRestartKeepsAddressAndCommittedRows(t *testing.T) {
	t.Parallel()
	for name, how := range map[string]Shutdown{"fast": Fast, "immediate": Immediate, "kill": Kill} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := begin(t, Config{})
			before, url := s.process.pid, s.URL()
			conn := connect(t, url)
			_, err := conn.Exec(t.Context(), "create table kept as select 7 as n")
			require.NoError(t, err)
			require.NoError(t, s.Restart(t.Context(), how))
			require.Equal(t, url, s.URL())
			require.NotEqual(t, before, s.process.pid)
			require.False(t, running(before))
			require.Error(t, conn.Ping(t.Context()))
			var n int
			require.NoError(t, connect(t, url).QueryRow(t.Context(), "select n from kept").Scan(&n))
			require.Equal(t, 7, n)
			require.False(t, isClosed(s.Done()))
		})
	}
}

func TestHaltedServerIsUnavailableUntilResumed(t *testing.T) {
	t.Parallel()
	s := begin(t, Config{})
	require.NoError(t, s.Halt(t.Context(), Fast))
	require.NoError(t, s.Halt(t.Context(), Kill))
	_, err := pgx.Connect(t.Context(), s.URL())
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	require.False(t, isClosed(s.Done()))
	require.NoError(t, s.Resume(t.Context()))
	require.NoError(t, s.Resume(t.Context()))
	require.NoError(t, connect(t, s.URL()).Ping(t.Context()))
}

func TestServerThatEndsByItselfIsDoneAndRemoved(t *testing.T) {
	t.Parallel()
	s := begin(t, Config{})
	require.NoError(t, crash(s.process.pid))
	require.Eventually(t, func() bool { return isClosed(s.Done()) }, patience, pollEvery)
	require.NoDirExists(t, s.data.path)
	require.ErrorIs(t, s.Restart(t.Context(), Fast), errStopped)
}

func TestServerEndsWithItsSupervisor(t *testing.T) {
	t.Parallel()
	s, err := Start(t.Context(), Config{})
	require.NoError(t, err)
	pid := s.process.pid
	require.NoError(t, syscall.Kill(s.supervisor.cmd.Process.Pid, syscall.SIGKILL))
	require.Eventually(t, func() bool { return isClosed(s.Done()) }, patience, pollEvery)
	require.Eventually(t, func() bool { return !running(pid) }, patience, pollEvery)
	require.NoDirExists(t, s.data.path)
	require.ErrorContains(t, s.Stop(), "killed")
}

func TestKeptDataIsThereAtTheNextStart(t *testing.T) {
	t.Parallel()
	cfg := Config{Data: filepath.Join(folder(t), "new", "data")}
	s, err := Start(t.Context(), cfg)
	require.NoError(t, err)
	_, err = connect(t, s.URL()).Exec(t.Context(), "create table kept as select 7 as n")
	require.NoError(t, err)
	_, err = Start(t.Context(), cfg)
	require.ErrorContains(t, err, "is in use by another server")
	require.NoError(t, s.Stop())
	require.DirExists(t, cfg.Data)

	s = begin(t, cfg)
	var n int
	require.NoError(t, connect(t, s.URL()).QueryRow(t.Context(), "select n from kept").Scan(&n))
	require.Equal(t, 7, n)
}

func TestDataLeftByACrashStartsAgain(t *testing.T) {
	t.Parallel()
	cfg := Config{Data: filepath.Join(folder(t), "data")}
	s, err := Start(t.Context(), cfg)
	require.NoError(t, err)
	require.NoError(t, s.Halt(t.Context(), Kill))
	require.NoError(t, s.Stop())
	lock := filepath.Join(cfg.Data, "postmaster.pid")
	content, err := os.ReadFile(lock)
	require.NoError(t, err)

	for name, pid := range map[string]int{"dead": 0, "reused by an unrelated process": os.Getpid()} {
		if pid != 0 {
			_, rest, _ := strings.Cut(string(content), "\n")
			require.NoError(t, os.WriteFile(lock, []byte(strconv.Itoa(pid)+"\n"+rest), 0o600))
		}
		s, err = Start(t.Context(), cfg)
		require.NoError(t, err, name)
		require.NoError(t, s.Halt(t.Context(), Kill))
		require.NoError(t, s.Stop())
	}
}

func TestStartRefusesInvalidConfigs(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, taken.Close()) })
	port := taken.Addr().(*net.TCPAddr).Port

	foreign := folder(t)
	require.NoError(t, os.WriteFile(filepath.Join(foreign, "thesis.txt"), nil, 0o600))
	older := folder(t)
	require.NoError(t, os.WriteFile(filepath.Join(older, "PG_VERSION"), []byte("12\n"), 0o644))
	file := filepath.Join(foreign, "thesis.txt")

	for name, test := range map[string]struct {
		cfg  Config
		says string
	}{
		"a port that is taken":         {Config{Port: port}, "port " + strconv.Itoa(port) + " on 127.0.0.1"},
		"a port that cannot be":        {Config{Port: 70000}, "Port is 70000"},
		"a folder of something else":   {Config{Data: foreign}, "neither empty nor a PostgreSQL data directory"},
		"a file":                       {Config{Data: file}, "not a folder"},
		"data of another version":      {Config{Data: older}, "was made by PostgreSQL 12"},
		"a folder without programs":    {Config{Bin: foreign}, filepath.Join(foreign, "postgres")},
		"a setting that is fixed":      {Config{Settings: map[string]string{"Port": "1"}}, "must not have Port"},
		"a setting that has no name":   {Config{Settings: map[string]string{"-c": "1"}}, `has "-c"`},
		"a setting of two lines":       {Config{Settings: map[string]string{"search_path": "a\nb"}}, "one line"},
		"a setting that is not known":  {Config{Settings: map[string]string{"no_such_thing": "1"}}, "no_such_thing"},
		"a setting with a wrong value": {Config{Settings: map[string]string{"fsync": "maybe"}}, `"fsync" requires a Boolean`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Start(t.Context(), test.cfg)
			require.ErrorContains(t, err, test.says)
		})
	}
}

func TestStartEndsWithItsContext(t *testing.T) {
	t.Parallel()
	for _, after := range []time.Duration{0, 5 * time.Millisecond, 100 * time.Millisecond, 300 * time.Millisecond} {
		ctx, cancel := context.WithTimeout(t.Context(), after)
		data := filepath.Join(folder(t), "data")
		_, err := Start(ctx, Config{Data: data})
		cancel()
		require.ErrorIs(t, err, context.DeadlineExceeded, after)
		entries, err := os.ReadDir(data)
		require.True(t, os.IsNotExist(err) || len(entries) == 0, "%s: %v", after, entries)
	}
}

func TestStopEndsARestart(t *testing.T) {
	t.Parallel()
	s := begin(t, Config{})
	restarted := make(chan error, 1)
	require.NoError(t, s.Halt(t.Context(), Kill))
	go func() { restarted <- s.Resume(t.Context()) }()
	require.NoError(t, s.Stop())
	if err := <-restarted; err != nil {
		require.ErrorIs(t, err, errStopped)
	}
	require.NoDirExists(t, s.data.path)
}
