-- Every write of the feed: one statement for a run of items of one type, in the order of the arrays. A row that is
-- already there stays as it is, so a write may be repeated; the ids that come back are those of the rows that were not.
--
-- The settings are for the triggers, until the transaction ends: which workflows to lock first, as a JSON array in order, so
-- that two transactions of several inserts never wait for each other in a circle; and for how many milliseconds this insert
-- waits for a lock, after which the trigger gives the transaction its own lock_timeout back. Empty means none, and no bound.
-- They are made in what the workflows' array is taken from, which is evaluated once and first; a join costs more than they do.
--
-- These statements run on connections of others too, so what they call is named with its schema: an exact match in
-- somebody's public schema would come before PostgreSQL's own polymorphic function.

-- name: InsertMessages :many
insert into chatfeed.messages (workflow_id, id, role, message, status, metadata)
select i.workflow_id, i.id, i.role, i.message, i.status, nullif(i.metadata, '')::jsonb
from (
    select pg_catalog.unnest(case
               when pg_catalog.set_config('chatfeed.lock', sqlc.arg(lock)::text, true) is not null
                   and pg_catalog.set_config('chatfeed.lock_timeout', case when sqlc.arg(patience)::text <> '' then pg_catalog.current_setting('lock_timeout') else '' end, true) is not null
                   and pg_catalog.set_config('lock_timeout', case when sqlc.arg(patience)::text <> '' then sqlc.arg(patience)::text else pg_catalog.current_setting('lock_timeout') end, true) is not null
               then sqlc.arg(workflow_ids)::text[]
           end) as workflow_id,
           pg_catalog.unnest(sqlc.arg(ids)::text[]) as id,
           pg_catalog.unnest(sqlc.arg(metadata)::text[]) as metadata, pg_catalog.unnest(sqlc.arg(roles)::text[]) as role,
           pg_catalog.unnest(sqlc.arg(messages)::text[]) as message, pg_catalog.unnest(sqlc.arg(statuses)::text[]) as status
) i
on conflict (workflow_id, id) do nothing
returning workflow_id, id;

-- name: InsertLogs :many
insert into chatfeed.logs (workflow_id, id, level, message, metadata)
select i.workflow_id, i.id, i.level, i.message, nullif(i.metadata, '')::jsonb
from (
    select pg_catalog.unnest(case
               when pg_catalog.set_config('chatfeed.lock', sqlc.arg(lock)::text, true) is not null
                   and pg_catalog.set_config('chatfeed.lock_timeout', case when sqlc.arg(patience)::text <> '' then pg_catalog.current_setting('lock_timeout') else '' end, true) is not null
                   and pg_catalog.set_config('lock_timeout', case when sqlc.arg(patience)::text <> '' then sqlc.arg(patience)::text else pg_catalog.current_setting('lock_timeout') end, true) is not null
               then sqlc.arg(workflow_ids)::text[]
           end) as workflow_id,
           pg_catalog.unnest(sqlc.arg(ids)::text[]) as id,
           pg_catalog.unnest(sqlc.arg(metadata)::text[]) as metadata, pg_catalog.unnest(sqlc.arg(levels)::text[]) as level,
           pg_catalog.unnest(sqlc.arg(messages)::text[]) as message
) i
on conflict (workflow_id, id) do nothing
returning workflow_id, id;

-- name: InsertStats :many
insert into chatfeed.stats (workflow_id, id, processing_time, token_count, metadata)
select i.workflow_id, i.id, i.processing_time, i.token_count, nullif(i.metadata, '')::jsonb
from (
    select pg_catalog.unnest(case
               when pg_catalog.set_config('chatfeed.lock', sqlc.arg(lock)::text, true) is not null
                   and pg_catalog.set_config('chatfeed.lock_timeout', case when sqlc.arg(patience)::text <> '' then pg_catalog.current_setting('lock_timeout') else '' end, true) is not null
                   and pg_catalog.set_config('lock_timeout', case when sqlc.arg(patience)::text <> '' then sqlc.arg(patience)::text else pg_catalog.current_setting('lock_timeout') end, true) is not null
               then sqlc.arg(workflow_ids)::text[]
           end) as workflow_id,
           pg_catalog.unnest(sqlc.arg(ids)::text[]) as id,
           pg_catalog.unnest(sqlc.arg(metadata)::text[]) as metadata,
           pg_catalog.unnest(sqlc.arg(processing_times)::double precision[]) as processing_time,
           pg_catalog.unnest(sqlc.arg(token_counts)::integer[]) as token_count
) i
on conflict (workflow_id, id) do nothing
returning workflow_id, id;

-- name: InsertProgress :many
insert into chatfeed.progress (workflow_id, id, progress, status, result, metadata)
select i.workflow_id, i.id, i.progress, i.status, i.result, nullif(i.metadata, '')::jsonb
from (
    select pg_catalog.unnest(case
               when pg_catalog.set_config('chatfeed.lock', sqlc.arg(lock)::text, true) is not null
                   and pg_catalog.set_config('chatfeed.lock_timeout', case when sqlc.arg(patience)::text <> '' then pg_catalog.current_setting('lock_timeout') else '' end, true) is not null
                   and pg_catalog.set_config('lock_timeout', case when sqlc.arg(patience)::text <> '' then sqlc.arg(patience)::text else pg_catalog.current_setting('lock_timeout') end, true) is not null
               then sqlc.arg(workflow_ids)::text[]
           end) as workflow_id,
           pg_catalog.unnest(sqlc.arg(ids)::text[]) as id,
           pg_catalog.unnest(sqlc.arg(metadata)::text[]) as metadata, pg_catalog.unnest(sqlc.arg(progress)::double precision[]) as progress,
           pg_catalog.unnest(sqlc.arg(statuses)::text[]) as status, pg_catalog.unnest(sqlc.arg(results)::text[]) as result
) i
on conflict (workflow_id, id) do nothing
returning workflow_id, id;
