package faults_test

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"chatfeed/cmd/internal/audit"
)

// tables are those of the types of items.
var tables = map[string]string{
	"message": "messages", "log": "logs", "stat": "stats", "progress": "progress", "delta": "deltas", "tool": "tools",
}

// name is what an item is called within its workflow.
type name struct {
	Type string
	ID   string
}

// pick returns a workflow to inject a fault into, and the others.
func (w *world) pick() (one string, others []string) {
	i := w.random.IntN(len(w.config.Workflows))
	for j, workflow := range w.config.Workflows {
		if i != j {
			others = append(others, workflow)
		}
	}
	return w.config.Workflows[i], others
}

// names returns items of a workflow that a query finds. Its argument is the workflow.
func names(ctx context.Context, from interface {
	Query(context.Context, string, ...any) (pgx.Rows, error)
}, query, workflow string,
) ([]name, error) {
	rows, err := from.Query(ctx, query, workflow)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[name])
}

// had returns items of a workflow that a query finds and all clients have.
func (w *world) had(query, workflow string) (found []name) {
	w.t.Helper()
	until(w.t, "there are items", func() bool {
		var err error
		found, err = names(w.t.Context(), w.control, query, workflow)
		return err == nil && len(found) > 0
	})
	w.catchUp([]string{workflow})
	return found
}

// write writes a few items to a workflow, which the audit's writers may skip for a while.
func (w *world) write(workflow string) {
	w.t.Helper()
	w.exec(`insert into chatfeed.logs (workflow_id, message) select $1, 'line ' || n from generate_series(1, 10) n`, workflow)
}

// streams is how many clients of a workflow follow it by a stream.
func (w *world) streams() (n int) {
	for _, transport := range w.config.Transports {
		if !transport.Polls() {
			n += w.config.Streams
		}
	}
	return n
}

// awaitNotified waits until clients have received that many more notifications than before. Disconnected clients need not have.
func (w *world) awaitNotified(before audit.Progress, gone, anew int) {
	w.t.Helper()
	until(w.t, "clients are told", func() bool {
		now := w.audit.Progress()
		return now.Gone >= before.Gone+gone && now.Anew >= before.Anew+anew || now.Reconnects > before.Reconnects
	})
}

// eraseItems erases some items of a workflow, the newest among them. Followers were already notified of redacted items. Deltas
// are left to pruneDeltas, as their message may come before.
func eraseItems(w *world) {
	ctx := w.t.Context()
	for range rounds(3, 20) {
		workflow, _ := w.pick()
		erased := w.had(`with may as (select * from chatfeed.items
				where workflow_id = $1 and type <> 'delta' and body ->> 'message' is distinct from 'redacted')
			(select type, id from may order by "_createdAt" desc limit 3) union (select type, id from may order by random() limit 20)`, workflow)
		before := w.audit.Progress()
		w.change("items are erased", func(tx pgx.Tx) error {
			for _, n := range erased {
				w.audit.Meets(audit.Erased, workflow, n.Type, n.ID)
				_, err := tx.Exec(ctx, "delete from chatfeed."+tables[n.Type]+" where workflow_id = $1 and id = $2", workflow, n.ID)
				if err != nil {
					return err
				}
			}
			return nil
		})
		w.awaitNotified(before, len(erased)*w.streams(), 0)
		w.write(workflow)
		w.newcomers(workflow)
		w.awaitHealthy()
	}
}

// replaceItems erases messages and writes them again under the same names, in one transaction.
func replaceItems(w *world) {
	ctx := w.t.Context()
	for range rounds(3, 20) {
		workflow, _ := w.pick()
		replaced := w.had(`select 'message', id from chatfeed.messages where workflow_id = $1 order by random() limit 10`, workflow)
		before := w.audit.Progress()
		w.change("messages are replaced", func(tx pgx.Tx) error {
			for _, n := range replaced {
				w.audit.Meets(audit.Replaced, workflow, n.Type, n.ID)
				if _, err := tx.Exec(ctx, `create temp table kept on commit drop as select * from chatfeed.messages
					where workflow_id = $1 and id = $2`, workflow, n.ID); err != nil {
					return err
				}
				if _, err := tx.Exec(ctx, `delete from chatfeed.messages where workflow_id = $1 and id = $2`, workflow, n.ID); err != nil {
					return err
				}
				if _, err := tx.Exec(ctx, `insert into chatfeed.messages select * from kept`); err != nil {
					return err
				}
				if _, err := tx.Exec(ctx, `drop table kept`); err != nil {
					return err
				}
			}
			return nil
		})
		w.awaitNotified(before, len(replaced)*w.streams(), 0)
		w.newcomers(workflow)
		w.awaitHealthy()
	}
}

// redactItems changes the text of some messages.
func redactItems(w *world) {
	ctx := w.t.Context()
	for range rounds(3, 20) {
		workflow, _ := w.pick()
		redacted := w.had(`select 'message', id from chatfeed.messages where workflow_id = $1 and message <> 'redacted'
			order by random() limit 10`, workflow)
		before := w.audit.Progress()
		w.change("messages are redacted", func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, `alter table chatfeed.messages disable trigger refuse_update`); err != nil {
				return err
			}
			for _, n := range redacted {
				w.audit.Meets(audit.Changed, workflow, n.Type, n.ID)
				_, err := tx.Exec(ctx, `update chatfeed.messages set message = 'redacted', metadata = null
					where workflow_id = $1 and id = $2`, workflow, n.ID)
				if err != nil {
					return err
				}
			}
			_, err := tx.Exec(ctx, `alter table chatfeed.messages enable trigger refuse_update`)
			return err
		})
		w.awaitNotified(before, len(redacted)*w.streams(), 0)
		w.newcomers(workflow)
		w.awaitHealthy()
	}
}

// again is when an erased workflow is written again.
type again int

const (
	atOnce       again = iota // in the transaction that erases it
	withinASweep              // before a sweep can find it missing
	acrossSweeps
)

// writeAnew erases a whole workflow and writes it again.
func writeAnew(when again) func(*world) {
	return func(w *world) {
		for range rounds(2, 10) {
			workflow, _ := w.pick()
			w.had(`select type, id from chatfeed.items where workflow_id = $1 limit 1`, workflow)
			if when == acrossSweeps {
				w.exec(`create function not_yet() returns trigger language plpgsql as
					$$ begin raise exception 'not yet'; end $$`)
				for _, table := range tables {
					w.exec(`create trigger not_yet before insert on chatfeed.` + table + `
						for each row when (new.workflow_id = '` + workflow + `') execute function not_yet()`)
				}
			}
			before := w.audit.Progress()
			w.change("a workflow is erased", func(tx pgx.Tx) error { return w.end(tx, workflow, when == atOnce) })
			if when == withinASweep {
				w.write(workflow)
			}
			w.awaitNotified(before, 0, w.streams())
			if when == acrossSweeps {
				last(2500*time.Millisecond, 5*time.Second)
				for _, table := range tables { // one lock at a time, else readers of several tables deadlock with it
					w.exec(`drop trigger not_yet on chatfeed.` + table)
				}
				w.exec(`drop function not_yet`)
				w.write(workflow)
			}
			w.awaitHealthy()
			w.newcomers(workflow)
		}
	}
}

// end erases a workflow, and may write it again.
func (w *world) end(tx pgx.Tx, workflow string, anew bool) error {
	ctx := w.t.Context()
	if _, err := tx.Exec(ctx, `select from chatfeed.workflows where id = $1 for update`, workflow); err != nil {
		return err
	}
	ended, err := names(ctx, tx, `select type, id from chatfeed.items where workflow_id = $1`, workflow)
	if err != nil {
		return err
	}
	for _, n := range ended {
		w.audit.Meets(audit.Ended, workflow, n.Type, n.ID)
	}
	if _, err := tx.Exec(ctx, `delete from chatfeed.workflows where id = $1`, workflow); err != nil || !anew {
		return err
	}
	_, err = tx.Exec(ctx, `insert into chatfeed.logs (workflow_id, message) select $1, 'anew ' || n from generate_series(1, 5) n`, workflow)
	return err
}

// loseCommits removes the newest items from the table without a notification, as a failover does, and stamps later ones
// before them.
func loseCommits(w *world) {
	ctx := w.t.Context()
	const back = 10 * time.Second
	for range rounds(2, 10) {
		workflow, _ := w.pick()
		ahead := max(0, time.Until(ask[time.Time](w, `select max(head) from chatfeed.heads`))) + time.Second
		w.setClock(ahead)
		w.write(workflow) // so that not all its items are lost
		w.awaitHealthy()
		rewound := w.logged("the source has lost items")
		w.change("commits are lost", func(tx pgx.Tx) error {
			for _, table := range tables {
				if _, err := tx.Exec(ctx, `alter table chatfeed.`+table+` disable trigger user`); err != nil {
					return err
				}
			}
			lost, err := names(ctx, tx,
				`select type, id from chatfeed.items where workflow_id = $1 order by "_createdAt" desc
					limit (select least(20, count(*) / 2) from chatfeed.items where workflow_id = $1)`, workflow)
			if err != nil {
				return err
			}
			for _, n := range lost {
				w.audit.Meets(audit.Forfeited, workflow, n.Type, n.ID)
				_, err := tx.Exec(ctx, "delete from chatfeed."+tables[n.Type]+" where workflow_id = $1 and id = $2", workflow, n.ID)
				if err != nil {
					return err
				}
			}
			for _, table := range tables {
				_, err := tx.Exec(ctx, `alter table chatfeed.`+table+` enable trigger user,
					enable always trigger record_erasure, enable always trigger record_change`)
				if err != nil {
					return err
				}
			}
			_, err = tx.Exec(ctx, `select setval('public.ahead', $1)`, (ahead - back).Microseconds())
			return err
		})
		until(w.t, "a server goes back", func() bool { return w.logged("the source has lost items") > rewound })
		w.write(workflow)
		w.awaitHealthy()
		w.newcomers(workflow)
		w.setClock(ahead)
		w.awaitHealthy()
	}
	w.setClock(0)
}
