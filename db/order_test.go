package db_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"chatfeed/db"
	"chatfeed/feed"
	"chatfeed/internal/dbtest"
)

const (
	orderCommits   = 10_000
	orderWriters   = 12
	orderWorkflows = 5
	orderPage      = 7
)

// control is a table without chatfeed's triggers: a timestamp that defaults to now(), read by the same cursor.
const control = `
create table control (n bigint generated always as identity, workflow_id text not null,
    created_at timestamptz not null default now());
create index on control (workflow_id, created_at)`

func TestEveryReaderSeesEveryCommittedItemOnceInOrder(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := openPool(t, dbtest.URL(t), 40)
	_, err := pool.Exec(ctx, control)
	require.NoError(t, err)
	workflows := make([]string, orderWorkflows)
	for i := range workflows {
		workflows[i] = "wf_" + strconv.Itoa(i)
	}
	writing := make(chan struct{})
	var readers sync.WaitGroup
	pagers := make([]map[string][]string, 3)
	for i := range pagers {
		pagers[i] = make(map[string][]string)
		readers.Go(func() {
			pagers[i] = readPages(ctx, t, pool, workflows, writing,
				`select id, "_createdAt" from chatfeed.items where workflow_id = $1 and "_createdAt" > $2
				 order by "_createdAt" limit $3`)
		})
	}
	var controlled map[string][]string
	readers.Go(func() {
		controlled = readPages(ctx, t, pool, workflows, writing,
			`select n::text, created_at from control where workflow_id = $1 and created_at > $2 order by created_at limit $3`)
	})
	f := runFeed(t, pool)
	streams := make([]*stream, 3)
	for i := range streams {
		streams[i] = openStream(t, f, workflows)
	}

	committed := writeRandomly(ctx, t, pool, workflows)
	close(writing)
	readers.Wait()

	total := 0
	for _, workflow := range workflows {
		want := column(ctx, t, pool, `select id from chatfeed.items where workflow_id = $1 order by "_createdAt"`, workflow)
		require.ElementsMatch(t, committed[workflow], want, "the table has what was committed")
		for _, seen := range pagers {
			require.Equal(t, want, seen[workflow], "a reader that pages by %d", orderPage)
		}
		for _, s := range streams {
			require.Equal(t, want, s.take(t, workflow, len(want)), "a stream")
		}
		total += len(want)
	}
	for _, s := range streams {
		require.Equal(t, total, s.stop(), "a stream gives nothing twice")
	}
	lost := 0
	for _, workflow := range workflows {
		rows := column(ctx, t, pool, `select n::text from control where workflow_id = $1`, workflow)
		lost += len(rows) - len(controlled[workflow])
	}
	t.Logf("%d items; the same readers lost %d rows of a table that defaults to now()", total, lost)
	require.Positive(t, lost, "the control must lose rows, or this test would not notice a loss")
}

// writeRandomly runs the writers until enough transactions have committed and returns the ids of their items. A fifth of
// the transactions roll back.
func writeRandomly(ctx context.Context, t *testing.T, pool *pgxpool.Pool, workflows []string) map[string][]string {
	t.Helper()
	var mu sync.Mutex
	committed := make(map[string][]string)
	var commits atomic.Int64
	var writers sync.WaitGroup
	errRollBack := errors.New("roll back")
	for w := range orderWriters {
		writers.Go(func() {
			for n := 0; commits.Load() < orderCommits; n++ {
				workflow := workflows[rand.IntN(len(workflows))]
				var ids []string
				err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
					for range 1 + rand.IntN(4) {
						ids = append(ids, fmt.Sprintf("w%d_%d_%d", w, n, len(ids)))
						if err := writeOne(ctx, tx, workflow, ids[len(ids)-1]); err != nil {
							return err
						}
					}
					if rand.IntN(5) == 0 {
						return errRollBack
					}
					return nil
				})
				if errors.Is(err, errRollBack) {
					continue
				}
				if err != nil {
					t.Errorf("a writer failed: %v", err)
					return
				}
				commits.Add(1)
				mu.Lock()
				committed[workflow] = append(committed[workflow], ids...)
				mu.Unlock()
			}
		})
	}
	writers.Wait()
	return committed
}

func writeOne(ctx context.Context, tx pgx.Tx, workflow, id string) error {
	if _, err := tx.Exec(ctx, `insert into control (workflow_id) values ($1)`, workflow); err != nil {
		return err
	}
	switch rand.IntN(5) {
	case 0: // like any other program
		_, err := tx.Exec(ctx, `insert into chatfeed.messages (workflow_id, id, message, "_createdAt")
			values ($1, $2, '', '2001-01-01')`, workflow, id)
		return err
	case 1:
		return failure(db.Append(ctx, tx, db.Log{WorkflowID: workflow, ID: id}))
	case 2:
		return failure(db.Append(ctx, tx, db.Stat{WorkflowID: workflow, ID: id}))
	case 3:
		return failure(db.Append(ctx, tx, db.Progress{WorkflowID: workflow, ID: id}))
	}
	return failure(db.Append(ctx, tx, db.Message{WorkflowID: workflow, ID: id}))
}

// readPages reads each workflow by its bare timestamp, a page at a time, until writing has ended and nothing follows.
func readPages(
	ctx context.Context, t *testing.T, pool *pgxpool.Pool, workflows []string, writing <-chan struct{}, query string,
) map[string][]string {
	seen := make(map[string][]string)
	cursors := make(map[string]time.Time)
	for {
		ended := false
		select {
		case <-writing:
			ended = true
		default:
		}
		found := false
		for _, workflow := range workflows {
			rows, _ := pool.Query(ctx, query, workflow, cursors[workflow], orderPage)
			var id string
			var at time.Time
			_, err := pgx.ForEachRow(rows, []any{&id, &at}, func() error {
				seen[workflow] = append(seen[workflow], id)
				cursors[workflow] = at
				found = true
				return nil
			})
			if err != nil {
				t.Errorf("a reader failed: %v", err)
				return seen
			}
		}
		if ended && !found {
			return seen
		}
	}
}

// stream collects what one subscription delivers.
type stream struct {
	cancel context.CancelFunc
	ended  chan struct{}
	news   chan struct{}

	mu   sync.Mutex
	seen map[string][]string
}

func openStream(t *testing.T, f *feed.Feed, workflows []string) *stream {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	s := &stream{cancel: cancel, ended: make(chan struct{}), news: make(chan struct{}, 1), seen: make(map[string][]string)}
	var options feed.Options
	for _, workflow := range workflows {
		options.From = append(options.From, feed.After(workflow, 0))
	}
	subscription, err := f.Subscribe(ctx, options)
	require.NoError(t, err)
	go func() {
		defer close(s.ended)
		defer subscription.Close()
		for {
			batch, err := subscription.Next()
			if err != nil {
				return
			}
			s.mu.Lock()
			for _, item := range batch.Items {
				s.seen[item.WorkflowID] = append(s.seen[item.WorkflowID], item.ID)
			}
			s.mu.Unlock()
			select {
			case s.news <- struct{}{}:
			default:
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-s.ended })
	return s
}

// take waits until the stream has given n items of a workflow and returns what it has.
func (s *stream) take(t *testing.T, workflow string, n int) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		s.mu.Lock()
		seen := s.seen[workflow]
		s.mu.Unlock()
		if len(seen) >= n {
			return seen
		}
		select {
		case <-s.news:
		case <-ctx.Done():
			require.FailNow(t, "items are missing", "%s: %d of %d", workflow, len(seen), n)
		}
	}
}

// stop ends the stream and returns how many items it has given.
func (s *stream) stop() (total int) {
	s.cancel()
	<-s.ended
	for _, seen := range s.seen {
		total += len(seen)
	}
	return total
}

func openPool(t *testing.T, url string, conns int32) *pgxpool.Pool {
	t.Helper()
	pool, err := db.Open(t.Context(), url+"&pool_max_conns="+strconv.Itoa(int(conns)))
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

// runFeed runs a feed on the pool until the end of the test.
func runFeed(t *testing.T, pool *pgxpool.Pool) *feed.Feed {
	t.Helper()
	source, err := db.NewSource(pool, db.SourceConfig{})
	require.NoError(t, err)
	f, err := feed.New(source, source, feed.Config{Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = f.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	return f
}

func column(ctx context.Context, t *testing.T, pool *pgxpool.Pool, query string, args ...any) []string {
	t.Helper()
	rows, _ := pool.Query(ctx, query, args...)
	values, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return values
}
