package faults_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"chatfeed/cmd/internal/audit"
	"chatfeed/internal/dbtest"
)

// nginx is one before a server, set up as little as nginx can be: proxy_pass and the places of its files, all else as it comes, but
// for the upgrade of sockets and, where a test sets one, its limit of silence.
type nginx struct {
	address string // where it serves when it runs
	folder  string
	journal *journal
	process *os.Process // a shell, the first of a group that has the master and the workers; nil when it is down
	ended   chan error
}

// nginxConfig takes the folder, the address, the server's address and further directives.
const nginxConfig = `
daemon off;
pid %[1]s/pid;
error_log stderr notice;
events {}
http {
	access_log off;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	server {
		listen %[2]s;
		%[4]s
		location / {
			proxy_pass http://%[3]s;
		}
		location = /socket {
			proxy_pass http://%[3]s;
			proxy_http_version 1.1;
			proxy_set_header Upgrade $http_upgrade;
			proxy_set_header Connection "upgrade";
		}
	}
}
`

// newNginx makes an nginx that is down. It is killed at the end of the test.
func newNginx(t *testing.T, server, directives string) *nginx {
	t.Helper()
	n := &nginx{address: dbtest.FreeAddress(t), folder: t.TempDir(), journal: &journal{}}
	config := fmt.Sprintf(nginxConfig, n.folder, n.address, server, directives)
	require.NoError(t, os.WriteFile(filepath.Join(n.folder, "conf"), []byte(config), 0o644))
	if account := unprivileged(t); account != nil {
		require.NoError(t, os.Chmod(filepath.Dir(n.folder), 0o711)) // the way to it, which is the test's alone, too
		require.NoError(t, os.Chown(n.folder, int(account.Uid), int(account.Gid)))
	}
	t.Cleanup(func() { n.kill(t) })
	return n
}

// unprivileged is whom nginx runs as where the test is root, and nil where it is not.
func unprivileged(t *testing.T) *syscall.Credential {
	t.Helper()
	if os.Geteuid() != 0 {
		return nil
	}
	nobody, err := user.Lookup("nobody")
	require.NoError(t, err)
	uid, err := strconv.ParseUint(nobody.Uid, 10, 32)
	require.NoError(t, err)
	gid, err := strconv.ParseUint(nobody.Gid, 10, 32)
	require.NoError(t, err)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

// start starts it and waits until the server answers through it.
func (n *nginx) start(t *testing.T) {
	t.Helper()
	program, err := exec.LookPath("nginx")
	if err != nil {
		program = "/usr/sbin/nginx" // which is in the path of root only
	}
	// The shell kills the group, and so itself, when this process is gone: nobody then holds the other end of its input.
	cmd := exec.Command("/bin/sh", "-c", `"$@" & cat > /dev/null; kill -KILL 0`, "sh",
		program, "-e", "stderr", "-p", n.folder, "-c", filepath.Join(n.folder, "conf"))
	cmd.Dir, cmd.Stderr = n.folder, n.journal
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: unprivileged(t)}
	_, err = cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	n.process, n.ended = cmd.Process, make(chan error, 1)
	go func() { n.ended <- cmd.Wait() }()
	until(t, "the server answers through nginx", func() bool {
		response, err := get(t.Context(), "http://"+n.address+"/healthz")
		return err == nil && response.Body.Close() == nil && response.StatusCode == http.StatusOK
	})
}

// kill ends it and its workers with SIGKILL, if it runs.
func (n *nginx) kill(t *testing.T) {
	t.Helper()
	if n.process == nil {
		return
	}
	require.NoError(t, syscall.Kill(-n.process.Pid, syscall.SIGKILL))
	require.Error(t, <-n.ended)
	n.process = nil
}

// reload has it read its configuration again. Its old workers keep the connections that they have.
func (n *nginx) reload(t *testing.T) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(n.folder, "pid"))
	require.NoError(t, err)
	master, err := strconv.Atoi(strings.TrimSpace(string(text)))
	require.NoError(t, err)
	started := n.journal.count("start worker process ")
	require.NoError(t, syscall.Kill(master, syscall.SIGHUP))
	until(t, "nginx has new workers", func() bool { return n.journal.count("start worker process ") > started })
}

// overHTTP1 are the transports that nginx has between clients and a server as it comes.
func overHTTP1() (transports []audit.Transport) {
	for _, transport := range audit.Transports() {
		if strings.HasSuffix(transport.Name, "over HTTP/1.1") || transport.Name == "WebSocket" {
			transports = append(transports, transport)
		}
	}
	return transports
}

// restartNginx reloads nginx, kills it and starts it again, and does the same to the server behind it.
func restartNginx(w *world) {
	for range rounds(1, 4) {
		w.nginx.reload(w.t)
		before := w.audit.Progress()
		w.clients.set(conditions{reset: true}) // so that clients come to the new workers
		w.reconnects(before, w.perItem())
		w.clients.set(conditions{})
		w.awaitHealthy()

		before = w.audit.Progress()
		w.nginx.kill(w.t)
		last(100*time.Millisecond, 500*time.Millisecond)
		w.nginx.start(w.t)
		w.reconnects(before, w.perItem())
		w.awaitHealthy()

		killServers(w)
	}
}

// quiet starts the audit without writers, so that nothing pushes out what came before it, and returns when every stream is open.
func (w *world) quiet() {
	w.t.Helper()
	w.config.Writers, w.config.Answers, w.config.Rate = 0, 0, 0
	var err error
	w.audit, err = audit.Start(context.WithoutCancel(w.t.Context()), w.config)
	require.NoError(w.t, err)
	until(w.t, "every stream is open", func() bool {
		return w.audit.Progress().Streams == len(w.config.Workflows)*w.perItem()
	})
}

// TestSilenceBehindNginxDisconnectsNobody waits for longer than nginx lets a server be silent: 60 s as it comes.
func TestSilenceBehindNginxDisconnectsNobody(t *testing.T) {
	t.Parallel()
	limited, silence := setup{nginx: true, directives: "proxy_read_timeout 4s;"}, 6*time.Second
	if *long {
		limited, silence = setup{nginx: true, heartbeat: 15 * time.Second, audit: audit.Config{Silence: 40 * time.Second}}, 70*time.Second
	}
	w := newWorld(t, limited)
	if !*long { // a poll waits for longer than the limit of the short form
		w.config.Transports = slices.DeleteFunc(w.config.Transports, audit.Transport.Polls)
	}
	w.quiet()
	w.lag(w.config.Workflows)
	before := w.audit.Progress()
	last(silence, silence)
	require.Equal(t, before.Reconnects, w.audit.Progress().Reconnects)
	w.lag(w.config.Workflows)
	require.Equal(t, before.Reconnects, w.audit.Progress().Reconnects)
	w.finish()
}

func TestEveryItemComesThroughNginxAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{nginx: true})
	w.quiet()
	took := w.lag(w.config.Workflows)
	t.Logf("every client has an item after %v", took)
	require.Less(t, took, 5*time.Second, "where nginx waits for more, it takes half a minute")
	w.finish()
}
