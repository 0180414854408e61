package audit_test

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"chatfeed/cmd/internal/audit"
	"chatfeed/db"
	"chatfeed/feed"
)

// faultySource is a source that gives other items than it has.
type faultySource struct {
	feed.Source
	change func(workflow string, items []*feed.Item) []*feed.Item
}

func (l faultySource) After(ctx context.Context, at []feed.Position, window feed.Window) ([]feed.Page, error) {
	pages, err := l.Source.After(ctx, at, window)
	return l.alter(at, pages), err
}

func (l faultySource) Before(ctx context.Context, at []feed.Position, window feed.Window) ([]feed.Page, error) {
	pages, err := l.Source.Before(ctx, at, window)
	return l.alter(at, pages), err
}

func (l faultySource) alter(at []feed.Position, pages []feed.Page) []feed.Page {
	for i := range pages {
		pages[i].Items = l.change(at[i].WorkflowID, pages[i].Items)
	}
	return pages
}

func altering(change func(workflow string, items []*feed.Item) []*feed.Item) func(feed.Source) feed.Source {
	return func(source feed.Source) feed.Source { return faultySource{source, change} }
}

// other is an item like another, as the feed allows no copies of items.
func other(i *feed.Item, change func(*feed.Item)) *feed.Item {
	o := &feed.Item{WorkflowID: i.WorkflowID, ID: i.ID, Type: i.Type, CreatedAt: i.CreatedAt, Body: i.Body, Metadata: i.Metadata}
	change(o)
	return o
}

// fault is something wrong with the items around the one at index 9, item_10, and what is found of it.
type fault struct {
	name   string
	change func(items []*feed.Item) []*feed.Item
	// found are the findings of each client, where an item's index is in place of its time and of its cursor; a number
	// with a fraction of five is a microsecond after the item.
	found []found
}

type found struct {
	kind     audit.Kind
	kindOf   string
	id       string
	at, from float64
}

func changed(change func(*feed.Item)) func([]*feed.Item) []*feed.Item { return changedAt(9, change) }

func changedAt(index int, change func(*feed.Item)) func([]*feed.Item) []*feed.Item {
	return func(items []*feed.Item) []*feed.Item {
		items[index] = other(items[index], change)
		return items
	}
}

// body changes a text of the body of the item at an index.
func body(index int, from, to string) func([]*feed.Item) []*feed.Item {
	return changedAt(index, func(i *feed.Item) { i.Body = swapText(i.Body, from, to) })
}

func metadata(index int, from, to string) func([]*feed.Item) []*feed.Item {
	return changedAt(index, func(i *feed.Item) { i.Metadata = swapText(i.Metadata, from, to) })
}

func swapText(text []byte, from, to string) []byte {
	if !bytes.Contains(text, []byte(from)) {
		panic(fmt.Sprintf("%s does not contain %s", text, from))
	}
	return bytes.Replace(text, []byte(from), []byte(to), 1)
}

func different(index int, kindOf string) []found {
	return []found{{audit.Different, kindOf, fmt.Sprintf("item_%02d", index+1), float64(index), float64(index - 1)}}
}

// faults are of every kind. The items are in turn a message, a log, a stat and a progress; the tenth is a log.
func faults() []fault {
	return []fault{
		{"none", func(items []*feed.Item) []*feed.Item { return items }, nil},
		{
			"dropped", func(items []*feed.Item) []*feed.Item { return slices.Delete(items, 9, 10) },
			[]found{{audit.Lost, "log", "item_10", 9, 8}},
		},
		{
			"first dropped", func(items []*feed.Item) []*feed.Item { return items[1:] },
			[]found{{audit.Lost, "message", "item_01", 0, -1}},
		},
		{
			"repeated", func(items []*feed.Item) []*feed.Item { return slices.Insert(items, 9, items[9]) },
			[]found{{audit.Repeated, "log", "item_10", 9, 9}},
		},
		{
			"repeated later", func(items []*feed.Item) []*feed.Item { return slices.Insert(items, 14, items[9]) },
			[]found{{audit.Repeated, "log", "item_10", 9, 13}},
		},
		{
			"swapped", func(items []*feed.Item) []*feed.Item {
				items[9], items[10] = items[10], items[9]
				return items
			},
			[]found{{audit.Disorder, "log", "item_10", 9, 10}},
		},
		{
			"invented", func(items []*feed.Item) []*feed.Item {
				return slices.Insert(items, 10, other(items[9], func(i *feed.Item) { i.ID = "invented"; i.CreatedAt++ }))
			},
			[]found{{audit.Unknown, "log", "invented", 9.5, 9}},
		},
		{
			"invented at the end", func(items []*feed.Item) []*feed.Item {
				return append(items, other(items[9], func(i *feed.Item) { i.ID = "invented"; i.CreatedAt = items[19].CreatedAt + 1 }))
			},
			[]found{{audit.Unknown, "log", "invented", 19.5, 19}},
		},
		{
			"of another workflow", changed(func(i *feed.Item) { i.WorkflowID = "none" }),
			[]found{{audit.Unknown, "log", "item_10", 9, 8}, {audit.Lost, "log", "item_10", 9, 8}},
		},
		{
			"with another time", changed(func(i *feed.Item) { i.CreatedAt++ }),
			[]found{{audit.Lost, "log", "item_10", 9, 8}, {audit.Unknown, "log", "item_10", 9.5, 8}},
		},
		{
			"with another id", changed(func(i *feed.Item) { i.ID = "other" }),
			[]found{{audit.Lost, "log", "item_10", 9, 8}, {audit.Unknown, "log", "other", 9, 8}},
		},
		{
			"of another type", changed(func(i *feed.Item) { i.Type = "message" }),
			[]found{{audit.Lost, "log", "item_10", 9, 8}, {audit.Unknown, "message", "item_10", 9, 8}},
		},
		{"message.message", body(8, "text 09", "text 0g"), different(8, "message")},
		{"message.role", body(8, `"user"`, `"User"`), different(8, "message")},
		{"message.status", body(8, `"done"`, `""`), different(8, "message")},
		{"log.message", body(9, "text 10", ""), different(9, "log")},
		{"log.level", body(9, `"warn"`, `"info"`), different(9, "log")},
		{"stat.processingTime", body(10, "0.1", "0.10000000000000002"), different(10, "stat")},
		{"stat.tokenCount", body(10, "11", "12"), different(10, "stat")},
		{"progress.progress", body(11, "12.5", "0"), different(11, "progress")},
		{"progress.status", body(11, `"reading"`, `"reading "`), different(11, "progress")},
		{"progress.result", body(11, "text 12", "text  12"), different(11, "progress")},
		{"fields exchanged", changedAt(8, func(i *feed.Item) {
			i.Body = []byte(`{"message": "user", "role": "text 09", "status": "done"}`)
		}), different(8, "message")},
		{"metadata missing", changedAt(8, func(i *feed.Item) { i.Metadata = nil }), different(8, "message")},
		{"metadata added", changed(func(i *feed.Item) { i.Metadata = []byte("null") }), different(9, "log")},
		{"metadata string", metadata(8, `"ä"`, `"a"`), different(8, "message")},
		{"metadata number", metadata(8, `1.5`, `1.25`), different(8, "message")},
		{"metadata bool", metadata(8, `true`, `false`), different(8, "message")},
		{"metadata null", metadata(8, `null`, `0`), different(8, "message")},
		{"metadata order", metadata(8, `[1, 2]`, `[2, 1]`), different(8, "message")},
		{"metadata length", metadata(8, `[1, 2]`, `[1]`), different(8, "message")},
		{"metadata nesting", metadata(8, `[1, 2]`, `[1, [2]]`), different(8, "message")},
		{"metadata key", metadata(8, `"b"`, `"c"`), different(8, "message")},
	}
}

func TestEachFaultIsFoundOnEveryTransport(t *testing.T) {
	t.Parallel()
	lab := newLab(t)
	alter := make(map[string]fault)
	var workflows []string
	for _, f := range faults() {
		alter[f.name] = f
		workflows = append(workflows, f.name)
		lab.append(t, twenty(f.name)...)
	}
	lab.source = altering(func(workflow string, items []*feed.Item) []*feed.Item {
		if len(items) != 20 { // a part, or nothing
			return items
		}
		return alter[workflow].change(items)
	})
	lab.serve(t)
	report := finish(t, lab.start(t, audit.Config{Workflows: workflows, Streams: 2}))
	require.Equal(t, 20*len(workflows), report.Items)

	var want []audit.Finding
	for n, workflow := range workflows {
		stamps := lab.stamps(t, workflow)
		for _, transport := range audit.Transports() {
			for stream := range 2 {
				for _, f := range alter[workflow].found {
					want = append(want, audit.Finding{
						Kind: f.kind, Transport: transport.Name, Client: 2*n + stream, Workflow: workflow, Type: f.kindOf, ID: f.id,
						CreatedAt: moment(stamps, f.at), Cursor: moment(stamps, f.from),
					})
				}
			}
		}
	}
	order := cmpopts.SortSlices(func(a, b audit.Finding) int {
		return cmp.Or(cmp.Compare(a.Workflow, b.Workflow), cmp.Compare(a.Transport, b.Transport), a.Client-b.Client,
			cmp.Compare(a.Kind, b.Kind))
	})
	require.Empty(t, gocmp.Diff(want, report.Findings, order), "- want, + got")
}

// twenty are the items that faults are about.
func twenty(workflow string) []db.Item {
	var items []db.Item
	for n := range 20 {
		id, text := fmt.Sprintf("item_%02d", n+1), fmt.Sprintf("text %02d", n+1)
		switch n % 4 {
		case 0:
			items = append(items, db.Message{
				WorkflowID: workflow, ID: id, Role: "user", Message: text, Status: "done",
				Metadata: []byte(`{"a": [1, 2], "b": "ä", "n": 1.5, "t": true, "z": null}`),
			})
		case 1:
			items = append(items, db.Log{WorkflowID: workflow, ID: id, Level: "warn", Message: text})
		case 2:
			items = append(items, db.Stat{WorkflowID: workflow, ID: id, ProcessingTime: 0.1, TokenCount: int64(n + 1)})
		case 3:
			items = append(items, db.Progress{WorkflowID: workflow, ID: id, Progress: float64(n) + 1.5, Status: "reading", Result: text})
		}
	}
	items[11] = db.Progress{WorkflowID: workflow, ID: "item_12", Progress: 12.5, Status: "reading", Result: "text 12"}
	return items
}

func (l *lab) append(t testing.TB, items ...db.Item) {
	t.Helper()
	require.NoError(t, pgx.BeginFunc(t.Context(), l.pool, func(tx pgx.Tx) error {
		_, err := db.Append(t.Context(), tx, items...)
		return err
	}))
}

// stamps are the times of a workflow's items in microseconds, in order.
func (l *lab) stamps(t testing.TB, workflow string) []int64 {
	t.Helper()
	rows, err := l.pool.Query(t.Context(), `select "_createdAt" from chatfeed.items where workflow_id = $1 order by 1`, workflow)
	require.NoError(t, err)
	stamps, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (int64, error) {
		var at time.Time
		err := row.Scan(&at)
		return at.UnixMicro(), err
	})
	require.NoError(t, err)
	return stamps
}

// moment is the time of an item by its index, or a microsecond after it, as findings have it. Before the first it is zero.
func moment(stamps []int64, index float64) string {
	if index < 0 {
		return "0.000000"
	}
	at := stamps[int(index)]
	if index > float64(int(index)) {
		at++
	}
	return fmt.Sprintf("%d.%06d", at/1_000_000, at%1_000_000)
}
