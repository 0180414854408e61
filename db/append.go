package db

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
)

// Written is the result of writing one item.
type Written struct {
	ID      string
	Already bool // the workflow already had an item of this type and ID, which was left unchanged
}

// Append writes items in the caller's transaction, so that they become visible together with its other writes, or
// not at all. It returns the result for each item, in their order. The items of one workflow keep the given order. An item
// whose ID the workflow already has is left unchanged, so Append may be repeated after a failure with an unknown outcome.
//
// From the call until the transaction ends, other writers of the same workflows wait: append last, and commit soon. A
// transaction that appends more than once should do so in the order of the workflow ids, or it may deadlock with another
// and fail with SQLSTATE 40P01. In a repeatable read or serializable transaction, items are stamped up to a tenth of a
// second ahead of the clock, because the snapshot does not show which stamps they must come after.
//
// An [InvalidItemError] leaves the transaction usable; any other error comes from PostgreSQL and has aborted it.
func Append(ctx context.Context, tx pgx.Tx, items ...Item) ([]Written, error) {
	rows, err := checked(items)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	statements := plan(rows)
	var p pipeline
	if len(statements) > 1 {
		p.lock = names(rows)
	}
	p.insert(statements)
	if err := tx.SendBatch(ctx, &p.Batch).Close(); err != nil {
		return nil, fmt.Errorf("append: %w", explain(err))
	}
	written := make([]Written, len(items))
	p.report(statements, func(index int, id string, already bool) { written[index] = Written{id, already} })
	return written, nil
}

// statement is rows of one type, which one insert writes.
type statement []row

// plan orders rows by workflow, so that locks are always taken in the same order, and groups them into few statements. The
// rows of one workflow keep their order: a statement takes from each workflow only rows that overtake none.
func plan(rows []row) []statement {
	rows = slices.Clone(rows)
	slices.SortStableFunc(rows, func(a, b row) int { return cmp.Compare(a.workflowID, b.workflowID) })
	var statements []statement
	for len(rows) > 0 {
		kind := rows[0].kind()
		var taken statement
		left := rows[:0]
		for i, r := range rows {
			blocked := len(left) > 0 && left[len(left)-1].workflowID == r.workflowID
			if i > 0 && (blocked || r.kind() != kind) {
				left = append(left, r)
			} else {
				taken = append(taken, r)
			}
		}
		statements = append(statements, taken)
		rows = left
	}
	return statements
}

// names returns the workflows of rows in order, as a JSON array. A transaction of several statements locks them first.
func names(rows []row) string {
	workflows := make([]string, len(rows))
	for i, r := range rows {
		workflows[i] = r.workflowID
	}
	slices.Sort(workflows)
	text, _ := json.Marshal(slices.Compact(workflows)) // cannot fail for strings
	return string(text)
}

// newID returns a unique id with 128 random bits.
func newID(prefix string) string {
	var random [16]byte
	_, _ = rand.Read(random[:]) // it never fails: see crypto/rand
	return prefix + hex.EncodeToString(random[:])
}
