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

// Written says what has become of one item.
type Written struct {
	ID      string
	Already bool // the workflow had an item of this type and ID before, which was left as it was
}

// Append writes items in the caller's transaction, so that they become visible with whatever else it writes, or not at
// all, and returns what has become of each, in their order. The items of one workflow keep the order in which they are
// given. An item whose ID the workflow already has is left as it was, so Append may be repeated after a failure whose
// outcome is unknown.
//
// From here until the transaction ends, other writers of the same workflows wait: append last, and commit soon. A
// transaction that appends more than once should do so in the order of the workflow ids, or it may deadlock with
// another and fail with SQLSTATE 40P01. Where the transaction is repeatable read or serializable, the items are stamped up
// to a tenth of a second ahead of the clock, as its snapshot does not show what it must come after.
//
// An [InvalidItemError] leaves the transaction usable; any other error is PostgreSQL's and has ended it.
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
	p.report(statements, func(place int, id string, already bool) { written[place] = Written{id, already} })
	return written, nil
}

// statement is a run of rows of one type, which one insert writes.
type statement []row

// plan orders rows by workflow, so that locks are always taken in one order, and puts them into few statements. The
// rows of one workflow keep their order: a statement takes from each workflow what it can without overtaking.
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

// names returns the workflows of rows in order, as a JSON array: what a transaction of several statements locks first.
func names(rows []row) string {
	workflows := make([]string, len(rows))
	for i, r := range rows {
		workflows[i] = r.workflowID
	}
	slices.Sort(workflows)
	text, _ := json.Marshal(slices.Compact(workflows)) // strings always can be
	return string(text)
}

// newID returns a unique id with 128 random bits.
func newID(prefix string) string {
	var random [16]byte
	_, _ = rand.Read(random[:]) // it never fails: see crypto/rand
	return prefix + hex.EncodeToString(random[:])
}
