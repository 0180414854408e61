package db_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"chatfeed/db"
	"chatfeed/feed"
	"chatfeed/internal/dbtest"
)

// notes is what the migration of a further type has: its table, and the call that makes a type of it.
const notes = `
	create table chatfeed.notes (
		workflow_id  text             not null,
		id           text             not null default 'note_' || replace(gen_random_uuid()::text, '-', ''),
		"_createdAt" timestamptz      not null default clock_timestamp(),
		note         text             not null,
		mood         text             not null default 'calm',
		weight       double precision not null default 0,
		star_count   integer          not null default 0,
		source       jsonb,
		metadata     jsonb,
		constraint note_length check (octet_length(note) <= 1048576),
		constraint label_length check (octet_length(mood) <= 1000),
		constraint star_count_range check (star_count <= 5),
		constraint source_decodable check (chatfeed.decodable(source))
	);
	select chatfeed.make_feed_table('notes', 'note',
		body => $$json_build_object('note', note, 'mood', mood, 'weight', weight, 'starCount', star_count, 'source', source)$$,
		text1 => 'note', text5 => 'mood', number1 => 'weight', number3 => 'star_count', json2 => 'source')`

// A further type of item needs a migration and a file like log.go; everything then works with it.
//
//nolint:paralleltest // it changes the package's types, and so runs before the tests that are parallel
func TestAnAdditionalTypeOfItem(t *testing.T) {
	ctx := t.Context()
	pool := dbtest.Pool(t)
	const definitions = `select viewname || ' ' || definition from pg_views where schemaname = 'chatfeed' order by 1`
	before := column(ctx, t, pool, definitions)
	_, err := pool.Exec(ctx, notes)
	require.NoError(t, err)
	t.Cleanup(db.AddNotes())
	require.NoError(t, db.CheckWriter(ctx, pool))

	// It is written in order with all others, by the Writer, in a transaction and by hand, and once however often.
	writer := db.NewWriter(pool)
	defer writer.Close()
	large := strings.Repeat("long \"note\" ", 10_000)
	write := func(items ...db.Item) []db.Written {
		written, err := writer.Write(ctx, items...)
		require.NoError(t, err)
		return written
	}
	write(
		db.Note{WorkflowID: "wf", ID: "1", Note: "first", Weight: 0.5, StarCount: 3, Source: []byte(`{"page": [1, null]}`)},
		db.Message{WorkflowID: "wf", ID: "2", Message: "between"},
		db.Note{WorkflowID: "wf", ID: "3", Note: large, Mood: "glad", Metadata: []byte(`{"of": "metadata"}`)})
	_, err = pool.Exec(ctx, `insert into chatfeed.notes (workflow_id, id, note, "_createdAt") values ('wf', '4', 'by hand', 'infinity')`)
	require.NoError(t, err)
	tx, err := pool.Begin(ctx)
	require.NoError(t, err)
	require.NoError(t, failure(db.Append(ctx, tx, &db.Note{WorkflowID: "wf", ID: "5", Note: "in a transaction"})))
	require.NoError(t, tx.Commit(ctx))
	require.Equal(t, []db.Written{{ID: "1", Already: true}, {ID: "6"}}, write(
		db.Note{WorkflowID: "wf", ID: "1", Note: "again"}, db.Note{WorkflowID: "wf", ID: "6", Note: "new"}))
	require.True(t, strings.HasPrefix(write(db.Note{WorkflowID: "other", Note: "x"})[0].ID, "note_"))

	// It is read as in the view, in pages that are bounded in bytes.
	wanted := column(ctx, t, pool, `select type || ' ' || id || ' ' || body::text || coalesce(' ' || metadata::text, '')
		from chatfeed.items where workflow_id = 'wf' order by "_createdAt"`)
	require.Len(t, wanted, 6)
	require.Contains(t, wanted[0], `note 1 {"note" : "first", "mood" : "calm", "weight" : 0.5, "starCount" : 3, "source" : {"page": [1, null]}}`)
	require.Contains(t, wanted[3], `"source" : null`)
	source := newSource(t, pool, db.SourceConfig{})
	var read []string
	var cursor feed.Cursor
	var sizes []int
	for more := true; more; {
		pages, err := source.After(ctx, []feed.Position{{WorkflowID: "wf", Cursor: cursor}}, feed.Window{Items: 100, Bytes: 10_000})
		require.NoError(t, err)
		for _, item := range pages[0].Items {
			require.Greater(t, item.CreatedAt, cursor)
			cursor = item.CreatedAt
			text := fmt.Sprintf("%s %s %s", item.Type, item.ID, item.Body)
			if item.Metadata != nil {
				text += " " + string(item.Metadata)
			}
			read = append(read, text)
		}
		sizes = append(sizes, len(pages[0].Items))
		more = pages[0].More
	}
	require.Equal(t, wanted, read)
	require.Equal(t, []int{3, 3}, sizes, "the third is longer than a page")
	pages, err := source.After(ctx, []feed.Position{{WorkflowID: "wf"}}, feed.Window{Items: 100, Bytes: 1 << 20, Types: []string{"note"}})
	require.NoError(t, err)
	require.Len(t, pages[0].Items, 5)

	// Invalid values are refused, whichever program writes them, and the error names the field.
	refused := func(item db.Note, field, reason string) {
		item.WorkflowID = "wf"
		_, err := writer.Write(ctx, item)
		var invalid *db.InvalidItemError
		require.ErrorAs(t, err, &invalid)
		require.Equal(t, field, invalid.Field)
		require.Contains(t, invalid.Reason, reason)
	}
	refused(db.Note{Note: strings.Repeat("x", 1<<20+1)}, "note", "at most 1048576 bytes")
	refused(db.Note{Mood: strings.Repeat("x", 1001)}, "mood", "at most 1000 bytes")
	refused(db.Note{Weight: -1}, "weight", "accepted is a number from 0 to 1000")
	refused(db.Note{StarCount: 6}, "starCount", "a whole number") // by its table
	refused(db.Note{Source: []byte(`1e400`)}, "source", "64-bit float")
	refused(db.Note{Source: []byte(`{`)}, "source", "is not valid JSON")
	refused(db.Note{Metadata: []byte(`1e400`)}, "metadata", "64-bit float")
	for _, values := range []string{`'', 'x', null, null`, `'wf', '', null, null`, `'wf', 'x', '1e400', null`, `'wf', 'x', null, '1e400'`} {
		_, err := pool.Exec(ctx, `insert into chatfeed.notes (workflow_id, id, metadata, source, note) values (`+values+`, '')`)
		require.ErrorContains(t, err, "23514", values)
	}
	_, err = pool.Exec(ctx, `update chatfeed.notes set note = 'changed'`)
	require.ErrorContains(t, err, "never changes")

	// Its erasure is recorded, and it is erased with its workflow.
	_, err = pool.Exec(ctx, `delete from chatfeed.notes where workflow_id = 'wf' and id = '3'`)
	require.NoError(t, err)
	require.Equal(t, []string{"note 3"}, column(ctx, t, pool, `select type || ' ' || item_id from chatfeed.erasures`))
	_, err = pool.Exec(ctx, `delete from chatfeed.workflows`)
	require.NoError(t, err)
	require.Empty(t, column(ctx, t, pool, `select id from chatfeed.notes`))

	// The down of its migration leaves nothing.
	_, err = pool.Exec(ctx, `select chatfeed.drop_feed_table('notes')`)
	require.NoError(t, err)
	require.Equal(t, before, column(ctx, t, pool, definitions))
}
