package db

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"reflect"
	"slices"

	"github.com/jackc/pgx/v5"

	"chatfeed/db/internal/dbsqlc"
)

// Append writes items in the caller's transaction, so that they become visible with whatever else it writes, or not at
// all. The items of one workflow keep the order in which they are given. An item whose ID the workflow already has is
// left as it was, so Append may be repeated after a failure whose outcome is unknown.
//
// From here until the transaction ends, other writers of the same workflows wait: append last, and commit soon. A
// transaction that appends more than once should do so in the order of the workflow ids, or it may deadlock with
// another and fail with SQLSTATE 40P01.
//
// An [InvalidItemError] leaves the transaction usable; any other error is PostgreSQL's and has ended it.
func Append(ctx context.Context, tx pgx.Tx, items ...Item) ([]Written, error) {
	rows, err := checked(items)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	written := fresh(rows)
	if err := appendRows(ctx, tx, plan(rows)); err != nil {
		return nil, err
	}
	return written, nil
}

// statement is a run of rows of one type, which one insert writes.
type statement []row

// plan orders rows by workflow, so that locks are always taken in one order, and puts them into few statements. The
// rows of one workflow keep their order: a statement takes from each workflow what it can without overtaking.
func plan(rows []row) []statement {
	slices.SortStableFunc(rows, func(a, b row) int { return cmp.Compare(a.workflowID, b.workflowID) })
	var statements []statement
	for len(rows) > 0 {
		kind := reflect.TypeOf(rows[0].Item)
		var taken statement
		left := rows[:0]
		for i, r := range rows {
			blocked := len(left) > 0 && left[len(left)-1].workflowID == r.workflowID
			if i > 0 && (blocked || reflect.TypeOf(r.Item) != kind) {
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

// appendRows runs the statements. One alone takes its locks in order by itself; several might not.
func appendRows(ctx context.Context, conn dbsqlc.DBTX, statements []statement) error {
	q := dbsqlc.New(conn)
	if len(statements) > 1 {
		var workflows []string
		for _, s := range statements {
			for _, r := range s {
				workflows = append(workflows, r.workflowID)
			}
		}
		slices.Sort(workflows)
		if err := q.LockWorkflows(ctx, slices.Compact(workflows)); err != nil {
			return fmt.Errorf("append: lock workflows: %w", err)
		}
	}
	for _, s := range statements {
		if err := s[0].insert(ctx, q, s); err != nil {
			return fmt.Errorf("append %d of %T: %w", len(s), s[0].Item, err)
		}
	}
	return nil
}

// newID returns a unique id with 128 random bits.
func newID(prefix string) string {
	var random [16]byte
	_, _ = rand.Read(random[:]) // it never fails: see crypto/rand
	return prefix + hex.EncodeToString(random[:])
}
