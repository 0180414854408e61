package db

import (
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// pipeline queues inserts to send them together: in one round trip and, outside of a transaction, as one transaction. It
// collects the keys of the rows that the inserts have written.
type pipeline struct {
	pgx.Batch
	settings
	written map[rowKey]bool
}

// settings are passed by the inserts to the triggers: see insertion.
type settings struct{ lock, lockTimeout string }

// rowKey identifies a row of a pipeline; each statement has rows of one type.
type rowKey struct {
	statement      int
	workflowID, id string
}

// insertion is the statement that inserts rows of a kind, in the order of the arrays. A row that exists is left
// unchanged, so a write may be repeated; the returned keys are those of the new rows.
//
// The settings are for the triggers and last until the transaction ends: which workflows to lock first, as a sorted JSON
// array, so that two transactions of several inserts never deadlock; and how many milliseconds this insert may wait for a
// lock, after which the trigger restores the transaction's own lock_timeout. Empty means none, and no limit. They are set in
// the expression of the workflows' array, which is evaluated once and first; a join would cost more than the settings.
//
// The statement also runs on other programs' connections, so its function names are qualified with their schema: an exact
// match in a public schema would take precedence over PostgreSQL's polymorphic function.
func insertion(table string, columns []column) string {
	var names, values, arrays strings.Builder
	for i, c := range columns {
		names.WriteString(", " + c.name)
		values.WriteString(", i." + c.name)
		fmt.Fprintf(&arrays, ", pg_catalog.unnest($%d::%s[]) as %s", 6+i, c.cast, c.name)
	}
	return fmt.Sprintf(`
insert into chatfeed.%s (workflow_id, id, metadata%s)
select i.workflow_id, i.id, nullif(i.metadata, '')::jsonb%s
from (
    select pg_catalog.unnest(case
               when ($1::text = '' or pg_catalog.set_config('chatfeed.lock', $1::text, true) is not null)
                   and ($2::text = '' or pg_catalog.set_config('chatfeed.lock_timeout', pg_catalog.current_setting('lock_timeout'), true) is not null
                       and pg_catalog.set_config('lock_timeout', $2::text, true) is not null)
               then $3::text[]
           end) as workflow_id, pg_catalog.unnest($4::text[]) as id, pg_catalog.unnest($5::text[]) as metadata%s
) i
on conflict (workflow_id, id) do nothing
returning workflow_id, id`, table, names.String(), values.String(), arrays.String())
}

// insert queues the statements.
func (p *pipeline) insert(statements []statement) {
	p.written = make(map[rowKey]bool)
	for i, s := range statements {
		k := s[0].kind()
		workflows, ids, metadata := make([]string, len(s)), make([]string, len(s)), make([]string, len(s))
		for j, r := range s {
			workflows[j], ids[j], metadata[j] = r.workflowID, r.id, r.metadata
		}
		args := []any{p.lock, p.lockTimeout, workflows, ids, metadata}
		sql := k.insertUsual
		for _, c := range k.columns {
			values := c.values(s)
			if c.sparse && !isEmpty(values) {
				sql = k.insert
			}
			args = append(args, values)
		}
		if sql == k.insertUsual { // the sparse columns are the last
			args = args[:5+k.usual]
		}
		p.Queue(sql, args...).Query(func(rows pgx.Rows) error {
			key := rowKey{statement: i}
			_, err := pgx.ForEachRow(rows, []any{&key.workflowID, &key.id}, func() error {
				p.written[key] = true
				return nil
			})
			return err
		})
		p.lock = "" // the first insert locks them
	}
}

// isEmpty reports whether there are only empty texts, or only false.
func isEmpty(values any) bool {
	switch values := values.(type) {
	case []string:
		return strings.Join(values, "") == ""
	case []bool:
		return !slices.Contains(values, true)
	}
	return false
}

// report calls into for each row of the statements, with whether it existed before.
func (p *pipeline) report(statements []statement, into func(index int, id string, already bool)) {
	for i, s := range statements {
		for _, r := range s {
			key := rowKey{i, r.workflowID, r.id}
			into(r.index, r.id, !p.written[key])
			delete(p.written, key) // the second of two equal keys existed already
		}
	}
}
