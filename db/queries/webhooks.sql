-- Webhooks: the cursors of their events, and the deliveries that failed for good.

-- name: NewestProgress :one
-- The stamp of the newest of some progress items of a workflow; null if it has none of them.
select pg_catalog.max("_createdAt")::timestamptz as newest from chatfeed.progress
where workflow_id = sqlc.arg(workflow_id)::text and id = any (sqlc.arg(ids)::text[]);

-- name: BuryDelivery :exec
insert into chatfeed.webhook_dead_letters (id, workflow_id, request, error, attempts)
values (sqlc.arg(id)::text, sqlc.arg(workflow_id)::text, sqlc.arg(request)::jsonb, sqlc.arg(error)::text, sqlc.arg(attempts)::int)
on conflict (id) do nothing;

-- name: DeadLetters :many
-- Dead letters from a place in their order on, which is that of time and id.
select id, workflow_id, request, error, attempts, since from chatfeed.webhook_dead_letters
where (since, id) > (sqlc.arg(after_since)::timestamptz, sqlc.arg(after_id)::text)
order by since, id
limit sqlc.arg(max_letters)::int;

-- name: DeadLetter :one
select id, workflow_id, request, error, attempts, since from chatfeed.webhook_dead_letters where id = sqlc.arg(id)::text;

-- name: FailDeadLetter :exec
update chatfeed.webhook_dead_letters set error = sqlc.arg(error)::text, attempts = attempts + 1 where id = sqlc.arg(id)::text;

-- name: DropDeadLetter :execrows
delete from chatfeed.webhook_dead_letters where id = sqlc.arg(id)::text;

-- name: DropDeadLetters :execrows
delete from chatfeed.webhook_dead_letters where since < sqlc.arg(before)::timestamptz;
