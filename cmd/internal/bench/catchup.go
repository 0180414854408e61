package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"chatfeed/db"
	"chatfeed/feed"
)

// catchup measures the cost of reading history, with few rows in the tables and with many.
func catchup() Scenario {
	return Scenario{
		Name:  "catchup",
		Title: "Reading history",
		About: `What it costs to read what has been committed long ago, that it does not cost more when the tables are
larger, and that large bodies cost what PostgreSQL needs to read them. The tables are filled with 100 thousand rows and with
10 million, of workflows with 1,000 items each and one with 50,000, all with texts of 50 to 300 bytes. PostgreSQL's buffers
(128 MB) hold all of the smaller tables and a small part of the larger. Then they are filled with messages of 100 KiB
(` + "`body_bytes`" + `), 2,000 in the long workflow, and of 1 MiB, 400 in the long workflow.

- **First page**: a new client follows a workflow that nobody follows, from its beginning, over a new connection;
  ` + "`first_page_*_ms`" + ` is the time from its request to the first frame with items. It covers what the feed reads to keep,
  which is the head and the newest items, and then the oldest items, which the client gets. The baseline,
  ` + "`raw_page_*_ms`" + `, is the last query alone with pgx, of another workflow. Workflows are chosen by random;
  ` + "`growth_ratio`" + ` is the p50 with these tables by the p50 with the smallest tables of the same bodies, and
  ` + "`raw_growth_ratio`" + ` is that of the baseline.
- **Whole history**: a client reads the long workflow until it is up to date, over Connect; ` + "`items_per_s`" + ` is how many items
  per second it has in its hands, decoded. The baseline, ` + "`raw_items_per_s`" + `, is the same query with the same large pages, one
  after the other, with pgx on one connection into structs; ` + "`items_vs_raw`" + ` is the ratio.
- **Whole history, times**: ` + "`whole_s`" + ` is the time of the same client, and ` + "`rest_s`" + ` that of one that reads one answer over REST to
  its end. The baseline, ` + "`plain_s`" + `, is one query with pgx for the same rows, their columns as they are, in order;
  ` + "`whole_vs_plain`" + ` and ` + "`rest_vs_plain`" + ` are how many times as long it takes.

The reads of whole histories take turns, and their figures are medians.`,
		Run: runCatchup,
	}
}

// catchupPlan is how much is measured.
type catchupPlan struct {
	histories []history // smallest first
	servers   int       // from which first pages are read, one server after another
	pages     int       // first pages per server, so that no workflow is read twice
	reads     int       // of the whole history
	large     int       // of the whole history, with large bodies
}

func planCatchup(short bool) catchupPlan {
	if short {
		return catchupPlan{
			histories: []history{
				{rows: 4_000, long: 1_000, each: 100},
				{rows: 8_000, long: 1_000, each: 100},
				{rows: 300, long: 100, each: 10, body: 100 << 10},
			},
			servers: 2, pages: 10, reads: 3, large: 2,
		}
	}
	return catchupPlan{
		histories: []history{
			{rows: 100_000, long: 50_000, each: 1_000},
			{rows: 10_000_000, long: 50_000, each: 1_000},
			{rows: 4_000, long: 2_000, each: 40, body: 100 << 10},
			{rows: 800, long: 400, each: 8, body: 1 << 20},
		},
		servers: 10, pages: 40, reads: 9, large: 5,
	}
}

func runCatchup(ctx context.Context, lab *Lab) (_ *Result, err error) {
	defer func() { err = errors.Join(err, clearItems(context.WithoutCancel(ctx), lab.Pool)) }()
	plan := planCatchup(lab.Short)
	var measured []reading
	for _, h := range plan.histories {
		lab.Progress("filling the tables with %d rows%s", h.rows, h.of())
		if err := fill(ctx, lab.Pool, h); err != nil {
			return nil, err
		}
		if !lab.Short { // otherwise pages dirtied by filling would be written during the measurement; needs a superuser
			if _, err := lab.Pool.Exec(ctx, "checkpoint"); err != nil {
				return nil, fmt.Errorf("write what was filled in: %w", err)
			}
		}
		lab.Progress("reading from %d rows%s", h.rows, h.of())
		r, err := measureReading(ctx, lab, plan, h)
		if err != nil {
			return nil, err
		}
		measured = append(measured, r)
	}
	return catchupResult(plan, measured), nil
}

// reading is the times of reading from one history.
type reading struct {
	page, rawPage           *histogram
	whole, rest, raw, plain time.Duration // of the whole history; raw is page by page
}

func measureReading(ctx context.Context, lab *Lab, plan catchupPlan, h history) (reading, error) {
	source, err := db.NewSource(lab.Pool, db.SourceConfig{})
	if err != nil {
		return reading{}, err
	}
	r := reading{page: newHistogram(), rawPage: newHistogram()}
	random := rand.New(rand.NewPCG(1, uint64(h.rows))) //nolint:gosec // not negative
	for range plan.servers {
		if err := r.firstPages(ctx, lab, source, plan, h, random); err != nil {
			return reading{}, err
		}
	}
	return r, r.wholeHistories(ctx, lab, source, plan, h)
}

// wholeHistories alternates between the ways of reading the long workflow.
func (r *reading) wholeHistories(ctx context.Context, lab *Lab, source feed.Source, plan catchupPlan, h history) error {
	server, err := lab.Serve(ctx)
	if err != nil {
		return err
	}
	defer server.Kill()
	ways := []struct {
		median *time.Duration
		read   func() (time.Duration, error)
	}{
		{&r.whole, func() (time.Duration, error) { return wholeHistory(ctx, server.URL, longWorkflow, h.long) }},
		{&r.rest, func() (time.Duration, error) { return wholeREST(ctx, server.URL, longWorkflow, h.long) }},
		{&r.raw, func() (time.Duration, error) { return rawHistory(ctx, source, longWorkflow, h.long) }},
		{&r.plain, func() (time.Duration, error) { return plainHistory(ctx, lab.Pool, longWorkflow, h.long) }},
	}
	turns := plan.reads
	if h.body > 0 {
		turns = plan.large
	}
	took := make([][]time.Duration, len(ways))
	for turn := range turns + 1 {
		for i, way := range ways {
			one, err := way.read()
			if err != nil {
				return err
			}
			if turn > 0 { // the first is a warm-up
				took[i] = append(took[i], one)
			}
		}
	}
	for i, way := range ways {
		*way.median = median(took[i])
	}
	return nil
}

// firstPages reads workflows that were not read before from a new server, which has nothing in memory.
func (r *reading) firstPages(
	ctx context.Context, lab *Lab, source *db.Source, plan catchupPlan, h history, random *rand.Rand,
) error {
	server, err := lab.Serve(ctx)
	if err != nil {
		return err
	}
	defer server.Kill()
	const warmup = 8 // PostgreSQL plans a statement again the first five times on each connection
	workflows := random.Perm(h.workflows())[:plan.pages+warmup]
	for i, workflow := range workflows {
		took, err := firstPage(ctx, server.URL, h.name(workflow))
		if err != nil {
			return err
		}
		rawTook, err := rawPage(ctx, source, h.name(random.IntN(h.workflows())))
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
	var few, large wholePlot
	var labels []string
	var page, page99, rawPage []float64
	smallest := measured[0]
	for i, r := range measured {
		h := plan.histories[i]
		if i > 0 && h.body != plan.histories[i-1].body {
			smallest = r
		}
		items, rawItems := float64(h.long)/r.whole.Seconds(), float64(h.long)/r.raw.Seconds()
		result.Runs = append(result.Runs, Run{Headline: h.body == 0 && (i == len(measured)-1 || plan.histories[i+1].body > 0), Values: []Value{
			{Key: "rows", Number: float64(h.rows)},
			{Key: "body_bytes", Number: float64(cmp.Or(h.body, smallBody))},
			{Key: "first_page_p50_ms", Number: r.page.ms(50)},
			{Key: "first_page_p99_ms", Number: r.page.ms(99)},
			{Key: "raw_page_p50_ms", Number: r.rawPage.ms(50)},
			{Key: "raw_page_p99_ms", Number: r.rawPage.ms(99)},
			{Key: "growth_ratio", Number: r.page.ms(50) / smallest.page.ms(50)},
			{Key: "raw_growth_ratio", Number: r.rawPage.ms(50) / smallest.rawPage.ms(50)},
			{Key: "items_per_s", Number: items},
			{Key: "raw_items_per_s", Number: rawItems},
			{Key: "items_vs_raw", Number: items / rawItems},
			{Key: "whole_s", Number: r.whole.Seconds()},
			{Key: "rest_s", Number: r.rest.Seconds()},
			{Key: "plain_s", Number: r.plain.Seconds()},
			{Key: "whole_vs_plain", Number: r.whole.Seconds() / r.plain.Seconds()},
			{Key: "rest_vs_plain", Number: r.rest.Seconds() / r.plain.Seconds()},
		}})
		if h.body > 0 {
			large.add(fmt.Sprintf("%s × %d KiB", readable(float64(h.long)), h.body>>10), r)
			continue
		}
		few.add(readable(float64(h.rows))+" rows", r)
		labels = append(labels, readable(float64(h.rows)))
		page, page99, rawPage = append(page, r.page.ms(50)), append(page99, r.page.ms(99)), append(rawPage, r.rawPage.ms(50))
	}
	result.Plots = []Plot{
		{
			Name: "catchup_first_page", Title: "First page of a history", X: "rows in the tables", Y: "ms", Bars: true, Labels: labels,
			Series: []Series{{"chatfeed, p50", page}, {"chatfeed, p99", page99}, {"pgx, p50", rawPage}},
		},
		few.plot("catchup_whole_history", "Whole history"),
		large.plot("catchup_large_bodies", "Whole history of large bodies"),
	}
	return result
}

// wholePlot collects the times of whole histories.
type wholePlot struct {
	labels             []string
	whole, rest, plain []float64 // s
}

func (p *wholePlot) add(label string, r reading) {
	p.labels = append(p.labels, label)
	p.whole, p.rest, p.plain = append(p.whole, r.whole.Seconds()), append(p.rest, r.rest.Seconds()), append(p.plain, r.plain.Seconds())
}

func (p *wholePlot) plot(name, title string) Plot {
	return Plot{
		Name: name, Title: title, X: "what is in the tables, or in the history", Y: "s", Bars: true, Labels: p.labels,
		Series: []Series{{"Connect", p.whole}, {"REST", p.rest}, {"one query with pgx", p.plain}},
	}
}
