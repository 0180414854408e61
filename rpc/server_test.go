package rpc_test

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"chatfeed/db"
	"chatfeed/feed"
	"chatfeed/feed/directory"
	"chatfeed/internal/dbtest"
	"chatfeed/rpc"
	"chatfeed/rpc/chatfeedv1/chatfeedv1connect"
)

// patience bounds what must happen, on a machine that runs many tests at once.
const patience = 30 * time.Second

// database is a PostgreSQL database of a test's own, which several feeds may read.
type database struct {
	pool   *pgxpool.Pool
	prefix string // of workflow ids, where tests share the database
}

func newDatabase(t *testing.T) *database {
	t.Helper()
	address, err := url.Parse(dbtest.URL(t))
	require.NoError(t, err)
	query := address.Query()
	query.Set("pool_max_conns", "6")
	address.RawQuery = query.Encode()
	return openDatabase(t, address.String())
}

func openDatabase(t *testing.T, address string) *database {
	t.Helper()
	pool, err := db.Open(t.Context(), address)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return &database{pool: pool}
}

// closedPort is the address of a database that is unavailable.
func closedPort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	return "postgres://insider:secret@" + listener.Addr().String() + "/hidden"
}

func (d *database) source(t *testing.T) *db.Source {
	t.Helper()
	source, err := db.NewSource(d.pool, db.SourceConfig{})
	require.NoError(t, err)
	return source
}

// append commits items together.
func (d *database) append(t *testing.T, items ...db.Item) {
	t.Helper()
	require.NoError(t, pgx.BeginFunc(t.Context(), d.pool, func(tx pgx.Tx) error {
		_, err := db.Append(t.Context(), tx, items...)
		return err
	}))
}

func (d *database) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	_, err := d.pool.Exec(t.Context(), sql, args...)
	require.NoError(t, err)
}

// cursors returns when each of a workflow's items was stamped, in microseconds, by its id.
func (d *database) cursors(t *testing.T, workflow string) map[string]int64 {
	t.Helper()
	rows, err := d.pool.Query(t.Context(), `select id, "_createdAt" from chatfeed.items where workflow_id = $1`, workflow)
	require.NoError(t, err)
	stamped := map[string]int64{}
	var id string
	var at time.Time
	_, err = pgx.ForEachRow(rows, []any{&id, &at}, func() error {
		stamped[id] = at.UnixMicro()
		return nil
	})
	require.NoError(t, err)
	return stamped
}

// config says how a server of the tests is made.
type config struct {
	rpc  rpc.Config
	feed feed.Config
	tls  bool
	// connected is called with each connection before it is used.
	connected func(net.Conn)
}

// server is a feed, its handler and an HTTP server for both versions of HTTP.
type server struct {
	feed      *feed.Feed
	url       string
	h1, h2    *http.Client
	heartbeat time.Duration
}

// serve serves a source until the test ends.
func serve(t *testing.T, source feed.Source, cfg config) *server {
	t.Helper()
	if cfg.feed.Log == nil {
		cfg.feed.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.rpc.Log == nil {
		cfg.rpc.Log = slog.New(slog.DiscardHandler)
	}
	var list *directory.Directory
	var waker feed.Waker = source
	if reader, ok := source.(directory.Reader); ok {
		var err error
		list, err = directory.New(reader, directory.Config{Sweep: cfg.feed.Sweep, Log: cfg.feed.Log})
		require.NoError(t, err)
		waker = list.Waker(source)
	}
	f, err := feed.New(source, waker, cfg.feed)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	running.Go(func() { _ = f.Run(ctx) })
	if list != nil {
		running.Go(func() { _ = list.Run(ctx) })
	}
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})

	cfg.rpc.Feed, cfg.rpc.Directory = f, list
	if cfg.rpc.Workflows == nil {
		cfg.rpc.Workflows, _ = source.(rpc.Workflows)
	}
	if cfg.rpc.Messages == nil {
		cfg.rpc.Messages, _ = source.(rpc.Messages)
	}
	handler, err := rpc.NewHandler(cfg.rpc)
	require.NoError(t, err)
	web := httptest.NewUnstartedServer(handler)
	web.Config.Protocols = protocols(true, true)
	web.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	web.Config.ConnContext = func(ctx context.Context, conn net.Conn) context.Context {
		if cfg.connected != nil {
			cfg.connected(conn)
		}
		return ctx
	}
	if cfg.tls {
		web.EnableHTTP2 = true
		web.StartTLS()
	} else {
		web.Start()
	}
	t.Cleanup(func() {
		web.CloseClientConnections()
		web.Close()
	})
	s := &server{feed: f, url: web.URL, heartbeat: cfg.rpc.Heartbeat}
	s.h1 = client(t, protocols(true, false), web)
	s.h2 = client(t, protocols(false, true), web)
	return s
}

func protocols(h1, h2 bool) *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(h1)
	p.SetHTTP2(h2)
	p.SetUnencryptedHTTP2(h2)
	return p
}

// client speaks one version of HTTP. It takes little before a response's body is read, so that who// noticed.
func client(t *testing.T, version *http.Protocols, web *httptest.Server) *http.Client {
	t.Helper()
	transport := &http.Transport{
		Protocols: version,
		HTTP2:     &http.HTTP2Config{MaxReceiveBufferPerStream: 64 << 10},
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, address)
			if tcp, ok := conn.(*net.TCPConn); ok {
				_ = tcp.SetReadBuffer(64 << 10)
			}
			return conn, err
		},
	}
	if web.TLS != nil {
		trusted := web.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
		transport.TLSClientConfig = &tls.Config{RootCAs: trusted, MinVersion: tls.VersionTLS12}
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// rpc returns a client of the feed service.
func (s *server) rpc(options ...connect.ClientOption) chatfeedv1connect.FeedServiceClient {
	return chatfeedv1connect.NewFeedServiceClient(s.h1, s.url, options...)
}

func (s *server) subscriptions() int { return s.feed.Stats().Subscriptions }

// followed waits until so many subscriptions are open.
func (s *server) followed(t *testing.T, subscriptions int) {
	t.Helper()
	require.Eventually(t, func() bool { return s.subscriptions() == subscriptions }, patience, 2*time.Millisecond,
		"the number of open subscriptions")
}

func limited(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func requireSame[T any](t *testing.T, want, got T, note ...any) {
	t.Helper()
	require.Empty(t, cmp.Diff(want, got, cmp.AllowUnexported(frame{})), append([]any{"- want, + got"}, note...)...)
}
