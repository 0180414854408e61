package db_test

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"chatfeed/db"
	"chatfeed/feed"
	"chatfeed/internal/dbtest"
)

// queryCounter counts the queries of a pool by their first line.
type queryCounter struct {
	mu    sync.Mutex
	count map[string]int
}

func (c *queryCounter) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	name, _, _ := strings.Cut(data.SQL, "\n")
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count[name]++
	return ctx
}

func (*queryCounter) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (c *queryCounter) of(query string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.count[query]
}

func (c *queryCounter) reset() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	count := c.count
	c.count = make(map[string]int)
	return count
}

func TestIdleStreamsCostNoQueriesBeyondTheSweepAndTheCanary(t *testing.T) {
	t.Parallel()
	const streams, interval = 1000, 100 * time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	cfg, err := pgxpool.ParseConfig(dbtest.URL(t))
	require.NoError(t, err)
	counter := &queryCounter{count: make(map[string]int)}
	cfg.ConnConfig.Tracer = counter
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	source := newSource(t, pool, db.SourceConfig{Canary: interval})
	f, err := feed.New(source, source, feed.Config{Sweep: interval})
	require.NoError(t, err)
	var running, opening sync.WaitGroup
	running.Go(func() { _ = f.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	for i := range 2 * streams {
		workflow := "wf_shared"
		if i >= streams {
			workflow = "wf_" + strconv.Itoa(i)
		}
		opening.Add(1)
		running.Go(func() {
			s, err := f.Subscribe(ctx, feed.Options{From: []feed.Start{feed.After(workflow, 0)}})
			if err != nil {
				t.Errorf("subscribe: %v", err)
				opening.Done()
				return
			}
			defer s.Close()
			_, _ = s.Next() // up to date with nothing
			opening.Done()
			_, _ = s.Next() // idle until the end of the test
		})
	}
	opening.Wait()
	loading := counter.reset()
	require.LessOrEqual(t, loading["-- name: Before :many"], 2*streams/100, "topics are loaded together")

	began := time.Now()
	require.Eventually(t, func() bool {
		return counter.of("-- name: Heads :many") >= 20 && counter.of("-- name: Notify :exec") >= 10
	},
		time.Minute, interval/10, "the sweep and the canary have to be there, or this test counts nothing")
	count := counter.reset()
	silence := time.Since(began)
	t.Logf("%d topics and %d streams, %v: %v", streams+1, 2*streams, silence, count)
	for query, n := range count {
		switch query {
		case "-- name: Heads :many": // the topics are more than one query compares
			require.LessOrEqual(t, n, 2*(int(silence/interval)+1), query)
		case "-- name: Notify :exec":
			require.LessOrEqual(t, n, int(silence/interval)+1, query)
		default:
			require.Fail(t, "an idle stream has cost a query", "%d of %s", n, query)
		}
	}
}
