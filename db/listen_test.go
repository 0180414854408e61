package db_test

import (
	"bytes"
	"context"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"chatfeed/db"
	"chatfeed/feed"
	"chatfeed/internal/dbtest"
)

// mute is a proxy between a client and PostgreSQL, on any number of connections. After a client has sent the
// given text, it forwards nothing any more, and closes no connection.
type mute struct {
	server  string
	after   []byte // empty means from the beginning
	open    context.Context
	running sync.WaitGroup
}

// throughMute returns a database URL of a mute, which stops at the end of the test.
func throughMute(t *testing.T, database, after string) string {
	t.Helper()
	u, err := url.Parse(database)
	require.NoError(t, err)
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	m := &mute{server: u.Host, after: []byte(after), open: ctx}
	m.running.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			m.running.Go(func() { m.carry(client) })
		}
	})
	t.Cleanup(func() {
		cancel()
		require.NoError(t, listener.Close())
		m.running.Wait()
	})
	u.Host = listener.Addr().String()
	return u.String()
}

func (m *mute) carry(client net.Conn) {
	server, err := new(net.Dialer).DialContext(m.open, "tcp", m.server)
	if err != nil {
		_ = client.Close()
		return
	}
	stop := context.AfterFunc(m.open, func() { _, _ = client.Close(), server.Close() })
	defer stop()
	muted := make(chan struct{})
	var answering sync.WaitGroup
	answering.Go(func() {
		buffer := make([]byte, 32<<10)
		for {
			n, err := server.Read(buffer)
			select {
			case <-muted:
				return
			default:
			}
			if err != nil {
				_ = client.Close()
				return
			}
			_, _ = client.Write(buffer[:n])
		}
	})
	buffer := make([]byte, 32<<10)
	for {
		n, err := client.Read(buffer)
		if err != nil {
			break
		}
		if bytes.Contains(buffer[:n], m.after) {
			close(muted)
			<-m.open.Done()
			break
		}
		_, _ = server.Write(buffer[:n])
	}
	_ = server.Close()
	answering.Wait()
	_ = client.Close()
}

// with returns a database URL with settings instead of its own.
func with(t *testing.T, database string, settings ...string) string {
	t.Helper()
	u, err := url.Parse(database)
	require.NoError(t, err)
	query := u.Query()
	for i := 0; i < len(settings); i += 2 {
		query.Set(settings[i], settings[i+1])
	}
	u.RawQuery = query.Encode()
	return u.String()
}

// listenUntilError returns the error of Listen. One that hangs ends with the deadline of its context.
func listenUntilError(t *testing.T, source *db.Source, connected func()) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	err := source.Listen(ctx, connected, func(string, feed.Cursor) {})
	require.NoError(t, ctx.Err(), "the listener hangs")
	return err
}

func TestListenFailsIfTheServerStopsAnsweringAtAnyStep(t *testing.T) {
	t.Parallel()
	database := dbtest.URL(t)
	for step, test := range map[string]struct {
		listen, want string
		connected    bool
	}{
		"startup": {
			listen: throughMute(t, with(t, database, "sslmode", "disable"), ""), want: "timeout",
		},
		"TLS": {
			listen: throughMute(t, with(t, database, "sslmode", "require"), ""), want: "timeout",
		},
		"TLS and then without": {
			listen: throughMute(t, with(t, database, "sslmode", "prefer"), ""), want: "timeout",
		},
		"LISTEN": {
			listen: throughMute(t, database, "listen "), want: "LISTEN is not answered",
		},
		"notification": {
			listen: throughMute(t, database, "never sent"), want: "no notification was received", connected: true,
		},
	} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			pool := openPool(t, database, 4)
			if test.connected { // the canary is sent in another database than the one that is listened to
				pool = openPool(t, dbtest.URL(t), 4)
			}
			source := newSource(t, pool, db.SourceConfig{
				Listen: with(t, test.listen, "connect_timeout", "1"), Canary: 50 * time.Millisecond,
			})
			var connected bool
			err := listenUntilError(t, source, func() { connected = true })
			require.ErrorContains(t, err, test.want)
			require.Equal(t, test.connected, connected)
		})
	}
}

func TestListenFailsIfTheNameLookupHangs(t *testing.T) {
	t.Parallel()
	cfg, err := pgxpool.ParseConfig("postgres://nobody@database.example/none?sslmode=prefer&connect_timeout=1")
	require.NoError(t, err)
	cfg.ConnConfig.LookupFunc = func(ctx context.Context, _ string) ([]string, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	source := newSource(t, pool, db.SourceConfig{})
	require.Error(t, listenUntilError(t, source, func() { t.Error("connected to nothing") }))
}

func TestAListenerEndsIfTheDatabaseIsUnreachable(t *testing.T) {
	t.Parallel()
	// The pool's connections go the same way as the listener's, so that the canary is not answered either.
	database := throughMute(t, dbtest.URL(t), "pg_notify")
	source := newSource(t, openPool(t, with(t, database, "connect_timeout", "1"), 4), db.SourceConfig{Canary: 50 * time.Millisecond})
	require.ErrorContains(t, listenUntilError(t, source, func() {}), "no notification was received")
}

func TestNotificationsOfOthersDoNotKeepAListenerAlive(t *testing.T) {
	t.Parallel()
	theirs := dbtest.URL(t)
	pool := openPool(t, theirs, 4)
	// Ours is sent in another database.
	ours := newSource(t, openPool(t, dbtest.URL(t), 4), db.SourceConfig{Listen: theirs, Canary: 200 * time.Millisecond})
	forging, stop := context.WithCancel(t.Context())
	var forged sync.WaitGroup
	forged.Go(func() {
		for forging.Err() == nil {
			_, _ = pool.Exec(forging, `select pg_notify('chatfeed', '12 wf'), pg_notify('chatfeed_canary', '')`)
		}
	})
	t.Cleanup(func() { stop(); forged.Wait() })
	require.ErrorContains(t, listenUntilError(t, ours, func() {}), "no notification was received")
}

func TestAListenerSurvivesABusyPool(t *testing.T) {
	t.Parallel()
	pool := openPool(t, dbtest.URL(t), 1)
	connected, woken, ended := listening(t, newSource(t, pool, db.SourceConfig{Canary: 50 * time.Millisecond}))
	<-connected
	busy, err := pool.Acquire(t.Context())
	require.NoError(t, err)
	require.Eventually(t, func() bool { return pool.Stat().CanceledAcquireCount() >= 10 }, time.Minute, 10*time.Millisecond,
		"so many canaries have waited for a connection")
	_, err = busy.Exec(t.Context(), `select pg_notify('chatfeed', '1 wf')`)
	require.NoError(t, err)
	require.Equal(t, "wf 1", <-woken)
	busy.Release()
	require.Empty(t, ended)
}

func TestOnlyWellFormedNotificationsWake(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := openPool(t, dbtest.URL(t), 4)
	connected, woken, ended := listening(t, newSource(t, pool, db.SourceConfig{}))
	<-connected
	for _, forged := range []string{
		"", " ", "x", "12", "12 ", " wf", "x wf", "-1 wf", "-0 wf", "+1 wf", "1_0 wf", "0x1 wf", "1.5 wf", "١ wf",
		"9223372036854775808 wf", "99999999999999999999 wf", strings.Repeat("9", 7000) + " wf",
	} {
		_, err := pool.Exec(ctx, `select pg_notify('chatfeed', $1)`, forged)
		require.NoError(t, err)
	}
	for _, formed := range []string{"0 wf", "1 wf", "9223372036854775807 wf", "12  wf 1"} {
		_, err := pool.Exec(ctx, `select pg_notify('chatfeed', $1)`, formed)
		require.NoError(t, err)
	}
	for _, want := range []string{"wf 0", "wf 1", "wf 9223372036854775807", " wf 1 12"} {
		require.Equal(t, want, <-woken)
	}
	require.Empty(t, woken)
	require.Empty(t, ended)
}
