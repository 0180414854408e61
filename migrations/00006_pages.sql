-- Pages whose bytes are bounded before any body is built, and what a workflow is at present.

-- +goose Up
set local search_path = pg_catalog, pg_temp;

-- All items in one shape that costs nothing to read: the columns as they are, and how many bytes they have, which PostgreSQL
-- knows without reading what is stored apart. A branch for each type; the planner merges the branches on their
-- (workflow_id, "_createdAt") indexes, so a page costs what the page holds.
create view chatfeed.entries as
select workflow_id, "_createdAt", 'message' as type, id, metadata,
       octet_length(message) + octet_length(role) + octet_length(status) + coalesce(pg_column_size(metadata), 0) as bytes,
       message as text1, role as text2, status as text3, null::double precision as number1, null::integer as number2
from chatfeed.messages
union all
select workflow_id, "_createdAt", 'log', id, metadata,
       octet_length(message) + octet_length(level) + coalesce(pg_column_size(metadata), 0),
       message, level, null, null, null
from chatfeed.logs
union all
select workflow_id, "_createdAt", 'stat', id, metadata, 16 + coalesce(pg_column_size(metadata), 0),
       null, null, null, processing_time, token_count
from chatfeed.stats
union all
select workflow_id, "_createdAt", 'progress', id, metadata,
       octet_length(status) + octet_length(result) + coalesce(pg_column_size(metadata), 0),
       result, status, null, progress, null
from chatfeed.progress;

-- The body of an entry: the item's own columns under the names that clients know. Its parts were looked up when it was
-- made, so no search path can change them, and it is inlined, which a pinned one would prevent.
-- +goose StatementBegin
create function chatfeed.body(type text, text1 text, text2 text, text3 text, number1 double precision, number2 integer)
returns json language sql stable parallel safe
begin atomic
    select case type
        when 'message' then json_build_object('message', text1, 'role', text2, 'status', text3)
        when 'log' then json_build_object('level', text2, 'message', text1)
        when 'stat' then json_build_object('processingTime', number1, 'tokenCount', number2)
        when 'progress' then json_build_object('progress', number1, 'status', text2, 'result', text1)
    end;
end;
-- +goose StatementEnd

-- All items as people read them.
create or replace view chatfeed.items as
select workflow_id, "_createdAt", type, id, chatfeed.body(type, text1, text2, text3, number1, number2) as body, metadata
from chatfeed.entries;

-- What each workflow is now: the stamp of its newest item (null where none is left) and the status of its latest progress.
create view chatfeed.heads as
select w.id, w.born, w.active,
       coalesce((select e.mark from chatfeed.erasures e where e.workflow_id = w.id order by e.mark desc limit 1), 0) as erased,
       (select s."_createdAt" from chatfeed.stamps s where s.workflow_id = w.id order by s."_createdAt" desc limit 1) as head,
       coalesce((select p.status from chatfeed.progress p where p.workflow_id = w.id order by p."_createdAt" desc limit 1), '') as status
from chatfeed.workflows w;

-- Nobody but the owner calls the functions or puts them on tables; body is what readers need.
revoke execute on all functions in schema chatfeed from public;
grant execute on function chatfeed.body(text, text, text, text, double precision, integer) to public;

-- Who had the rights that a trigger needed once does not need them any more, and who reads the items reads the new views.
-- +goose StatementBegin
do $$
declare
    change text;
begin
    for change in
        select distinct format(case c.relname
            when 'workflows' then 'revoke insert, update on chatfeed.workflows from %s'
            else 'grant select on chatfeed.entries, chatfeed.heads, chatfeed.erasures to %s' end,
            case when a.grantee = 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end)
        from pg_class c, aclexplode(c.relacl) a
        where a.grantee <> c.relowner and (c.oid = 'chatfeed.workflows'::regclass
            or c.oid = 'chatfeed.items'::regclass and a.privilege_type = 'SELECT')
    loop
        execute change;
    end loop;
end
$$;
-- +goose StatementEnd

-- +goose Down
drop view chatfeed.heads;
drop view chatfeed.items;
drop function chatfeed.body(text, text, text, text, double precision, integer);
drop view chatfeed.entries;
create view chatfeed.items as
select workflow_id, "_createdAt", 'message' as type, id,
       json_build_object('message', message, 'role', role, 'status', status) as body, metadata
from chatfeed.messages
union all
select workflow_id, "_createdAt", 'log', id, json_build_object('level', level, 'message', message), metadata
from chatfeed.logs
union all
select workflow_id, "_createdAt", 'stat', id,
       json_build_object('processingTime', processing_time, 'tokenCount', token_count), metadata
from chatfeed.stats
union all
select workflow_id, "_createdAt", 'progress', id,
       json_build_object('progress', progress, 'status', status, 'result', result), metadata
from chatfeed.progress;
