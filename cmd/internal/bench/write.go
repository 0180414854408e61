package bench

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"chatfeed/db"
)

// write compares how many rows per second become durable when many callers write one row at a time.
func write() Scenario {
	return Scenario{
		Name:  "write",
		Title: "Writing",
		About: `Rows per second that are durable when callers write one row at a time, each to a workflow of its own.
**notified**: each caller commits its row into ` + "`chatfeed.messages`" + ` on a connection of its own. **plain**: the same into a table
of the same columns, limits and indexes without any triggers, whose rows are neither stamped in the order of their commits
nor announced; the baseline. **writer**: all callers share one ` + "`db.Writer`" + `, which commits in groups what they have
queued, in order and announced. Statements are prepared and connections warm. The three take turns of a second, and each
figure is the median of its turns.`,
		Run: runWrite,
	}
}

// writeRow commits a row of one caller.
type writeRow func(ctx context.Context, caller int) error

func runWrite(ctx context.Context, lab *Lab) (*Result, error) {
	result := &Result{}
	chart := Plot{
		Name: "write", Title: "Durable rows per second", X: "callers", Y: "rows per second", Bars: true,
		Series: []Series{{Name: "plain table"}, {Name: "notified"}, {Name: "db.Writer"}},
	}
	counts := []int{1, 8, 32, 128}
	if lab.Short {
		counts = []int{1, 4}
	}
	drop, err := lab.plainMessages(ctx)
	if err != nil {
		return nil, err
	}
	defer drop()
	for _, callers := range counts {
		plain, notified, writer, err := lab.compareWrites(ctx, callers)
		if err != nil {
			return nil, fmt.Errorf("%d callers: %w", callers, err)
		}
		result.Runs = append(result.Runs, Run{
			Headline: callers == 32 || lab.Short && callers == 4,
			Values: []Value{
				{Key: "callers", Number: float64(callers)},
				{Key: "notified_per_s", Number: notified},
				{Key: "plain_per_s", Number: plain},
				{Key: "writer_per_s", Number: writer},
				{Key: "writer_vs_plain", Number: writer / plain},
				{Key: "writer_vs_notified", Number: writer / notified},
			},
		})
		chart.Labels = append(chart.Labels, strconv.Itoa(callers))
		for i, rate := range []float64{plain, notified, writer} {
			chart.Series[i].Values = append(chart.Series[i].Values, rate)
		}
	}
	result.Plots = []Plot{chart}
	return result, nil
}

// plainMessages makes the table without triggers. The caller must call drop.
func (l *Lab) plainMessages(ctx context.Context) (drop func(), err error) {
	if _, err := l.Pool.Exec(ctx, `create schema if not exists chatfeed_bench`); err != nil {
		return nil, fmt.Errorf("make the schema chatfeed_bench: %w", err)
	}
	drop = func() {
		// Also when ctx has ended: the database may be permanent.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		_, _ = l.Pool.Exec(ctx, `drop schema chatfeed_bench cascade`)
	}
	// The limits as ordinary constraints.
	if _, err := l.Pool.Exec(ctx, `create table chatfeed_bench.messages (like chatfeed.messages including all,
		check (octet_length(workflow_id) between 1 and 1000), check (octet_length(id) between 1 and 200),
		check (octet_length(message) <= 1048576), check (octet_length(role) <= 1000 and octet_length(status) <= 1000),
		check (octet_length(metadata::text) <= 131072))`); err != nil {
		drop()
		return nil, fmt.Errorf("make the plain table: %w", err)
	}
	return drop, nil
}

// compareWrites alternates between three ways of writing and returns the rate of each, per second.
func (l *Lab) compareWrites(ctx context.Context, callers int) (plain, notified, grouped float64, err error) {
	turn, rounds := time.Second, 5
	if l.Short {
		turn, rounds = 50*time.Millisecond, 1
	}
	pool, err := l.pool(ctx, callers)
	if err != nil {
		return 0, 0, 0, err
	}
	defer pool.Close()
	writer := db.NewWriter(l.Pool)
	defer writer.Close()
	workflows := make([]string, callers)
	for i := range workflows {
		workflows[i] = "wf_write_" + strconv.Itoa(i)
	}
	const text = "a word or two"
	insert := func(table string) writeRow {
		statement := `insert into ` + table + `.messages (workflow_id, message) values ($1, $2)`
		return func(ctx context.Context, caller int) error {
			_, err := pool.Exec(ctx, statement, workflows[caller], text)
			return err
		}
	}
	ways := []writeRow{
		insert("chatfeed_bench"),
		insert("chatfeed"),
		func(ctx context.Context, caller int) error {
			_, err := writer.Write(ctx, db.Message{WorkflowID: workflows[caller], Message: text})
			return err
		},
	}
	rates := make([][]float64, len(ways))
	for round := range rounds + 1 {
		for i, way := range ways {
			rate, err := writeTurn(ctx, callers, turn, way)
			if err != nil {
				return 0, 0, 0, err
			}
			if round > 0 { // the first is a warm-up
				rates[i] = append(rates[i], rate)
			}
		}
		l.Progress("write: %d callers, round %d of %d", callers, round, rounds)
	}
	return median(rates[0]), median(rates[1]), median(rates[2]), nil
}

// writeTurn makes callers write one row after another for a while and returns the rows per second.
func writeTurn(ctx context.Context, callers int, turn time.Duration, one writeRow) (float64, error) {
	rows := make([]int, callers)
	calling, ctx := errgroup.WithContext(ctx)
	start := time.Now()
	for caller := range callers {
		calling.Go(func() error {
			n := 0
			for ; time.Since(start) < turn; n++ {
				if err := one(ctx, caller); err != nil {
					return err
				}
			}
			rows[caller] = n
			return nil
		})
	}
	if err := calling.Wait(); err != nil {
		return 0, err
	}
	total := 0
	for _, n := range rows {
		total += n
	}
	if total == 0 {
		return 0, fmt.Errorf("no row was written in a turn of %v", turn)
	}
	return float64(total) / time.Since(start).Seconds(), nil
}
