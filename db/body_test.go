package db_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"chatfeed/db"
	"chatfeed/feed"
	"chatfeed/internal/dbtest"
)

// The source makes the same body as the view and as PostgreSQL.
func TestABodyIsTheSameAsInTheView(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := dbtest.Pool(t)
	var every strings.Builder // each byte that ASCII has but NUL, and more than ASCII has
	for c := rune(1); c < 0x80; c++ {
		every.WriteRune(c)
	}
	every.WriteString("äöü \u007f \u0080 \u2028 \ufeff \U0001F600")
	texts := []string{"", " ", `"`, `\`, "\n", `\u0000`, every.String(), strings.Repeat(every.String(), 2_000)}
	label := every.String()
	var items []db.Item
	for _, text := range texts {
		items = append(items,
			db.Message{WorkflowID: "wf", Role: label, Message: text, Status: label},
			db.Log{WorkflowID: "wf", Level: label, Message: text},
			db.Progress{WorkflowID: "wf", Progress: 5, Status: label, Result: text},
			db.Message{WorkflowID: "wf", Message: text, Replaces: "first", Metadata: []byte(`{"a": [1, "b"]}`)},
			db.Progress{WorkflowID: "wf", Progress: 5, Result: text},
			db.Delta{WorkflowID: "wf", MessageID: "m", Part: int64(len(items)), At: 7, Delta: text},
			db.Tool{WorkflowID: "wf", CallID: fmt.Sprint(len(items)), Name: label, State: db.OutputError, Input: []byte(`{"a": [1, null]}`), Error: text})
	}
	for _, number := range []float64{
		0, 1, 0.5, 100, 1.0 / 3, 0.1 + 0.2, 1e-3, 1e-4, 9.99e-5, 1e-5, 1.5e-7, 123456789.125, 1e14, 999999999999999, 1e15, 1.25e15, 1e16, 1e21, 1e22,
		math.MaxFloat64, math.SmallestNonzeroFloat64, 1 << 53,
	} {
		items = append(items, db.Stat{WorkflowID: "wf", ProcessingTime: number, TokenCount: math.MaxInt32})
		if number <= 100 {
			items = append(items, db.Progress{WorkflowID: "wf", Progress: number})
		}
	}
	items = append(items, db.Stat{WorkflowID: "wf", ProcessingTime: 1}, db.Stat{WorkflowID: "wf", TokenCount: 1})
	writer := db.NewWriter(pool)
	defer writer.Close()
	require.NoError(t, failure(writer.Write(ctx, items...)))

	wanted := column(ctx, t, pool, `
		select type || ' ' || body::text || coalesce(' ' || metadata::text, '') from chatfeed.items order by "_createdAt"`)
	require.Len(t, wanted, len(items))
	pages, err := newSource(t, pool, db.SourceConfig{}).After(ctx,
		[]feed.Position{{WorkflowID: "wf"}}, feed.Window{Items: len(items), Bytes: 64 << 20})
	require.NoError(t, err)
	require.Len(t, pages[0].Items, len(items))
	for i, item := range pages[0].Items {
		got := fmt.Sprintf("%s %s", item.Type, item.Body)
		if item.Metadata != nil {
			got += " " + string(item.Metadata)
		}
		require.Equal(t, wanted[i], got)
	}
}
