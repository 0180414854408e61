package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"chatfeed/db"
)

// catchup measures what it costs to read history, with few rows in the tables and with many.
func catchup() Scenario {
	return Scenario{
		Name:  "catchup",
		Title: "Reading history",
		About: `What it costs to read what has been committed long ago, and that it does not cost more when the tables are
larger. The tables are filled with 100 thousand rows and with 10 million, of workflows with 1,000 items each and one with
50,000. PostgreSQL's buffers (128 MB) hold all of the smaller tables and a small part of the larger.

- **First page**: a new client follows a workflow that nobody follows, from its beginning, over a new connection;
  ` + "`first_page_*_ms`" + ` is the time from its request to the first frame with items. It covers two queries: the newest items,
  which the feed will keep, and then the oldest, which the client gets. The baseline, ` + "`raw_page_*_ms`" + `, is the second
  query alone with pgx, of another workflow. Workflows are chosen by chance; ` + "`growth_ratio`" + ` is the p50 with these tables
  by the p50 with the smaller tables, and ` + "`raw_growth_ratio`" + ` is that of the baseline.
- **Whole history**: a client reads the long workflow until it is up to date; ` + "`items_per_s`" + ` is how many items per second
  it has in its hands, decoded. The baseline, ` + "`raw_items_per_s`" + `, is the same query with the same large pages, one after the
  other, with pgx on one connection into structs; ` + "`items_vs_raw`" + ` is the ratio. Medians of several reads in turns.`,
		Run: runCatchup,
	}
}

// catchupPlan says how much is measured.
type catchupPlan struct {
	histories []history // the smaller first
	servers   int       // that are asked for first pages, one after another
	pages     int       // first pages for each server, so that no workflow is asked for twice
	reads     int       // of the whole history
}

func planCatchup(short bool) catchupPlan {
	if short {
		return catchupPlan{
			histories: []history{{rows: 4_000, long: 1_000, each: 100}, {rows: 8_000, long: 1_000, each: 100}},
			servers:   2, pages: 10, reads: 3,
		}
	}
	return catchupPlan{
		histories: []history{{rows: 100_000, long: 50_000, each: 1_000}, {rows: 10_000_000, long: 50_000, each: 1_000}},
		servers:   10, pages: 40, reads: 9,
	}
}

func runCatchup(ctx context.Context, lab *Lab) (_ *Result, err error) {
	defer func() { err = errors.Join(err, clearItems(context.WithoutCancel(ctx), lab.Pool)) }()
	plan := planCatchup(lab.Short)
	var measured []reading
	for _, h := range plan.histories {
		lab.Progress("filling the tables with %d rows", h.rows)
		if err := fill(ctx, lab.Pool, h); err != nil {
			return nil, err
		}
		if !lab.Short { // what filling has left to write would be written while we measure; it takes a superuser
			if _, err := lab.Pool.Exec(ctx, "checkpoint"); err != nil {
				return nil, fmt.Errorf("write what was filled in: %w", err)
			}
		}
		lab.Progress("reading from %d rows", h.rows)
		r, err := measureReading(ctx, lab, plan, h)
		if err != nil {
			return nil, err
		}
		measured = append(measured, r)
	}
	return catchupResult(plan, measured), nil
}

// reading is what reading from one history has taken.
type reading struct {
	page, rawPage   *histogram
	items, rawItems float64 // per second
}

func measureReading(ctx context.Context, lab *Lab, plan catchupPlan, h history) (reading, error) {
	source, err := db.NewSource(lab.Pool, db.SourceConfig{})
	if err != nil {
		return reading{}, err
	}
	r := reading{page: newHistogram(), rawPage: newHistogram()}
	chance := rand.New(rand.NewPCG(1, uint64(h.rows))) //nolint:gosec // not negative
	for range plan.servers {
		if err := r.firstPages(ctx, lab, source, plan, h, chance); err != nil {
			return reading{}, err
		}
	}
	server, err := lab.Serve(ctx)
	if err != nil {
		return reading{}, err
	}
	defer server.Kill()
	var whole, raw []time.Duration
	for range plan.reads + 1 {
		took, err := wholeHistory(ctx, server.URL, longWorkflow, h.long)
		if err != nil {
			return reading{}, err
		}
		rawTook, err := rawHistory(ctx, source, longWorkflow, h.long)
		if err != nil {
			return reading{}, err
		}
		whole, raw = append(whole, took), append(raw, rawTook)
	}
	r.items = float64(h.long) / median(whole[1:]).Seconds() // the first are to warm up
	r.rawItems = float64(h.long) / median(raw[1:]).Seconds()
	return r, nil
}

// firstPages asks a new server, which has nothing in memory, for workflows that it has not been asked for before.
func (r *reading) firstPages(
	ctx context.Context, lab *Lab, source *db.Source, plan catchupPlan, h history, chance *rand.Rand,
) error {
	server, err := lab.Serve(ctx)
	if err != nil {
		return err
	}
	defer server.Kill()
	const warmup = 8 // PostgreSQL plans a statement anew the first five times on each connection
	workflows := chance.Perm(h.workflows())[:plan.pages+warmup]
	for i, workflow := range workflows {
		took, err := firstPage(ctx, server.URL, h.name(workflow))
		if err != nil {
			return err
		}
		rawTook, err := rawPage(ctx, source, h.name(chance.IntN(h.workflows())))
		if err != nil {
			return err
		}
		if i >= warmup {
			r.page.record(took)
			r.rawPage.record(rawTook)
		}
	}
	return nil
}

func catchupResult(plan catchupPlan, measured []reading) *Result {
	result := &Result{}
	var labels []string
	var page, page99, rawPage, items, rawItems []float64
	for i, r := range measured {
		labels = append(labels, readable(float64(plan.histories[i].rows)))
		page = append(page, r.page.ms(50))
		page99 = append(page99, r.page.ms(99))
		rawPage = append(rawPage, r.rawPage.ms(50))
		items = append(items, r.items)
		rawItems = append(rawItems, r.rawItems)
		result.Runs = append(result.Runs, Run{Headline: i == len(measured)-1, Values: []Value{
			{Key: "rows", Number: float64(plan.histories[i].rows)},
			{Key: "first_page_p50_ms", Number: page[i]},
			{Key: "first_page_p99_ms", Number: page99[i]},
			{Key: "raw_page_p50_ms", Number: rawPage[i]},
			{Key: "raw_page_p99_ms", Number: r.rawPage.ms(99)},
			{Key: "growth_ratio", Number: page[i] / page[0]},
			{Key: "raw_growth_ratio", Number: rawPage[i] / rawPage[0]},
			{Key: "items_per_s", Number: items[i]},
			{Key: "raw_items_per_s", Number: rawItems[i]},
			{Key: "items_vs_raw", Number: items[i] / rawItems[i]},
		}})
	}
	result.Plots = []Plot{
		{
			Name: "catchup_first_page", Title: "First page of a history", X: "rows in the tables", Y: "ms", Bars: true, Labels: labels,
			Series: []Series{{"chatfeed, p50", page}, {"chatfeed, p99", page99}, {"pgx, p50", rawPage}},
		},
		{
			Name: "catchup_whole_history", Title: "Whole history", X: "rows in the tables", Y: "items per second", Bars: true, Labels: labels,
			Series: []Series{{"chatfeed", items}, {"pgx", rawItems}},
		},
	}
	return result
}
