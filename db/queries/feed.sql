-- Every read of the feed: pages of many workflows in one round trip. Each page is limited in items and in bytes of body
-- and metadata; the item that crosses the byte limit is the page's last, so a page is empty only at the end.

-- name: After :many
-- The oldest items after each cursor.
select p.position::int as position, i.type, i.id, i.created_at, i.body, i.metadata
from (
    select unnest(sqlc.arg(workflow_ids)::text[]) as workflow_id, unnest(sqlc.arg(cursors)::timestamptz[]) as cursor,
           generate_subscripts(sqlc.arg(workflow_ids)::text[], 1) as position
) p
cross join lateral (
    select n.type, n.id, n.created_at, n.body, n.metadata,
           sum(octet_length(n.body::text) + coalesce(octet_length(n.metadata::text), 0))
               over (order by n.created_at rows between unbounded preceding and 1 preceding) as bytes_before
    from (
        select f.type, f.id, f."_createdAt" as created_at, f.body, f.metadata
        from chatfeed.items f
        where f.workflow_id = p.workflow_id and f."_createdAt" > p.cursor and (sqlc.arg(all_types)::bool or f.type = any (sqlc.arg(types)::text[]))
        order by f."_createdAt"
        limit sqlc.arg(max_items)
    ) n
) i
where coalesce(i.bytes_before, 0) < sqlc.arg(max_bytes)::bigint;

-- name: Before :many
-- The newest items before each cursor, newest first.
select p.position::int as position, i.type, i.id, i.created_at, i.body, i.metadata
from (
    select unnest(sqlc.arg(workflow_ids)::text[]) as workflow_id, unnest(sqlc.arg(cursors)::timestamptz[]) as cursor,
           generate_subscripts(sqlc.arg(workflow_ids)::text[], 1) as position
) p
cross join lateral (
    select n.type, n.id, n.created_at, n.body, n.metadata,
           sum(octet_length(n.body::text) + coalesce(octet_length(n.metadata::text), 0))
               over (order by n.created_at desc rows between unbounded preceding and 1 preceding) as bytes_before
    from (
        select f.type, f.id, f."_createdAt" as created_at, f.body, f.metadata
        from chatfeed.items f
        where f.workflow_id = p.workflow_id and f."_createdAt" < p.cursor and (sqlc.arg(all_types)::bool or f.type = any (sqlc.arg(types)::text[]))
        order by f."_createdAt" desc
        limit sqlc.arg(max_items)
    ) n
) i
where coalesce(i.bytes_before, 0) < sqlc.arg(max_bytes)::bigint;

-- name: Heads :many
select id, head from chatfeed.workflows where id = any (sqlc.arg(workflow_ids)::text[]);

-- name: Workflows :many
-- Workflows by newest head, those before a place in that order. Two may have one head, so the place is head and id.
select id, head, status
from chatfeed.workflows
where head_hour <= sqlc.arg(before_head)::timestamptz
    and (head, id) < (sqlc.arg(before_head)::timestamptz, sqlc.arg(before_id)::text)
order by head_hour desc, head desc, id desc
limit sqlc.arg(max_workflows);

-- name: Notify :exec
select pg_notify(sqlc.arg(channel)::text, sqlc.arg(payload)::text);
