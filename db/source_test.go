package db_test

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"chatfeed/db"
	"chatfeed/feed"
	"chatfeed/internal/dbtest"
)

func newSource(t testing.TB, pool *pgxpool.Pool, cfg db.SourceConfig) *db.Source {
	t.Helper()
	source, err := db.NewSource(pool, cfg)
	require.NoError(t, err)
	return source
}

func ids(page feed.Page) []string {
	var ids []string
	for _, item := range page.Items {
		ids = append(ids, item.ID)
	}
	return ids
}

func TestOneReadServesManyPositions(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := openPool(t, dbtest.URL(t), 4)
	writer := newWriter(t, pool)
	for i := range 10 {
		require.NoError(t, failure(writer.Write(ctx, itemOf(i%4, "wf_a", fmt.Sprint(i)), itemOf(i%4, "wf_b", fmt.Sprint(i)))))
	}
	source := newSource(t, pool, db.SourceConfig{})
	all, err := source.After(ctx, []feed.Position{{WorkflowID: "wf_a"}}, feed.Window{Items: 100, Bytes: 1 << 20})
	require.NoError(t, err)
	fourth := all[0].Items[3].CreatedAt

	pages, err := source.After(ctx, []feed.Position{
		{WorkflowID: "wf_a", Cursor: fourth},
		{WorkflowID: "none"},
		{WorkflowID: "wf_b"},
		{WorkflowID: "wf_a"},
		{WorkflowID: "wf_a", Cursor: feed.End},
	}, feed.Window{Items: 3, Bytes: 1 << 20})
	require.NoError(t, err)
	require.Equal(t, []string{"4", "5", "6"}, ids(pages[0]))
	require.Empty(t, pages[1].Items)
	require.False(t, pages[1].More)
	require.Equal(t, []string{"0", "1", "2"}, ids(pages[2]))
	require.Equal(t, []string{"0", "1", "2"}, ids(pages[3]), "one workflow may stand in several positions")
	require.True(t, pages[3].More)
	require.Empty(t, pages[4].Items)

	pages, err = source.Before(ctx, []feed.Position{
		{WorkflowID: "wf_a", Cursor: feed.End}, {WorkflowID: "wf_a", Cursor: fourth},
	}, feed.Window{Items: 4, Bytes: 1 << 20})
	require.NoError(t, err)
	require.Equal(t, []string{"6", "7", "8", "9"}, ids(pages[0]))
	require.True(t, pages[0].More)
	require.Equal(t, []string{"0", "1", "2"}, ids(pages[1]))
	require.False(t, pages[1].More)

	pages, err = source.After(ctx, []feed.Position{{WorkflowID: "wf_a"}},
		feed.Window{Items: 100, Bytes: 1 << 20, Types: []string{"log", "stat"}})
	require.NoError(t, err)
	require.Equal(t, []string{"1", "2", "5", "6", "9"}, ids(pages[0]))
}

func TestAPageIsBoundedInBytesAndEmptyOnlyWithoutItems(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := openPool(t, dbtest.URL(t), 4)
	writer := newWriter(t, pool)
	for i := range 6 {
		require.NoError(t, failure(writer.Write(ctx,
			db.Message{WorkflowID: "wf", ID: fmt.Sprint(i), Message: strings.Repeat("x", 1<<20)})))
	}
	source := newSource(t, pool, db.SourceConfig{})
	var seen []string
	position := feed.Position{WorkflowID: "wf"}
	for more := true; more; {
		pages, err := source.After(ctx, []feed.Position{position}, feed.Window{Items: 100, Bytes: 5 << 19})
		require.NoError(t, err)
		if more = pages[0].More; more {
			require.Len(t, pages[0].Items, 3, "the item that reaches the bound is the last")
		}
		for _, item := range pages[0].Items {
			seen = append(seen, item.ID)
			position.Cursor = item.CreatedAt
		}
	}
	require.Equal(t, []string{"0", "1", "2", "3", "4", "5"}, seen)
	pages, err := source.Before(ctx, []feed.Position{{WorkflowID: "wf", Cursor: feed.End}}, feed.Window{Items: 100, Bytes: 1})
	require.NoError(t, err)
	require.Equal(t, []string{"5"}, ids(pages[0]))
	require.True(t, pages[0].More)
}

// Bodies beside the page are not read: their lengths say where it ends.
func TestAPageReadsOnlyItsOwnBodies(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := openPool(t, dbtest.URL(t), 1) // so that one session has all the counts
	const bodies, size = 20, 1 << 19
	writer := newWriter(t, pool)
	for i := range bodies {
		text := make([]byte, size/2)
		_, _ = rand.Read(text) // so that it cannot be compressed
		item := []db.Item{
			db.Message{WorkflowID: "wf", ID: fmt.Sprint(i), Message: hex.EncodeToString(text)},
			db.Progress{WorkflowID: "wf", ID: fmt.Sprint(i), Result: hex.EncodeToString(text)},
		}[i%2]
		require.NoError(t, failure(writer.Write(ctx, item)))
	}
	source := newSource(t, pool, db.SourceConfig{})
	const ofOne = size / 1996 // TOAST chunks
	for name, read := range map[string]func(feed.Window) ([]feed.Page, error){
		"after": func(w feed.Window) ([]feed.Page, error) {
			return source.After(ctx, []feed.Position{{WorkflowID: "wf"}}, w)
		},
		"before": func(w feed.Window) ([]feed.Page, error) {
			return source.Before(ctx, []feed.Position{{WorkflowID: "wf", Cursor: feed.End}}, w)
		},
	} {
		for _, bytes := range []int{1, size + 100} {
			before := toastReads(ctx, t, pool)
			pages, err := read(feed.Window{Items: 256, Bytes: bytes})
			require.NoError(t, err)
			require.True(t, pages[0].More)
			n := len(pages[0].Items)
			require.Equal(t, 1+bytes/size, n, name)
			require.LessOrEqual(t, toastReads(ctx, t, pool)-before, (n*ofOne)*11/10, "%s: chunks of bodies read for %d of them", name, n)
		}
	}
	pages, err := source.After(ctx, []feed.Position{{WorkflowID: "wf"}}, feed.Window{Items: bodies, Bytes: bodies * size * 2})
	require.NoError(t, err)
	require.Len(t, pages[0].Items, bodies)
	require.False(t, pages[0].More, "exactly all is not a page with more after it")
}

// toastReads counts the chunks that have been read of bodies which are stored apart.
func toastReads(ctx context.Context, t *testing.T, pool *pgxpool.Pool) (n int) {
	t.Helper()
	_, err := pool.Exec(ctx, `select pg_stat_force_next_flush()`)
	require.NoError(t, err)
	err = pool.QueryRow(ctx, `select coalesce(sum(s.idx_tup_fetch), 0) from pg_class c join pg_stat_all_tables s on s.relid = c.reltoastrelid
		where c.relnamespace = 'chatfeed'::regnamespace`).Scan(&n)
	require.NoError(t, err)
	return n
}

func TestTheCostOfAReadDoesNotGrowWithTheTable(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := openPool(t, dbtest.URL(t), 1) // so that one session has all the counts
	_, err := pool.Exec(ctx, `
		alter table chatfeed.messages disable trigger user;
		insert into chatfeed.messages (workflow_id, message, "_createdAt")
		select 'wf_' || n % 10, '', to_timestamp(n) from generate_series(1, 50000) n;
		analyze chatfeed.messages`)
	require.NoError(t, err)
	source := newSource(t, pool, db.SourceConfig{})
	for name, read := range map[string]func() ([]feed.Page, error){
		"after": func() ([]feed.Page, error) {
			return source.After(ctx, []feed.Position{{WorkflowID: "wf_3", Cursor: 25_000_000_000}}, feed.Window{Items: 10, Bytes: 1 << 20})
		},
		"before": func() ([]feed.Page, error) {
			return source.Before(ctx, []feed.Position{{WorkflowID: "wf_3", Cursor: feed.End}}, feed.Window{Items: 10, Bytes: 1 << 20})
		},
	} {
		for range 10 { // so that PostgreSQL has had its choice of a generic plan
			fetched, scanned := tableReads(ctx, t, pool)
			pages, err := read()
			require.NoError(t, err, name)
			require.Len(t, pages[0].Items, 10, name)
			fetchedAfter, scannedAfter := tableReads(ctx, t, pool)
			require.LessOrEqual(t, fetchedAfter-fetched, 12, "%s: rows fetched for a page of 10", name)
			require.Equal(t, scanned, scannedAfter, "%s: rows read by scanning the table", name)
		}
	}
}

func tableReads(ctx context.Context, t *testing.T, pool *pgxpool.Pool) (fetched, scanned int) {
	t.Helper()
	_, err := pool.Exec(ctx, `select pg_stat_force_next_flush()`)
	require.NoError(t, err)
	err = pool.QueryRow(ctx, `select coalesce(idx_tup_fetch, 0), seq_tup_read from pg_stat_user_tables
		where schemaname = 'chatfeed' and relname = 'messages'`).Scan(&fetched, &scanned)
	require.NoError(t, err)
	return fetched, scanned
}

func TestWorkflowsAreListedByNewestHeadAndPagedWithoutLoss(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := openPool(t, dbtest.URL(t), 4)
	// Three workflows share each head, and heads reach over several hours.
	_, err := pool.Exec(ctx, `
		alter table chatfeed.progress disable trigger user;
		insert into chatfeed.progress (workflow_id, "_createdAt", progress, status)
		select 'wf_' || n, timestamptz '2026-01-01' + (n / 3) * interval '50 minutes', 1, 's' || n from generate_series(0, 19) n;
		insert into chatfeed.workflows (id, active) select workflow_id, "_createdAt" from chatfeed.progress;
		insert into chatfeed.workflows (id) values ('empty')`)
	require.NoError(t, err)
	source := newSource(t, pool, db.SourceConfig{})
	want := column(ctx, t, pool, `select id from chatfeed.heads where head is not null order by head desc, id desc`)
	var seen []string
	for after := (feed.Workflow{}); ; {
		page, err := source.Workflows(ctx, after, 4)
		require.NoError(t, err)
		if len(page) == 0 {
			break
		}
		for _, workflow := range page {
			seen = append(seen, workflow.ID)
			require.Equal(t, "s"+strings.TrimPrefix(workflow.ID, "wf_"), workflow.Status)
		}
		after = page[len(page)-1]
	}
	require.Equal(t, want, seen)
}

// listening runs Listen and returns what it reports.
func listening(t *testing.T, source *db.Source) (connected <-chan struct{}, woken <-chan string, ended <-chan error) {
	t.Helper()
	c, w, e := make(chan struct{}, 10), make(chan string, 100), make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		e <- source.Listen(ctx, func() { c <- struct{}{} }, func(id string, head feed.Cursor) { w <- fmt.Sprint(id, " ", head) })
	}()
	t.Cleanup(func() { cancel(); <-done })
	return c, w, e
}

func TestACommitIsNotifiedWithItsWorkflowAndHead(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := openPool(t, dbtest.URL(t), 4)
	connected, woken, _ := listening(t, newSource(t, pool, db.SourceConfig{}))
	<-connected
	for _, forged := range []string{"", "x", "12", "12 ", "x wf", "99999999999999999999 wf"} {
		_, err := pool.Exec(ctx, `select pg_notify('chatfeed', $1)`, forged)
		require.NoError(t, err)
	}
	odd := "wf / ü 1"
	require.NoError(t, failure(newWriter(t, pool).Write(ctx, db.Log{WorkflowID: odd}, db.Log{WorkflowID: odd})))
	head := column(ctx, t, pool, `select (extract(epoch from head) * 1000000)::bigint::text from chatfeed.heads`)
	require.Equal(t, odd+" "+head[0], <-woken, "one notification for a statement, and none of the forged ones")
}

func TestAListenerThatLosesItsConnectionReturnsAnError(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := openPool(t, dbtest.URL(t), 4)
	connected, _, ended := listening(t, newSource(t, pool, db.SourceConfig{}))
	<-connected
	_, err := pool.Exec(ctx, `select pg_terminate_backend(pid) from pg_stat_activity
		where query like 'listen%' and datname = current_database()`)
	require.NoError(t, err)
	require.ErrorContains(t, <-ended, "terminating connection")
}

func TestAListenerThatReceivesNothingReturnsAnError(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	pool := openPool(t, url, 4)
	// The canary is sent in one database and listened for in another, like with a frozen connection.
	source := newSource(t, pool, db.SourceConfig{Listen: dbtest.URL(t), Canary: 20 * time.Millisecond})
	connected, _, ended := listening(t, source)
	<-connected
	require.ErrorContains(t, <-ended, "no notification was received")
}

func TestASilentListenerIsKeptAliveByItsCanary(t *testing.T) {
	t.Parallel()
	cfg, err := pgxpool.ParseConfig(dbtest.URL(t))
	require.NoError(t, err)
	counter := &queryCounter{count: make(map[string]int)}
	cfg.ConnConfig.Tracer = counter
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	connected, woken, ended := listening(t, newSource(t, pool, db.SourceConfig{Canary: 500 * time.Millisecond}))
	<-connected
	require.Eventually(t, func() bool { return counter.of("-- name: Notify :exec") >= 8 || len(ended) > 0 },
		time.Minute, 10*time.Millisecond)
	require.Empty(t, ended, "it is given up after three canaries that are not heard")
	require.Empty(t, woken)
}

func TestAnUnavailableDatabaseIsAnErrorAtOnce(t *testing.T) {
	t.Parallel()
	pool := openPool(t, "postgres://nobody@127.0.0.1:1/none?sslmode=disable", 4)
	source := newSource(t, pool, db.SourceConfig{})
	_, err := source.After(t.Context(), []feed.Position{{WorkflowID: "wf"}}, feed.Window{Items: 1, Bytes: 1})
	require.Error(t, err)
	_, err = source.Heads(t.Context(), []string{"wf"})
	require.Error(t, err)
	err = source.Listen(t.Context(), func() { t.Error("connected to nothing") }, func(string, feed.Cursor) {})
	require.Error(t, err)
	require.False(t, errors.Is(err, context.Canceled), "the error says what was wrong")
}

func TestAnInvalidSourceConfigNamesItsField(t *testing.T) {
	t.Parallel()
	pool := openPool(t, "postgres://nobody@127.0.0.1:1/none?sslmode=disable", 4)
	_, err := db.NewSource(pool, db.SourceConfig{Listen: "postgres://%"})
	require.ErrorContains(t, err, "SourceConfig.Listen")
	_, err = db.NewSource(pool, db.SourceConfig{Canary: -time.Second})
	require.ErrorContains(t, err, "SourceConfig.Canary")
	_, err = db.Open(t.Context(), "postgres://%")
	require.Error(t, err)
}
