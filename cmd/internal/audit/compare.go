package audit

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"
)

// tries is how often in a row reading the table may fail: the database may have just restarted, and the pool may be full of
// broken connections.
const tries = 20

// heads returns the newest item of each workflow in microseconds; one without items is absent.
func (a *Audit) heads(ctx context.Context) (map[string]int64, error) {
	heads := make(map[string]int64, len(a.cfg.Workflows))
	err := a.retry(ctx, func() error {
		ctx, cancel := context.WithTimeout(ctx, transactionTimeout)
		defer cancel()
		rows, err := a.cfg.Pool.Query(ctx,
			`select id, head from chatfeed.heads where id = any ($1::text[]) and head is not null`, a.cfg.Workflows)
		if err != nil {
			return err
		}
		var id string
		var head time.Time
		_, err = pgx.ForEachRow(rows, []any{&id, &head}, func() error {
			heads[id] = head.UnixMicro()
			return nil
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the heads of workflows: %w", err)
	}
	return heads, nil
}

// compare compares a workflow's rows with its clients and the ledger, and returns the number of rows.
func (a *Audit) compare(ctx context.Context, workflow string, head int64, clients []*client) (items int, err error) {
	answered := clients[:0:0]
	for _, c := range clients {
		if c.answered.Load() {
			answered = append(answered, c)
		} else {
			c.findings.add(Finding{Kind: Unanswered, Transport: c.transport.Name, Client: c.number, Workflow: workflow})
		}
	}
	ledger := &a.writing.ledger
	chat := newTableChat(workflow)
	var last time.Time // of the rows that were compared; after a failure the rest is read
	err = a.retry(ctx, func() error {
		chat.reads++
		return a.rows(ctx, workflow, last, func(row item, at time.Time, body, metadata []byte) {
			items++
			last = at
			chat.add(row)
			if ledger.rolledBack(row, &a.findings) {
				return // clients that have received it have an unknown item
			}
			ledger.pass(row, body, metadata, &a.findings)
			for _, c := range answered {
				c.pass(row, head)
			}
		})
	})
	if err != nil {
		return items, fmt.Errorf("read the items of workflow %q: %w", workflow, err)
	}
	chat.late(ledger, &a.findings)
	for _, c := range answered {
		c.passUnknown(math.MaxInt64)
		c.passReplaced(chat)
		c.passGaps(chat)
		c.compareShown(chat)
	}
	return items, nil
}

// rows reads a workflow's items after a time, in order.
func (a *Audit) rows(
	ctx context.Context, workflow string, after time.Time, pass func(row item, at time.Time, body, metadata []byte),
) error {
	rows, err := a.cfg.Pool.Query(ctx, `
		select type, id, "_createdAt", body::text, metadata::text
		from chatfeed.items where workflow_id = $1 and "_createdAt" > $2 order by "_createdAt"`, workflow, after)
	if err != nil {
		return err
	}
	row := item{workflow: workflow}
	var at time.Time
	var body, metadata []byte
	_, err = pgx.ForEachRow(rows, []any{&row.kind, &row.id, &at, &body, &metadata}, func() error {
		row.at = at.UnixMicro()
		if row.sum, row.shown, err = a.sums.row(row.kind, body, metadata); err != nil {
			return fmt.Errorf("%s %s: %w", row.kind, row.id, err)
		}
		pass(row, at, body, metadata)
		return nil
	})
	return err
}

// row is the sum of an item in the table, and what a fold needs of it.
func (s sums) row(kind string, body, metadata []byte) (sum uint64, shown []byte, err error) {
	var fields map[string]any
	if err := decodeJSON(body, &fields); err != nil {
		return 0, nil, err
	}
	if metadata != nil {
		var value any
		if err := decodeJSON(metadata, &value); err != nil {
			return 0, nil, err
		}
		sum = s.jsonMetadata(value)
	}
	return s.contents(kind, s.object(fields), sum), s.jsonShown(kind, fields), nil
}

// retry calls read until it succeeds, ctx ends, or it has failed often in a row.
func (a *Audit) retry(ctx context.Context, read func() error) error {
	for try := 1; ; try++ {
		err := read()
		if err == nil || try == tries || ctx.Err() != nil {
			return err
		}
		a.cfg.Log.DebugContext(ctx, "reading the table failed; retrying", "error", err)
		select {
		case <-ctx.Done():
			return err
		case <-time.After(min(time.Duration(try)*shortestPause, longestPause)):
		}
	}
}
