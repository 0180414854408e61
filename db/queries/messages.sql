-- name: MessagesAfter :many
-- How many messages there are after each cursor, up to a limit; later versions of a message (text4) do not count.
select p.position::int as position, m.messages::int as messages
from (
    select pg_catalog.unnest(sqlc.arg(workflow_ids)::text[]) as workflow_id, pg_catalog.unnest(sqlc.arg(cursors)::timestamptz[]) as cursor,
           pg_catalog.generate_subscripts(sqlc.arg(workflow_ids)::text[], 1) as position
) p
cross join lateral (
    select pg_catalog.count(*) as messages
    from (
        select f.type
        from chatfeed.entries f
        where f.workflow_id = p.workflow_id and f.type = 'message' and f."_createdAt" > p.cursor and f.text4 = ''
        order by f."_createdAt"
        limit (select sqlc.arg(most)::int)
    ) f
) m;
