package db_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"chatfeed/db"
	"chatfeed/internal/dbtest"
	"chatfeed/internal/embedded"
)

// writeThrough writes items 0 to n-1, each until it is known to be written, as a retried activity does.
func writeThrough(ctx context.Context, t *testing.T, writer *db.Writer, n int, between func(i int)) []string {
	t.Helper()
	var want []string
	for i := range n {
		id := fmt.Sprintf("item_%04d", i)
		require.Eventually(t, func() bool {
			return failure(writer.Write(ctx, db.Message{WorkflowID: "wf", ID: id, Message: "m"})) == nil
		}, time.Minute, 50*time.Millisecond, "the database does not come back")
		want = append(want, id)
		between(i)
	}
	return want
}

func TestAStreamGoesOnWhenEveryConnectionIsTerminated(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	url := dbtest.URL(t)
	pool := openPool(t, url, 8)
	killer := openPool(t, strings.Replace(url, "?", "?application_name=killer&", 1), 1)
	s := openStream(t, runFeed(t, pool), []string{"wf"})

	want := writeThrough(ctx, t, newWriter(t, pool), 300, func(i int) {
		if i%50 == 10 {
			_, err := killer.Exec(ctx, `select pg_terminate_backend(pid) from pg_stat_activity
				where datname = current_database() and pid <> pg_backend_pid()`)
			require.NoError(t, err)
		}
	})

	require.Equal(t, want, s.take(t, "wf", len(want)))
	require.Equal(t, len(want), s.stop())
}

func TestAStreamGoesOnWhenPostgreSQLRestarts(t *testing.T) {
	t.Parallel()
	for _, how := range []embedded.Shutdown{embedded.Fast, embedded.Immediate, embedded.Kill} {
		t.Run(fmt.Sprint(how), func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			server := dbtest.Server(t)
			pool := openPool(t, server.URL(), 8)
			s := openStream(t, runFeed(t, pool), []string{"wf"})
			var restarting sync.WaitGroup

			want := writeThrough(ctx, t, newWriter(t, pool), 200, func(i int) {
				if i == 60 {
					restarting.Go(func() {
						if err := server.Restart(ctx, how); err != nil {
							t.Errorf("PostgreSQL does not restart: %v", err)
						}
					})
				}
			})
			restarting.Wait()

			require.Equal(t, want, s.take(t, "wf", len(want)))
			require.Equal(t, len(want), s.stop())
		})
	}
}
