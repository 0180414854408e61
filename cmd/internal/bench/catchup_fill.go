package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"
)

// history is the items to fill the tables with. One workflow has a long history; the others have short ones, of which ten are
// written at the same time. Their rows are interleaved as if they had been committed that way. Histories with the same long
// and each have the same rows up to the end of the shorter one, so the long workflow is stored the same way in both.
type history struct {
	rows int // of all workflows together, at least twice long
	long int // items of longWorkflow: every other row until it has them
	each int // items of each other workflow; the rows must come out even
	body int // bytes of each item's text, and all items are messages; 0 means all types, with texts of a few words
}

const (
	longWorkflow = "wf_long"
	abreast      = 10  // other workflows that are written at the same time
	smallBody    = 175 // bytes of a text on average, where body is 0
)

// workflows is the number of workflows besides the long one.
func (h history) workflows() int { return (h.rows - h.long) / h.each }

// of describes the size of large bodies.
func (h history) of() string {
	if h.body == 0 {
		return ""
	}
	return fmt.Sprintf(" of %d KiB", h.body>>10)
}

// name returns the id of one of the workflows besides the long one.
func (h history) name(i int) string { return fmt.Sprintf("wf_%d", i) }

// historyRows has a row for each item: rows, long, each and abreast are its first four parameters, the fifth is when the
// first item was committed, the sixth is body. A millisecond lies between two items. Types come in the order of a
// multiplicative hash, 45 % messages, 40 % logs, 10 % stats, 5 % progress; texts have 50 to 300 bytes, of which some need
// escapes in JSON. So do some of a large body, which PostgreSQL compresses to a half, as it does prose.
const historyRows = `
with words as materialized (
    select string_agg(substr(md5((hash % 400)::text), 1, 2 + hash % 9)
                      || case when k % 17 = 0 then E'.\n' when k % 29 = 0 then ' "' else ' ' end, '' order by k) as text
    from (select k, (k::bigint * k * 2654435761 >> 13 & 65535)::int as hash from generate_series(1, 4000) k) numbered
), item as (
    select g, case when $6::bigint > 0 then 0 else hash % 20 end as kind, $5::timestamptz + g * interval '1 millisecond' as at, md5(g::text) as id,
           case when g < 2 * $2::bigint and g % 2 = 0 then '` + longWorkflow + `'
                else 'wf_' || o / ($4::bigint * $3::bigint) * $4::bigint + o % $4::bigint end as workflow_id,
           case when $6::bigint > 0
                then left(g || ' ' || repeat((select text from words), 1 + $6::int / (select length(text) from words)), $6::int)
                else substr(repeat(E'The quick brown fox said "jump", and the lazy dog slept.\n', 7),
                  1 + (g % 57)::int, 50 + (hash % 251)::int) end as text
    from (select g, g * 2654435761 >> 16 as hash, case when g < 2 * $2::bigint then g / 2 else g - $2::bigint end as o
          from generate_series(0, $1::bigint - 1) g) numbered
)`

// fills insert each type's rows.
func fills() map[string]string {
	return map[string]string{
		"messages": historyRows + `
			insert into chatfeed.messages (workflow_id, id, "_createdAt", role, message, status)
			select workflow_id, 'msg_' || id, at, 'assistant', text, 'complete' from item where kind < 9`,
		"logs": historyRows + `
			insert into chatfeed.logs (workflow_id, id, "_createdAt", level, message)
			select workflow_id, 'log_' || id, at, 'info', text from item where kind between 9 and 16`,
		"stats": historyRows + `
			insert into chatfeed.stats (workflow_id, id, "_createdAt", processing_time, token_count)
			select workflow_id, 'stat_' || id, at, g % 1000 / 1000.0, g % 5000 from item where kind between 17 and 18`,
		"progress": historyRows + `
			insert into chatfeed.progress (workflow_id, id, "_createdAt", progress, status, result)
			select workflow_id, 'prog_' || id, at, g % 101, 'running', '' from item where kind = 19`,
	}
}

// fill replaces the contents of the tables by a history, as if it had been committed item by item up to now. When it returns,
// the tables are indexed, analyzed and vacuumed; the pool's user must own them. 10 million rows take a minute or two.
func fill(ctx context.Context, pool *pgxpool.Pool, h history) error {
	if err := clearItems(ctx, pool); err != nil {
		return err
	}
	first := time.Now().Add(-time.Duration(h.rows) * time.Millisecond).Truncate(time.Millisecond)
	filling, fillingCtx := errgroup.WithContext(ctx)
	filling.SetLimit(2)
	for _, table := range []string{"messages", "logs", "stats", "progress"} { // the long ones first
		filling.Go(func() error {
			err := pgx.BeginFunc(fillingCtx, pool, func(tx pgx.Tx) error {
				return fillTable(fillingCtx, tx, table, fills()[table], h.rows, h.long, h.each, abreast, first, h.body)
			})
			if err != nil {
				return fmt.Errorf("fill chatfeed.%s: %w", table, err)
			}
			return nil
		})
	}
	if err := filling.Wait(); err != nil {
		return err
	}
	if _, err := pool.Exec(ctx, `
		insert into chatfeed.workflows (id, born, active)
		select workflow_id, min("_createdAt"), max("_createdAt") from chatfeed.items group by workflow_id`); err != nil {
		return fmt.Errorf("fill chatfeed.workflows: %w", err)
	}
	for _, table := range []string{"messages", "logs", "stats", "progress", "workflows"} {
		if _, err := pool.Exec(ctx, "vacuum (analyze) chatfeed."+table); err != nil {
			return fmt.Errorf("vacuum chatfeed.%s: %w", table, err)
		}
	}
	return checkFilled(ctx, pool, h)
}

// fillTable inserts rows with the table's triggers off and without its indexes, which are made again afterwards: both
// together take a tenth of the time. The table is unchanged if anything fails.
func fillTable(ctx context.Context, tx pgx.Tx, table, insert string, args ...any) error {
	table = "chatfeed." + table
	rows, err := tx.Query(ctx, `
		select case when c.oid is null then 'drop index ' || i.indexrelid::regclass
		            else format('alter table %s drop constraint %I', i.indrelid::regclass, c.conname) end,
		       case when c.oid is null then pg_get_indexdef(i.indexrelid)
		            else format('alter table %s add constraint %I %s', i.indrelid::regclass, c.conname, pg_get_constraintdef(c.oid)) end
		from pg_index i left join pg_constraint c on c.conindid = i.indexrelid
		where i.indrelid = $1::text::regclass
		union all
		select format('alter table %s disable trigger %I', tgrelid::regclass, tgname),
		       format('alter table %s enable %s trigger %I', tgrelid::regclass,
		              case tgenabled when 'A' then 'always' when 'R' then 'replica' else '' end, tgname)
		from pg_trigger where tgrelid = $1::text::regclass and not tgisinternal and tgenabled <> 'D'`, table)
	if err != nil {
		return err
	}
	var drop, create string
	var before, after []string
	if _, err := pgx.ForEachRow(rows, []any{&drop, &create}, func() error {
		before, after = append(before, drop), append(after, create)
		return nil
	}); err != nil {
		return err
	}
	before = append(before, "set local maintenance_work_mem = '512MB'")
	for _, statement := range before {
		if _, err := tx.Exec(ctx, statement); err != nil {
			return err
		}
	}
	if _, err := tx.Exec(ctx, insert, args...); err != nil {
		return err
	}
	for _, statement := range after {
		if _, err := tx.Exec(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

func checkFilled(ctx context.Context, pool *pgxpool.Pool, h history) error {
	var rows, workflows, long int
	if err := pool.QueryRow(ctx, `
		select (select count(*) from chatfeed.items), (select count(*) from chatfeed.workflows),
		       (select count(*) from chatfeed.items where workflow_id = $1)`, longWorkflow).Scan(&rows, &workflows, &long); err != nil {
		return fmt.Errorf("count what was filled in: %w", err)
	}
	if rows != h.rows || workflows != h.workflows()+1 || long != h.long {
		return fmt.Errorf("%d rows of %d workflows are in the tables, %d of the long one; %d of %d and %d were meant to be",
			rows, workflows, long, h.rows, h.workflows()+1, h.long)
	}
	return nil
}

// clearItems empties the tables. They cannot normally be truncated, because followers would not be notified; here nobody follows.
func clearItems(ctx context.Context, pool *pgxpool.Pool) error {
	if _, err := pool.Exec(ctx, `
		do $$
		declare
			feed_table text;
		begin
			foreach feed_table in array array['messages', 'logs', 'stats', 'progress', 'workflows'] loop
				execute format('alter table chatfeed.%I disable trigger refuse_truncate', feed_table);
				execute format('truncate chatfeed.%I', feed_table);
				execute format('alter table chatfeed.%I enable trigger refuse_truncate', feed_table);
			end loop;
			truncate chatfeed.erasures;
		end
		$$`); err != nil {
		return fmt.Errorf("empty the tables: %w", err)
	}
	return nil
}
