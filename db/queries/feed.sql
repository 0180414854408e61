-- Every read of the feed: pages of many workflows in one round trip. Each page is limited in items and in bytes of body
-- and metadata; the item that crosses the byte limit is the page's last, so a page is empty only at the end. Texts are read
-- only of the items that a page has in the end, and travel as they are: to escape a long one as JSON takes PostgreSQL several
-- times as long as to read it. The limit of items is a subquery, which the planner does not look into: one that is more than
-- it takes a workflow to have, for which it knows the average only, would make it read the whole workflow and sort it. What
-- is called is named with its schema: an exact match in somebody's public schema would come before PostgreSQL's own polymorphic
-- function.

-- name: After :many
-- The oldest items after each cursor; followed says whether there are more.
select p.position::int as position, i.type, i.id, i.created_at,
       coalesce(i.text1, '')::text as text1, coalesce(i.text2, '')::text as text2, coalesce(i.text3, '')::text as text3,
       coalesce(i.text4, '')::text as text4, coalesce(i.text5, '')::text as text5,
       coalesce(i.number1, 0)::double precision as number1, coalesce(i.number2, 0)::int as number2, coalesce(i.number3, 0)::int as number3,
       i.json1, i.json2, i.metadata, i.followed::bool as followed
from (
    select pg_catalog.unnest(sqlc.arg(workflow_ids)::text[]) as workflow_id, pg_catalog.unnest(sqlc.arg(cursors)::timestamptz[]) as cursor,
           pg_catalog.generate_subscripts(sqlc.arg(workflow_ids)::text[], 1) as position
) p
cross join lateral (
    select n.*,
           pg_catalog.sum(n.bytes) over (order by n.created_at rows between unbounded preceding and 1 preceding) as bytes_before,
           pg_catalog.row_number() over (order by n.created_at rows between unbounded preceding and 1 preceding) as place,
           pg_catalog.lead(true, 1, false) over (order by n.created_at rows between unbounded preceding and 1 preceding) as followed
    from (
        select f.type, f.id, f."_createdAt" as created_at, f.text1, f.text2, f.text3, f.text4, f.text5,
               f.number1, f.number2, f.number3, f.json1, f.json2, f.metadata, f.bytes
        from chatfeed.entries f
        where f.workflow_id = p.workflow_id and f."_createdAt" > p.cursor and (sqlc.arg(all_types)::bool or f.type = any (sqlc.arg(types)::text[]))
        order by f."_createdAt"
        limit (select sqlc.arg(max_items)::int + 1)
    ) n
) i
where coalesce(i.bytes_before, 0) < sqlc.arg(max_bytes)::bigint and i.place <= sqlc.arg(max_items)::int;

-- name: Before :many
-- The newest items before each cursor, newest first; followed says whether there are more.
select p.position::int as position, i.type, i.id, i.created_at,
       coalesce(i.text1, '')::text as text1, coalesce(i.text2, '')::text as text2, coalesce(i.text3, '')::text as text3,
       coalesce(i.text4, '')::text as text4, coalesce(i.text5, '')::text as text5,
       coalesce(i.number1, 0)::double precision as number1, coalesce(i.number2, 0)::int as number2, coalesce(i.number3, 0)::int as number3,
       i.json1, i.json2, i.metadata, i.followed::bool as followed
from (
    select pg_catalog.unnest(sqlc.arg(workflow_ids)::text[]) as workflow_id, pg_catalog.unnest(sqlc.arg(cursors)::timestamptz[]) as cursor,
           pg_catalog.generate_subscripts(sqlc.arg(workflow_ids)::text[], 1) as position
) p
cross join lateral (
    select n.*,
           pg_catalog.sum(n.bytes) over (order by n.created_at desc rows between unbounded preceding and 1 preceding) as bytes_before,
           pg_catalog.row_number() over (order by n.created_at desc rows between unbounded preceding and 1 preceding) as place,
           pg_catalog.lead(true, 1, false) over (order by n.created_at desc rows between unbounded preceding and 1 preceding) as followed
    from (
        select f.type, f.id, f."_createdAt" as created_at, f.text1, f.text2, f.text3, f.text4, f.text5,
               f.number1, f.number2, f.number3, f.json1, f.json2, f.metadata, f.bytes
        from chatfeed.entries f
        where f.workflow_id = p.workflow_id and f."_createdAt" < p.cursor and (sqlc.arg(all_types)::bool or f.type = any (sqlc.arg(types)::text[]))
        order by f."_createdAt" desc
        limit (select sqlc.arg(max_items)::int + 1)
    ) n
) i
where coalesce(i.bytes_before, 0) < sqlc.arg(max_bytes)::bigint and i.place <= sqlc.arg(max_items)::int;

-- name: Heads :many
select id, born, erased::bigint as erased, head from chatfeed.heads where id = any (sqlc.arg(workflow_ids)::text[]);

-- name: Erased :many
select mark, type, item_id, item_at from chatfeed.erasures
where workflow_id = sqlc.arg(workflow_id)::text and mark > sqlc.arg(after)::bigint
order by mark
limit sqlc.arg(max_erasures)::int;

-- name: Workflows :many
-- Workflows by time of activity, which may be a minute behind the head, from a place in that order on. Two may have one time,
-- so the place is time and id.
select h.id, h.active, h.head,
       coalesce(p.status, '')::text as status, coalesce(p.progress, 0)::double precision as progress, coalesce(p.final, 0)::int as final
from chatfeed.heads h
left join lateral (
    select e.text2 as status, e.number1 as progress, e.number2 as final
    from chatfeed.entries e
    where e.workflow_id = h.id and e.type = 'progress'
    order by e."_createdAt" desc
    limit 1
) p on true
where (h.active, h.id) < (sqlc.arg(before_active)::timestamptz, sqlc.arg(before_id)::text)
    and h.active > '-infinity' and h.head is not null
order by h.active desc, h.id desc
limit sqlc.arg(max_workflows)::int;

-- name: WorkflowsNamed :many
-- The same of given workflows; those without items are left out.
select h.id, h.active, h.head,
       coalesce(p.status, '')::text as status, coalesce(p.progress, 0)::double precision as progress, coalesce(p.final, 0)::int as final
from chatfeed.heads h
left join lateral (
    select e.text2 as status, e.number1 as progress, e.number2 as final
    from chatfeed.entries e
    where e.workflow_id = h.id and e.type = 'progress'
    order by e."_createdAt" desc
    limit 1
) p on true
where h.id = any (sqlc.arg(workflow_ids)::text[]) and h.active > '-infinity' and h.head is not null;

-- name: Notify :exec
select pg_catalog.pg_notify(sqlc.arg(channel)::text, sqlc.arg(payload)::text);
