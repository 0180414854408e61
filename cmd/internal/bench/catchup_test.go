package bench

import (
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"chatfeed/db"
	v1 "chatfeed/rpc/chatfeedv1"
)

func TestReadingHistoryIsMeasuredWithFewRowsWithManyAndWithLargeBodies(t *testing.T) {
	t.Parallel()
	result := runShort(t, catchup(), "rows", "body_bytes", "first_page_p50_ms", "first_page_p99_ms", "raw_page_p50_ms",
		"raw_page_p99_ms", "growth_ratio", "raw_growth_ratio", "items_per_s", "raw_items_per_s", "items_vs_raw",
		"whole_s", "rest_s", "plain_s", "whole_vs_plain", "rest_vs_plain")
	require.Len(t, result.Runs, 3)
	require.Equal(t, Value{Key: "growth_ratio", Number: 1}, result.Runs[0].Values[6])
	require.True(t, result.Runs[1].Headline)
	require.Equal(t, Value{Key: "body_bytes", Number: 100 << 10}, result.Runs[2].Values[1])
	require.Equal(t, Value{Key: "growth_ratio", Number: 1}, result.Runs[2].Values[6], "nothing is compared with smaller bodies")
}

func TestLargeBodiesAreReadBackCompletelyInEveryWay(t *testing.T) {
	t.Parallel()
	lab := newLab(t)
	h := history{rows: 40, long: 20, each: 1, body: 300 << 10}
	require.NoError(t, fill(t.Context(), lab.Pool, h))
	var least, most, compressed int
	require.NoError(t, lab.Pool.QueryRow(t.Context(), `
		select min(octet_length(message)), max(octet_length(message)), avg(pg_column_size(message))::int from chatfeed.messages`,
	).Scan(&least, &most, &compressed))
	require.Equal(t, []int{h.body, h.body}, []int{least, most})
	require.Greater(t, compressed, h.body/3)
	require.Less(t, compressed, h.body*2/3)

	server, err := lab.Serve(t.Context())
	require.NoError(t, err)
	defer server.Kill()
	source, err := db.NewSource(lab.Pool, db.SourceConfig{})
	require.NoError(t, err)
	for name, read := range map[string]func(items int) (time.Duration, error){
		"Connect": func(items int) (time.Duration, error) {
			return wholeHistory(t.Context(), server.URL, longWorkflow, items)
		},
		"REST":  func(items int) (time.Duration, error) { return wholeREST(t.Context(), server.URL, longWorkflow, items) },
		"pages": func(items int) (time.Duration, error) { return rawHistory(t.Context(), source, longWorkflow, items) },
		"one query": func(items int) (time.Duration, error) {
			return plainHistory(t.Context(), lab.Pool, longWorkflow, items)
		},
	} {
		_, err := read(h.long)
		require.NoError(t, err, name)
		_, err = read(h.long + 1)
		require.ErrorContains(t, err, "received 20 items of 21", name)
	}
}

func TestAnAnswerOverRESTIsCountedHoweverItIsSplit(t *testing.T) {
	t.Parallel()
	text := []byte(`{"items": [{"item": {"message": "\"_createdAt\": 1", "_createdAt": 1.0}}, {"item": {"_createdAt": 2.0}}], "upToDate": true}` + "\n")
	for size := 1; size <= len(text); size++ {
		answer := restAnswer{}
		for part := range slices.Chunk(text, size) {
			n, err := answer.Write(part)
			require.NoError(t, err)
			require.Len(t, part, n)
		}
		require.NoError(t, answer.result(2), "parts of %d bytes", size)
	}
	broken := restAnswer{}
	_, err := broken.Write(text[:len(text)-10])
	require.NoError(t, err)
	require.ErrorContains(t, broken.result(2), "not all are there")
}

func TestFilledItemsAreReadBackCompletelyAndInOrder(t *testing.T) {
	t.Parallel()
	lab := newLab(t)
	h := history{rows: 4_000, long: 1_000, each: 100}
	require.NoError(t, fill(t.Context(), lab.Pool, h))
	server, err := lab.Serve(t.Context())
	require.NoError(t, err)
	defer server.Kill()
	var wrong int
	require.NoError(t, lab.Pool.QueryRow(t.Context(), `
		select count(*) from chatfeed.heads where active is distinct from head or born > head`).Scan(&wrong))
	require.Zero(t, wrong, "workflows without the right head")

	items := map[string]int{longWorkflow: h.long}
	for i := range h.workflows() {
		items[h.name(i)] = h.each
	}
	for workflow, n := range items {
		_, err := wholeHistory(t.Context(), server.URL, workflow, n)
		require.NoError(t, err)
	}

	types := make(map[string]int)
	require.NoError(t, readHistory(t.Context(), server.URL, longWorkflow, func(response *v1.SubscribeResponse) (done bool) {
		for _, item := range response.GetItems() {
			switch {
			case item.GetMessage() != nil:
				types["message"]++
				require.GreaterOrEqual(t, len(item.GetMessage().GetMessage()), 50)
				require.LessOrEqual(t, len(item.GetMessage().GetMessage()), 300)
			case item.GetLog() != nil:
				types["log"]++
			case item.GetStat() != nil:
				types["stat"]++
			case item.GetProgress() != nil:
				types["progress"]++
			}
		}
		return response.GetUpToDate()
	}))
	require.Equal(t, h.long, types["message"]+types["log"]+types["stat"]+types["progress"])
	require.Len(t, types, 4)
	require.Greater(t, types["message"]+types["log"], h.long/2)
}

func TestTenWorkflowsAreFilledInAtATime(t *testing.T) {
	t.Parallel()
	lab := newLab(t)
	require.NoError(t, fill(t.Context(), lab.Pool, history{rows: 4_000, long: 1_000, each: 100}))
	for stretch, want := range map[int]int{0: 11, 100: 11, 3_000: 10, 3_500: 10} {
		var active int
		require.NoError(t, lab.Pool.QueryRow(t.Context(), `
			select count(distinct workflow_id) from (
				select workflow_id from chatfeed.items order by "_createdAt" limit 40 offset $1
			) stretch`, stretch).Scan(&active))
		require.Equal(t, want, active, "workflows active after %d rows", stretch)
	}
}

func TestFillingLeavesTheSchemaAsItWas(t *testing.T) {
	t.Parallel()
	pool := newLab(t).Pool
	before := schemaOf(t, pool)
	require.NoError(t, fill(t.Context(), pool, history{rows: 400, long: 100, each: 10}))
	require.ElementsMatch(t, before, schemaOf(t, pool))

	writer := db.NewWriter(pool)
	defer writer.Close()
	_, err := writer.Write(t.Context(), db.Message{WorkflowID: longWorkflow, Message: "one more"})
	require.NoError(t, err)
	var newest string
	require.NoError(t, pool.QueryRow(t.Context(), `
		select body->>'message' from chatfeed.items i join chatfeed.heads w on w.id = i.workflow_id and w.head = i."_createdAt"
		where w.id = $1`, longWorkflow).Scan(&newest))
	require.Equal(t, "one more", newest)
}

// schemaOf returns the definitions of indexes and constraints, and the triggers with whether they are on.
func schemaOf(t *testing.T, pool *pgxpool.Pool) []string {
	t.Helper()
	rows, err := pool.Query(t.Context(), `
		select indexdef from pg_indexes where schemaname = 'chatfeed'
		union all
		select conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid)
		from pg_constraint where connamespace = 'chatfeed'::regnamespace
		union all
		select tgrelid::regclass || ' ' || tgname || ' ' || tgenabled::text
		from pg_trigger where not tgisinternal`)
	require.NoError(t, err)
	schema, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.Greater(t, len(schema), 20)
	return schema
}
