package db_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"chatfeed/db"
	"chatfeed/feed"
	"chatfeed/internal/dbtest"
)

// PostgreSQL takes a workflow for as long as they are on average. Where it is told how many items a page may have, and that
// is more, it means to read them all and sort them: every page of the long workflow would read all that comes after.
func TestAPageOfALongWorkflowAmongShortOnesReadsOnlyItsItems(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := openPool(t, dbtest.URL(t), 1) // so that one session has all the counts
	_, err := pool.Exec(ctx, `
		alter table chatfeed.messages disable trigger user;
		insert into chatfeed.messages (workflow_id, message, "_createdAt")
		select case when n % 2 = 0 then 'long' else 'wf_' || n / 2000 end, repeat('a few words ', 16), to_timestamp(n)
		from generate_series(1, 60000) n`)
	require.NoError(t, err)
	_, err = pool.Exec(ctx, `vacuum (analyze) chatfeed.messages`)
	require.NoError(t, err)
	source := newSource(t, pool, db.SourceConfig{})
	for _, items := range []int{16, 256, 1024, 16, 16, 16, 16, 1024, 1024, 256} { // on both sides of where plans are kept
		for name, read := range map[string]func() ([]feed.Page, error){
			"after": func() ([]feed.Page, error) {
				return source.After(ctx, []feed.Position{{WorkflowID: "long"}}, feed.Window{Items: items, Bytes: 1 << 20})
			},
			"before": func() ([]feed.Page, error) {
				return source.Before(ctx, []feed.Position{{WorkflowID: "long", Cursor: feed.End}}, feed.Window{Items: items, Bytes: 1 << 20})
			},
		} {
			before, _ := tableReads(ctx, t, pool)
			pages, err := read()
			require.NoError(t, err)
			require.Len(t, pages[0].Items, items)
			after, _ := tableReads(ctx, t, pool)
			require.LessOrEqual(t, after-before, items+10, "rows fetched for %d items %s", items, name)
		}
	}
}
