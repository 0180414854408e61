-- Every write of the feed: one statement for a run of items of one type, in the order of the arrays. A row that is
-- already there stays as it is, so a write may be repeated.

-- name: LockWorkflows :exec
-- Takes the locks that the inserts would take, in the order of the array, so that two transactions never wait for each
-- other. The array must be sorted and without repetitions.
insert into chatfeed.workflows as w (id, head)
select unnest(sqlc.arg(workflow_ids)::text[]), to_timestamp(0)
on conflict (id) do update set head = w.head;

-- name: InsertMessages :exec
insert into chatfeed.messages (workflow_id, id, role, message, status, metadata)
select i.workflow_id, i.id, i.role, i.message, i.status, nullif(i.metadata, '')::jsonb
from (
    select unnest(sqlc.arg(workflow_ids)::text[]) as workflow_id, unnest(sqlc.arg(ids)::text[]) as id,
           unnest(sqlc.arg(metadata)::text[]) as metadata, unnest(sqlc.arg(roles)::text[]) as role,
           unnest(sqlc.arg(messages)::text[]) as message, unnest(sqlc.arg(statuses)::text[]) as status
) i
on conflict (workflow_id, id) do nothing;

-- name: InsertLogs :exec
insert into chatfeed.logs (workflow_id, id, level, message, metadata)
select i.workflow_id, i.id, i.level, i.message, nullif(i.metadata, '')::jsonb
from (
    select unnest(sqlc.arg(workflow_ids)::text[]) as workflow_id, unnest(sqlc.arg(ids)::text[]) as id,
           unnest(sqlc.arg(metadata)::text[]) as metadata, unnest(sqlc.arg(levels)::text[]) as level,
           unnest(sqlc.arg(messages)::text[]) as message
) i
on conflict (workflow_id, id) do nothing;

-- name: InsertStats :exec
insert into chatfeed.stats (workflow_id, id, processing_time, token_count, metadata)
select i.workflow_id, i.id, i.processing_time, i.token_count, nullif(i.metadata, '')::jsonb
from (
    select unnest(sqlc.arg(workflow_ids)::text[]) as workflow_id, unnest(sqlc.arg(ids)::text[]) as id,
           unnest(sqlc.arg(metadata)::text[]) as metadata,
           unnest(sqlc.arg(processing_times)::double precision[]) as processing_time,
           unnest(sqlc.arg(token_counts)::integer[]) as token_count
) i
on conflict (workflow_id, id) do nothing;

-- name: InsertProgress :exec
insert into chatfeed.progress (workflow_id, id, progress, status, result, metadata)
select i.workflow_id, i.id, i.progress, i.status, i.result, nullif(i.metadata, '')::jsonb
from (
    select unnest(sqlc.arg(workflow_ids)::text[]) as workflow_id, unnest(sqlc.arg(ids)::text[]) as id,
           unnest(sqlc.arg(metadata)::text[]) as metadata, unnest(sqlc.arg(progress)::double precision[]) as progress,
           unnest(sqlc.arg(statuses)::text[]) as status, unnest(sqlc.arg(results)::text[]) as result
) i
on conflict (workflow_id, id) do nothing;
