package db

import (
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// pipeline queues inserts instead of running them. Sent together they are one round trip and, outside of a transaction, one
// transaction. It collects the keys of the rows that the inserts have written.
type pipeline struct {
	pgx.Batch
	settings
	written map[rowKey]bool
}

// settings are what the inserts tell the triggers: see insertion.
type settings struct{ lock, patience string }

// rowKey identifies a row among those of a pipeline, as a statement is of one type.
type rowKey struct {
	statement      int
	workflowID, id string
}

// insertion is the statement that inserts rows of a kind, in the order of the arrays. A row that is already there stays as it
// is, so a write may be repeated; the keys that come back are those of the rows that were not.
//
// The settings are for the triggers, until the transaction ends: which workflows to lock first, as a JSON array in order, so
// that two transactions of several inserts never wait for each other in a circle; and for how many milliseconds this insert
// waits for a lock, after which the trigger gives the transaction its own lock_timeout back. Empty means none, and no bound.
// They are made in what the workflows' array is taken from, which is evaluated once and first; a join costs more than they do.
//
// The statement runs on connections of others too, so what it calls is named with its schema: an exact match in somebody's
// public schema would come before PostgreSQL's own polymorphic function.
func insertion(k *Kind) string {
	var names, values, arrays strings.Builder
	for i, c := range k.columns {
		names.WriteString(", " + c.name)
		values.WriteString(", i." + c.name)
		fmt.Fprintf(&arrays, ", pg_catalog.unnest($%d::%s[]) as %s", 6+i, c.cast, c.name)
	}
	return fmt.Sprintf(`
insert into chatfeed.%s (workflow_id, id, metadata%s)
select i.workflow_id, i.id, nullif(i.metadata, '')::jsonb%s
from (
    select pg_catalog.unnest(case
               when pg_catalog.set_config('chatfeed.lock', $1::text, true) is not null
                   and pg_catalog.set_config('chatfeed.lock_timeout', case when $2::text <> '' then pg_catalog.current_setting('lock_timeout') else '' end, true) is not null
                   and pg_catalog.set_config('lock_timeout', case when $2::text <> '' then $2::text else pg_catalog.current_setting('lock_timeout') end, true) is not null
               then $3::text[]
           end) as workflow_id, pg_catalog.unnest($4::text[]) as id, pg_catalog.unnest($5::text[]) as metadata%s
) i
on conflict (workflow_id, id) do nothing
returning workflow_id, id`, k.table, names.String(), values.String(), arrays.String())
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
		args := []any{p.lock, p.patience, workflows, ids, metadata}
		for _, c := range k.columns {
			args = append(args, c.values(s))
		}
		p.Queue(k.insert, args...).Query(func(rows pgx.Rows) error {
			key := rowKey{statement: i}
			_, err := pgx.ForEachRow(rows, []any{&key.workflowID, &key.id}, func() error {
				p.written[key] = true
				return nil
			})
			return err
		})
		p.lock = "" // the first has locked them
	}
}

// report says of each row of the statements whether it was there already. The rows' places lead to where.
func (p *pipeline) report(statements []statement, into func(place int, id string, already bool)) {
	for i, s := range statements {
		for _, r := range s {
			key := rowKey{i, r.workflowID, r.id}
			into(r.place, r.id, !p.written[key])
			delete(p.written, key) // what is given twice is there the second time
		}
	}
}
