package watcher_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"chatfeed/cmd/internal/watcher"
	"chatfeed/internal/dbtest"
	"chatfeed/internal/embedded"
)

func newLocks(t *testing.T, url, name string) *watcher.AdvisoryLocks {
	t.Helper()
	config, err := pgx.ParseConfig(url)
	require.NoError(t, err)
	config.RuntimeParams["application_name"] = name
	locks := watcher.NewAdvisoryLocks(config, slog.New(slog.DiscardHandler))
	t.Cleanup(locks.Close)
	return locks
}

func lock(t *testing.T, locks *watcher.AdvisoryLocks, ids ...string) []string {
	t.Helper()
	got, err := locks.Lock(t.Context(), ids)
	require.NoError(t, err)
	return got
}

func TestAWorkflowIsLockedByOneServerUntilItUnlocksOrItsSessionEnds(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	url := pool.Config().ConnString()
	a, b := newLocks(t, url, "a"), newLocks(t, url, "b")
	ids := many(1000)
	require.ElementsMatch(t, ids, lock(t, a, ids...))
	require.Equal(t, []string{"other"}, lock(t, b, append(ids, "other")...))
	require.Empty(t, lock(t, a, ids...), "it has them")
	require.NoError(t, a.Unlock(t.Context(), ids[:500]))
	require.ElementsMatch(t, ids[:500], lock(t, b, ids...))
	var sessions int
	require.NoError(t, pool.QueryRow(t.Context(), `select count(*) from pg_stat_activity where datname = current_database() and application_name in ('a', 'b')`).Scan(&sessions))
	require.Equal(t, 2, sessions, "one connection each")
	a.Close()
	taken := map[string]bool{}
	for len(taken) < 500 { // PostgreSQL takes a moment to notice
		for _, id := range lock(t, b, ids...) {
			taken[id] = true
		}
	}
	require.Empty(t, lock(t, a, ids...))
}

func TestASessionThatPostgreSQLEndsIsNoticedAndItsLocksAreFree(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	url := pool.Config().ConnString()
	a, b := newLocks(t, url, "doomed"), newLocks(t, url, "b")
	require.Len(t, lock(t, a, "wf"), 1)
	require.NoError(t, a.Check(t.Context()))
	_, err := pool.Exec(t.Context(), `select pg_terminate_backend(pid, 60000) from pg_stat_activity where datname = current_database() and application_name = 'doomed'`)
	require.NoError(t, err)
	require.Len(t, lock(t, b, "wf"), 1)
	require.Error(t, a.Check(t.Context()))
	require.NoError(t, b.Unlock(t.Context(), []string{"wf"}))
	require.Len(t, lock(t, a, "wf"), 1, "it begins anew")
}

func TestASettingDoesNotEndAnIdleSession(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	url := pool.Config().ConnString()
	name := pgx.Identifier{pool.Config().ConnConfig.Database}.Sanitize()
	_, err := pool.Exec(t.Context(), fmt.Sprintf("alter database %s set idle_session_timeout = '2s'", name))
	require.NoError(t, err)
	locks := newLocks(t, url, "a")
	require.Len(t, lock(t, locks, "wf"), 1)
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	ended, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err = conn.WaitForNotification(ended) // ends with the session of this connection, which is younger
	require.Error(t, err)
	require.NoError(t, ended.Err())
	require.NoError(t, locks.Check(t.Context()))
}

func TestAPoolerIsRefusedInWords(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	bouncer := dbtest.StartPgBouncer(t, url, "pool_mode = transaction")
	pooled := newLocks(t, bouncer.URL(), "pooled")
	_, err := pooled.Lock(t.Context(), []string{"wf"})
	require.ErrorContains(t, err, "--listen-database-url takes a URL that leads to PostgreSQL directly")
	require.Len(t, lock(t, newLocks(t, url, "direct"), "wf"), 1)
}

func TestLocksLeaveHalfOfPostgreSQLsTableToOthers(t *testing.T) {
	t.Parallel()
	server, err := embedded.Start(t.Context(), embedded.Config{Settings: map[string]string{
		"max_locks_per_transaction": "10", "max_connections": "20",
	}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Stop()) })
	config, err := pgx.ParseConfig(server.URL())
	require.NoError(t, err)
	var log bytes.Buffer
	locks := watcher.NewAdvisoryLocks(config, slog.New(slog.NewTextHandler(&log, nil)))
	t.Cleanup(locks.Close)
	got := lock(t, locks, many(300)...)
	require.Greater(t, len(got), 50)
	require.LessOrEqual(t, len(got), 100)
	require.Empty(t, lock(t, locks, many(300)...))
	require.Equal(t, 1, strings.Count(log.String(), "half full"), log.String())
	require.NoError(t, locks.Unlock(t.Context(), got))
	require.Len(t, lock(t, locks, got...), len(got))
}
