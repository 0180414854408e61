package dbtest

import (
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"chatfeed/internal/embedded"
)

// PgBouncer is a pooler in front of a database, at an address of its own, for one test.
type PgBouncer struct {
	t       testing.TB
	program string
	folder  string
	address string // host and port
	url     url.URL
	child   *exec.Cmd
	life    io.Closer // the pooler runs as long as it is open
}

// StartPgBouncer starts the distribution's PgBouncer in front of the database of a URL made by [URL] or [Server]. The
// settings are lines of its configuration. It ends with the test, or with the process if that is killed.
func StartPgBouncer(t testing.TB, database, settings string) *PgBouncer {
	t.Helper()
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		program = "/usr/sbin/pgbouncer" // not on every user's PATH
		_, err = os.Stat(program)
	}
	require.NoError(t, err, "pgbouncer is missing: install PgBouncer (on Debian, the package pgbouncer)")
	u, err := url.Parse(database)
	require.NoError(t, err)
	folder, err := os.MkdirTemp("", "pgbouncer") //nolint:usetesting // only this user can enter t.TempDir
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(folder)) })
	require.NoError(t, os.Chmod(folder, 0o755)) //nolint:gosec // another user enters it
	b := &PgBouncer{t: t, program: program, folder: folder, address: FreeAddress(t), url: *u}
	host, port, err := net.SplitHostPort(b.address)
	require.NoError(t, err)
	b.url.Host = b.address
	password, _ := u.User.Password()
	b.write("users", fmt.Sprintf("%q %q\n", u.User.Username(), password))
	b.write("pgbouncer.ini", fmt.Sprintf(`[databases]
* = host=%s port=%s
[pgbouncer]
listen_addr = %s
listen_port = %s
unix_socket_dir =
auth_type = trust
auth_file = %s
%s
%s
`, u.Hostname(), u.Port(), host, port, filepath.Join(folder, "users"), account(t), settings))
	b.start()
	t.Cleanup(b.stop)
	return b
}

// URL is the address of the database through the pooler.
func (b *PgBouncer) URL() string { return b.url.String() }

// Restart closes all connections.
func (b *PgBouncer) Restart() {
	b.stop()
	b.start()
}

func (b *PgBouncer) start() {
	b.t.Helper()
	// The shell ends the pooler when the other end of its input is closed, however this process ends.
	b.child = exec.Command("/bin/sh", "-c", `"$0" -q "$1" & cat > /dev/null; kill -9 $!; wait`,
		b.program, filepath.Join(b.folder, "pgbouncer.ini"))
	log, err := os.OpenFile(filepath.Join(b.folder, "log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	require.NoError(b.t, err)
	b.child.Stdout, b.child.Stderr = log, log
	b.life, err = b.child.StdinPipe()
	require.NoError(b.t, err)
	require.NoError(b.t, b.child.Start())
	require.NoError(b.t, log.Close())
	require.Eventually(b.t, func() bool {
		conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(b.t.Context(), "tcp", b.address)
		if err == nil {
			err = conn.Close()
		}
		return err == nil
	}, 20*time.Second, 10*time.Millisecond, "PgBouncer does not start: see its log")
}

func (b *PgBouncer) stop() {
	_ = b.life.Close()
	_ = b.child.Wait()
	if b.t.Failed() {
		text, _ := os.ReadFile(filepath.Join(b.folder, "log"))
		b.t.Logf("PgBouncer:\n%s", text[max(0, len(text)-4000):])
	}
}

func (b *PgBouncer) write(name, text string) {
	b.t.Helper()
	require.NoError(b.t, os.WriteFile(filepath.Join(b.folder, name), []byte(text), 0o644)) //nolint:gosec // another user reads it
}

// account is the setting for the user to run as if this user is root; PgBouncer does not run as root.
func account(t testing.TB) string {
	t.Helper()
	if os.Geteuid() != 0 {
		return ""
	}
	for _, name := range []string{"postgres", "nobody"} {
		if _, err := user.Lookup(name); err == nil {
			return "user = " + name
		}
	}
	require.FailNow(t, "PgBouncer refuses to run as root, and this machine has neither a user postgres nor nobody")
	return ""
}

// FreeAddress returns an address on which nothing listens, for a server that is to be restarted: see [embedded.FreePort].
func FreeAddress(t testing.TB) string {
	t.Helper()
	port, err := embedded.FreePort(t.Context())
	require.NoError(t, err)
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}
