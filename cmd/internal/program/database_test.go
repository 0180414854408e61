package program_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"chatfeed/cmd/internal/program"
	"chatfeed/db"
	"chatfeed/internal/dbtest"
	"chatfeed/internal/embedded"
)

// logged collects what a program logs.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logged) has(text string) func() bool {
	return func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return strings.Contains(l.text.String(), text)
	}
}

// empty is a server of the test's own without the schema, and a pool of its superuser.
func empty(t *testing.T) (address string, admin *pgxpool.Pool) {
	t.Helper()
	server, err := embedded.Start(t.Context(), embedded.Config{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Stop()) })
	admin, err = db.Open(t.Context(), server.URL())
	require.NoError(t, err)
	t.Cleanup(admin.Close)
	return server.URL(), admin
}

func TestServeEndsWithAnErrorOnAnUnsuitableDatabase(t *testing.T) {
	t.Parallel()
	address, admin := empty(t)
	_, err := admin.Exec(t.Context(), `create database bytes encoding 'SQL_ASCII' locale 'C' template template0`)
	require.NoError(t, err)
	for _, migrate := range []bool{false, true} {
		server := program.Serve{
			Database: program.Database{DatabaseURL: strings.Replace(address, "/chatfeed", "/bytes", 1)},
			Listen:   "127.0.0.1:0", NoChat: true, Migrate: migrate,
		}
		err = server.Run(t.Context(), slog.New(slog.DiscardHandler))
		require.ErrorIs(t, err, db.ErrUnfit)
		require.ErrorContains(t, err, "its encoding is SQL_ASCII; UTF8 is accepted")
	}
}

func TestServeLogsWhatIsMissingAndContinuesOnceItIsAdded(t *testing.T) {
	t.Parallel()
	address, _ := empty(t)
	log := new(logged)
	ctx, cancel := context.WithCancel(t.Context())
	server := program.Serve{Database: program.Database{DatabaseURL: address}, Listen: "127.0.0.1:0", NoChat: true}
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx, slog.New(slog.NewTextHandler(log, nil))) }()
	require.Eventually(t, log.has("run chatfeed migrate up"), time.Minute, 10*time.Millisecond)
	require.NoError(t, (&program.MigrateUp{Database: program.Database{DatabaseURL: address}}).Run(ctx))
	require.Eventually(t, log.has("the database can be used now"), time.Minute, 10*time.Millisecond)
	cancel()
	require.NoError(t, <-ended)
}

// Missing privileges of a writer's role are reported before the first activity fails.
func TestMissingPrivilegesOfAWriterAreNamed(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	server := dbtest.Server(t)
	admin, err := db.Open(ctx, server.URL())
	require.NoError(t, err)
	t.Cleanup(admin.Close)
	_, err = admin.Exec(ctx, `create role limited login; grant usage on schema chatfeed to limited;
		grant insert, select on chatfeed.messages, chatfeed.stats to limited; grant insert on chatfeed.logs to limited`)
	require.NoError(t, err)
	limited, err := db.Open(ctx, strings.Replace(server.URL(), "postgres@", "limited@", 1))
	require.NoError(t, err)
	t.Cleanup(limited.Close)
	err = db.CheckWriter(ctx, limited)
	require.ErrorContains(t, err, "role limited lacks")
	require.ErrorContains(t, err, "chatfeed.logs")
	require.ErrorContains(t, err, "chatfeed.progress")
	require.NotContains(t, err.Error(), "chatfeed.messages")
	require.NoError(t, db.CheckWriter(ctx, admin))
	usage, _, err := db.QueueUsage(ctx, limited)
	require.NoError(t, err)
	require.Zero(t, usage)
}

// All readiness requests are answered, however many there are and however slow the database is.
func TestConcurrentReadinessRequestsShareOneCheck(t *testing.T) {
	t.Parallel()
	url := serve(t, dbtest.URL(t))
	var asking sync.WaitGroup
	for range 500 {
		asking.Go(func() {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/readyz", http.NoBody)
			if err != nil {
				t.Error(err)
				return
			}
			answer, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Error(err)
				return
			}
			_ = answer.Body.Close()
			if answer.StatusCode != http.StatusOK {
				t.Errorf("not ready: %s", answer.Status)
			}
		})
	}
	asking.Wait()
	http.DefaultClient.CloseIdleConnections()
}
