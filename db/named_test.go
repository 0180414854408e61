package db_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"chatfeed/db"
	"chatfeed/feed"
	"chatfeed/internal/dbtest"
)

// What the list has of a workflow is what its tables have, whatever was written and erased, and whether it is read in a page or by its id.
func TestTheListHasWorkflowsAsTheirTablesHaveThem(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := openPool(t, dbtest.URL(t), 2)
	lister := db.NewLister(pool)
	random := rand.New(rand.NewPCG(1, 2))
	var ids []string
	for i := range 8 {
		ids = append(ids, fmt.Sprint("wf", i))
	}
	read := func() (rows map[string]feed.Workflow) {
		rows = map[string]feed.Workflow{}
		found, err := pool.Query(ctx, `
			with items as (
				select workflow_id, "_createdAt" as at, progress, status, final from chatfeed.progress
				union all select workflow_id, "_createdAt", null, null, null from chatfeed.logs),
			latest as (select distinct on (workflow_id) * from items where status is not null order by workflow_id, at desc)
			select i.workflow_id, (extract(epoch from max(i.at)) * 1000000)::bigint, coalesce(max(l.status), ''), coalesce(max(l.progress), 0)::float8,
				coalesce(bool_or(l.final), false)
			from items i left join latest l using (workflow_id) group by 1`)
		require.NoError(t, err)
		for found.Next() {
			var w feed.Workflow
			require.NoError(t, found.Scan(&w.ID, &w.Head, &w.Status, &w.Progress, &w.Final))
			rows[w.ID] = w
		}
		require.NoError(t, found.Err())
		return rows
	}
	for step := range 300 {
		id := ids[random.IntN(len(ids))]
		statement := []string{
			`insert into chatfeed.logs (workflow_id, message) values ($1, '')`,
			`insert into chatfeed.progress (workflow_id, progress, status) values ($1, random() * 100, 'status ' || random())`,
			`insert into chatfeed.progress (workflow_id, progress, status, final)
				select $1, 100, 'done', true where random() < 0.2`,
			`delete from chatfeed.progress where ctid in (select ctid from chatfeed.progress where workflow_id = $1 order by "_createdAt" desc limit 1)`,
			`delete from chatfeed.logs where workflow_id = $1`,
			`delete from chatfeed.workflows where id = $1`,
		}[random.IntN(6)]
		_, _ = pool.Exec(ctx, statement, id) // a closed workflow refuses items
		want := read()
		named, err := lister.Named(ctx, append([]string{"unknown"}, ids...))
		require.NoError(t, err)
		page, err := lister.Workflows(ctx, feed.Workflow{}, 100)
		require.NoError(t, err)
		require.Len(t, page, len(want))
		require.Len(t, named, len(want))
		for _, w := range page {
			require.Equal(t, w, named[w.ID], "step %d", step)
			require.LessOrEqual(t, w.Active, w.Head+1, "step %d", step)
			w.Active = 0
			require.Equal(t, want[w.ID], w, "step %d: %s", step, statement)
		}
	}
}

// Workflows that are read by their ids cost what they are, however many others there are and however many items they have.
func TestTheCostOfNamedWorkflowsDoesNotGrowWithTheTables(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := openPool(t, dbtest.URL(t), 1) // so that one session has all the counts
	_, err := pool.Exec(ctx, `insert into chatfeed.progress (workflow_id, progress, status)
			select 'wf_' || n % 1000, 1, 'running' from generate_series(1, 20000) n;
		analyze chatfeed.workflows; analyze chatfeed.progress`)
	require.NoError(t, err)
	reads := func() (n int) {
		_, err := pool.Exec(ctx, `select pg_stat_force_next_flush()`)
		require.NoError(t, err)
		require.NoError(t, pool.QueryRow(ctx, `
			select (select sum(seq_tup_read) from pg_stat_user_tables where schemaname = 'chatfeed')
				+ (select sum(idx_tup_read) from pg_stat_user_indexes where schemaname = 'chatfeed')`).Scan(&n))
		return n
	}
	lister := db.NewLister(pool)
	for turn := range 10 { // so that PostgreSQL has had its choice of a generic plan
		var ids []string
		for i := range 100 {
			ids = append(ids, fmt.Sprint("wf_", (turn*100+i*7)%1000))
		}
		before := reads()
		named, err := lister.Named(ctx, ids)
		require.NoError(t, err)
		require.Len(t, named, 100)
		require.LessOrEqual(t, reads()-before, 6*100, "rows read")
	}
}
