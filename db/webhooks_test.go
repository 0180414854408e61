package db_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"chatfeed/db"
	"chatfeed/internal/dbtest"
)

func TestADeadLetterIsKeptOnceUntilItIsDroppedOrItsWorkflowErased(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := openPool(t, dbtest.URL(t), 4)
	store := db.NewWebhooks(pool)
	require.NoError(t, failure(newWriter(t, pool).Write(ctx, db.Progress{WorkflowID: "wf_1", ID: "p"}, db.Progress{WorkflowID: "wf_2", ID: "p"})))
	for i := range 5 {
		letter := db.DeadLetter{ID: fmt.Sprint(i), WorkflowID: fmt.Sprint("wf_", i%2+1), Request: []byte(`{"a": 1}`), Error: "first", Attempts: 7}
		require.NoError(t, store.Bury(ctx, letter))
		letter.Error = "again"
		require.NoError(t, store.Bury(ctx, letter))
	}
	read := func() (ids []string) {
		var last db.DeadLetter
		for {
			page, err := store.After(ctx, last, 2)
			require.NoError(t, err)
			if len(page) == 0 {
				return ids
			}
			for _, letter := range page {
				require.Equal(t, "first", letter.Error)
				require.JSONEq(t, `{"a": 1}`, string(letter.Request))
				ids = append(ids, letter.ID)
			}
			last = page[len(page)-1]
		}
	}
	require.Equal(t, []string{"0", "1", "2", "3", "4"}, read(), "the oldest first, each once")

	_, err := pool.Exec(ctx, `delete from chatfeed.workflows where id = 'wf_1'`)
	require.NoError(t, err)
	require.Equal(t, []string{"1", "3"}, read())
	dropped, err := store.Drop(ctx, "1")
	require.NoError(t, err)
	require.True(t, dropped)
	dropped, err = store.Drop(ctx, "1")
	require.NoError(t, err)
	require.False(t, dropped)
	_, found, err := store.Get(ctx, "1")
	require.NoError(t, err)
	require.False(t, found)
	require.NoError(t, store.Fail(ctx, "3", "once more"))
	letter, found, err := store.Get(ctx, "3")
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, 8, letter.Attempts)
	require.Equal(t, "once more", letter.Error)
	n, err := store.DropBefore(ctx, letter.Since)
	require.NoError(t, err)
	require.Zero(t, n)
	n, err = store.DropBefore(ctx, letter.Since.Add(time.Microsecond))
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
}

func TestTheNewestOfSomeProgressIsItsCursor(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := openPool(t, dbtest.URL(t), 4)
	store := db.NewWebhooks(pool)
	for _, id := range []string{"a", "b", "c"} {
		require.NoError(t, failure(newWriter(t, pool).Write(ctx, db.Progress{WorkflowID: "wf", ID: id}, db.Log{WorkflowID: "wf", ID: id})))
	}
	at, err := store.Newest(ctx, "wf", []string{"b", "a", "none"})
	require.NoError(t, err)
	require.Equal(t, []string{fmt.Sprint(int64(at))},
		column(ctx, t, pool, `select (extract(epoch from "_createdAt") * 1000000)::bigint::text from chatfeed.progress where id = 'b'`))
	at, err = store.Newest(ctx, "wf", []string{"none"})
	require.NoError(t, err)
	require.Zero(t, at)
}

// A worker writes items, and delivers webhooks with the grants for that.
func TestTheDocumentedGrantsAreEnoughForWebhooks(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	owner, limited := withRole(t, "writer")
	store := db.NewWebhooks(limited)
	letter := db.DeadLetter{ID: "d", WorkflowID: "wf", Request: []byte(`{}`), Error: "x"}
	require.ErrorContains(t, store.Bury(ctx, letter), "docs/operations.md has the grants that webhooks need")
	_, err := store.Newest(ctx, "wf", []string{"p"})
	require.ErrorContains(t, err, "docs/operations.md has the grants that webhooks need")

	_, err = owner.Exec(ctx, documented(t, "webhooks"))
	require.NoError(t, err)
	require.NoError(t, failure(newWriter(t, limited).Write(ctx, db.Progress{WorkflowID: "wf", ID: "p"})))
	at, err := store.Newest(ctx, "wf", []string{"p"})
	require.NoError(t, err)
	require.NotZero(t, at)
	require.NoError(t, store.Bury(ctx, letter))
	letters, err := store.After(ctx, db.DeadLetter{}, 10)
	require.NoError(t, err)
	require.Len(t, letters, 1)
	require.NoError(t, store.Fail(ctx, "d", "y"))
	dropped, err := store.Drop(ctx, "d")
	require.NoError(t, err)
	require.True(t, dropped)
	refuses(t, limited, `select status from chatfeed.progress`, `truncate chatfeed.webhook_dead_letters`)
}
