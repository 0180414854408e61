package durable

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"chatfeed/db"
	"chatfeed/feed"
	"chatfeed/internal/dbtest"
	"chatfeed/rpc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, dbtest.Goroutines()...) }

// required in the environment makes the tests fail where the packages are missing.
const required = "CHATFEED_TEST_DURABLE"

// node is the folder of the packages.
func node(t *testing.T) string {
	t.Helper()
	folder, err := filepath.Abs("testdata/node")
	require.NoError(t, err)
	_, err = os.Stat(filepath.Join(folder, "node_modules", ".package-lock.json"))
	if err != nil && os.Getenv(required) == "" {
		t.Skip("the packages are not installed: just durable, or npm ci in cmd/internal/durable/testdata/node")
	}
	require.NoError(t, err, "the packages are not installed")
	return folder
}

// serve serves a database at an address, with what wrap makes of the handler, until stop is called.
func serve(t *testing.T, pool *pgxpool.Pool, address string, wrap func(http.Handler) http.Handler) (url string, stop func()) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	source, err := db.NewSource(pool, db.SourceConfig{})
	require.NoError(t, err)
	f, err := feed.New(source, source, feed.Config{Log: log})
	require.NoError(t, err)
	handler, err := rpc.NewHandler(rpc.Config{
		Feed: f, Workflows: source, Origins: []string{"*"}, Heartbeat: time.Second, Log: log,
	})
	require.NoError(t, err)
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", address)
	require.NoError(t, err)
	server := &http.Server{Handler: wrap(handler), ReadHeaderTimeout: time.Minute}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 2)
	go func() { ended <- f.Run(ctx) }()
	go func() { ended <- server.Serve(listener) }()
	return "http://" + listener.Addr().String(), func() {
		f.Drain()
		require.NoError(t, server.Close())
		cancel()
		for range 2 {
			if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
				require.NoError(t, err)
			}
		}
	}
}

// write commits items together.
func write(ctx context.Context, pool *pgxpool.Pool, items ...db.Item) error {
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		_, err := db.Append(ctx, tx, items...)
		return err
	})
}
