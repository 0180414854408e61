package audit_test

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"chatfeed/cmd/internal/audit"
	"chatfeed/db"
	"chatfeed/feed"
	"chatfeed/internal/dbtest"
	"chatfeed/rpc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, dbtest.Goroutines()...) }

// lab is a database and a server that may be restarted at its address.
type lab struct {
	url    string // of the database
	listen string // to LISTEN by; empty is as the pool does
	pool   *pgxpool.Pool
	server string

	// source wraps the database for the feed, handler wraps the server for its clients; nil for none.
	source  func(feed.Source) feed.Source
	handler func(http.Handler) http.Handler
	// connected is called with each connection, if it is not nil.
	connected func()

	address string
	stop    func()
}

func newLab(t testing.TB) *lab {
	t.Helper()
	l := &lab{url: dbtest.URL(t), address: "127.0.0.1:0"}
	pool, err := db.Open(t.Context(), l.url)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	l.pool = pool
	return l
}

// serve starts the server, again after stop at the same address.
func (l *lab) serve(t testing.TB) *lab {
	t.Helper()
	origin, err := db.NewSource(l.pool, db.SourceConfig{Listen: l.listen})
	require.NoError(t, err)
	var source feed.Source = origin
	if l.source != nil {
		source = l.source(source)
	}
	f, err := feed.New(source, source, feed.Config{Log: slog.New(slog.DiscardHandler), Sweep: time.Second})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = f.Run(ctx) })
	handler, err := rpc.NewHandler(rpc.Config{Feed: f, Workflows: origin, Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	if l.handler != nil {
		handler = l.handler(handler)
	}
	web := httptest.NewUnstartedServer(handler)
	web.Config.Protocols = new(http.Protocols)
	web.Config.Protocols.SetHTTP1(true)
	web.Config.Protocols.SetUnencryptedHTTP2(true)
	web.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	web.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew && l.connected != nil {
			l.connected()
		}
	}
	require.NoError(t, web.Listener.Close())
	require.Eventually(t, func() bool {
		web.Listener, err = new(net.ListenConfig).Listen(ctx, "tcp", l.address)
		return err == nil
	}, 10*time.Second, 10*time.Millisecond)
	l.address = web.Listener.Addr().String()
	web.Start()
	l.server = web.URL
	l.stop = sync.OnceFunc(func() {
		f.Drain()
		web.CloseClientConnections()
		web.Close()
		cancel()
		running.Wait()
	})
	t.Cleanup(func() { l.stop() })
	return l
}

// start begins an audit of the server.
func (l *lab) start(t testing.TB, cfg audit.Config) *audit.Audit {
	t.Helper()
	cfg.Server, cfg.Pool = l.server, l.pool
	if cfg.Workflows == nil {
		cfg.Workflows = []string{"wf_1", "wf_2", "wf 3/ü"}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	a, err := audit.Start(t.Context(), cfg)
	require.NoError(t, err)
	return a
}

func written(t testing.TB, a *audit.Audit) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	select {
	case <-a.Written():
	case <-ctx.Done():
		require.FailNow(t, "the writers do not end")
	}
}

func finish(t testing.TB, a *audit.Audit) *audit.Report {
	t.Helper()
	report, err := a.Finish(t.Context())
	require.NoError(t, err)
	return report
}
