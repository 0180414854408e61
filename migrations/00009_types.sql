-- A further type of item is a table and a call of chatfeed.make_feed_table, which keeps the views.

-- +goose Up
set local search_path = pg_catalog, pg_temp;

-- As before, with places for types that have more.
create or replace view chatfeed.entries as
select workflow_id, "_createdAt", 'message' as type, id, metadata,
       octet_length(message) + octet_length(role) + octet_length(status) + coalesce(pg_column_size(metadata), 0) as bytes,
       message as text1, role as text2, status as text3, null::double precision as number1, null::integer as number2,
       null::text as text4, null::text as text5, null::integer as number3, null::jsonb as json1, null::jsonb as json2
from chatfeed.messages
union all
select workflow_id, "_createdAt", 'log', id, metadata,
       octet_length(message) + octet_length(level) + coalesce(pg_column_size(metadata), 0),
       message, level, null, null, null, null, null, null, null, null
from chatfeed.logs
union all
select workflow_id, "_createdAt", 'stat', id, metadata, 16 + coalesce(pg_column_size(metadata), 0),
       null, null, null, processing_time, token_count, null, null, null, null, null
from chatfeed.stats
union all
select workflow_id, "_createdAt", 'progress', id, metadata,
       octet_length(status) + octet_length(result) + coalesce(pg_column_size(metadata), 0),
       result, status, null, progress, null, null, null, null, null, null
from chatfeed.progress;

create or replace view chatfeed.items as
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

drop function chatfeed.body(text, text, text, text, double precision, integer);

-- Makes the views anew without the branches of a table, if any, and with these, if any.
-- +goose StatementBegin
create function chatfeed.change_views(dropped text, entry text, item text) returns void
language plpgsql set search_path = pg_catalog, pg_temp set quote_all_identifiers = off as $$
declare
    changed record;
begin
    for changed in values ('entries', entry), ('items', item) loop
        execute format('create or replace view chatfeed.%I as ', changed.column1) || (
            select string_agg(branch, ' union all ' order by place)
            from string_to_table(rtrim(pg_get_viewdef(format('chatfeed.%I', changed.column1)::regclass), ';') || ' UNION ALL ' || changed.column2, 'UNION ALL')
                with ordinality b (branch, place)
            where trim(branch, E' \n') <> '' and rtrim(branch, E' \n') not like '% FROM chatfeed.' || quote_ident(dropped));
    end loop;
end
$$;
-- +goose StatementEnd

-- Makes the views of stamps anew, of all tables that have the trigger.
-- +goose StatementBegin
create function chatfeed.change_stamps() returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    tab regclass;
    bit text;
    stamps text[];
    bits text[];
    writers text[];
begin
    for tab, bit in
        select t.tgrelid::regclass, split_part(encode(t.tgargs, 'escape'), chr(92), 1) from pg_trigger t
        where t.tgname = 'stamp' and t.tgfoid = 'chatfeed.stamp()'::regprocedure order by t.tgrelid
    loop
        stamps := stamps || format('select workflow_id, "_createdAt" from %s', tab);
        bits := bits || format('select workflow_id, "_createdAt", %s as bit from %s', bit, tab);
        writers := writers || format('select workflow_id, "_createdAt", xmin as writer from %s', tab);
    end loop;
    execute 'create or replace view chatfeed.stamps as ' || array_to_string(stamps, ' union all ');
    execute 'create or replace view chatfeed.stamps_by_type as ' || array_to_string(bits, ' union all ');
    execute 'create or replace view chatfeed.writers as ' || array_to_string(writers, ' union all ');
end
$$;
-- +goose StatementEnd

-- Refuses a key or metadata that no item may have, whatever its type.
-- +goose StatementBegin
create function chatfeed.check_key() returns trigger language plpgsql as $$
declare
    broken pg_catalog.text := case
        when pg_catalog.octet_length(new.workflow_id) operator(pg_catalog.=) 0 or pg_catalog.octet_length(new.workflow_id) operator(pg_catalog.>) 1000
            then 'workflow_id_length'
        when pg_catalog.octet_length(new.id) operator(pg_catalog.=) 0 or pg_catalog.octet_length(new.id) operator(pg_catalog.>) 200
            then 'item_id_length'
    end;
begin
    if new.metadata is not null then
        broken := coalesce(broken, chatfeed.broken_by(new.metadata, tg_op));
    end if;
    if broken is not null then
        perform chatfeed.refuse_item(tg_table_name, broken);
    end if;
    return new;
end
$$;
-- +goose StatementEnd
revoke execute on function chatfeed.check_key(), chatfeed.change_views(text, text, text), chatfeed.change_stamps() from public;

-- Puts a table into the views, or changes how it stands there. The body is what people see in the view items, an expression
-- that makes JSON; the other arguments are the columns, or expressions of them, of which the server makes the same.
-- +goose StatementBegin
create function chatfeed.read_type(
    name text, type text, body text,
    text1 text default 'null', text2 text default 'null', text3 text default 'null', text4 text default 'null', text5 text default 'null',
    number1 text default 'null', number2 text default 'null', number3 text default 'null',
    json1 text default 'null', json2 text default 'null'
) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    bytes text;
begin
    select string_agg(format(' + coalesce(%s(%s), 0)', f, value), '') into bytes
    from unnest(array['octet_length', 'octet_length', 'octet_length', 'octet_length', 'octet_length', 'pg_column_size', 'pg_column_size', 'pg_column_size', 'pg_column_size', 'pg_column_size'],
        array[text1, text2, text3, text4, text5, number1, number2, number3, json1, json2]) b (f, value)
    where value <> 'null';
    perform chatfeed.change_views(name,
        format('select workflow_id, "_createdAt", %L as type, id collate "default" as id, metadata, coalesce(pg_column_size(metadata), 0)%s as bytes,
            %s as text1, %s as text2, %s as text3, (%s)::double precision as number1, (%s)::integer as number2,
            %s as text4, %s as text5, (%s)::integer as number3, (%s)::jsonb as json1, (%s)::jsonb as json2 from chatfeed.%I',
            type, bytes, text1, text2, text3, number1, number2, text4, text5, number3, json1, json2, name),
        format('select workflow_id, "_createdAt", %L as type, id collate "default" as id, %s as body, metadata from chatfeed.%I', type, body, name));
end
$$;
-- +goose StatementEnd

-- Makes a type of item of a table with the columns workflow_id, id, "_createdAt" and metadata: ordered, announced, immutable,
-- erased with its workflow, and read with all others: see read_type. What else its columns may hold, the table says.
drop function chatfeed.make_feed_table(text, text);
-- +goose StatementBegin
create function chatfeed.make_feed_table(
    name text, type text, body text,
    text1 text default 'null', text2 text default 'null', text3 text default 'null', text4 text default 'null', text5 text default 'null',
    number1 text default 'null', number2 text default 'null', number3 text default 'null',
    json1 text default 'null', json2 text default 'null'
) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    bit constant integer := 2 * max(split_part(encode(t.tgargs, 'escape'), chr(92), 1)::integer)
        from pg_trigger t where t.tgname = 'stamp' and t.tgfoid = 'chatfeed.stamp()'::regprocedure;
begin
    execute format('alter table chatfeed.%I add primary key (workflow_id, id), alter metadata set storage external', name);
    execute format('create index %I on chatfeed.%I (workflow_id, "_createdAt")', name || '_in_order', name);
    execute format('create trigger check_key before insert or update on chatfeed.%I
        for each row execute function chatfeed.check_key()', name);
    execute format('create trigger stamp before insert on chatfeed.%I
        for each row execute function chatfeed.stamp(%L)', name, bit);
    execute format('create trigger announce after insert on chatfeed.%I
        referencing new table as inserted for each statement execute function chatfeed.announce()', name);
    execute format('create trigger refuse_update before update on chatfeed.%I
        for each row execute function chatfeed.refuse_update()', name);
    execute format('create trigger %I after delete on chatfeed.workflows
        for each row execute function chatfeed.erase_items(%L)', 'erase_' || name, name);
    perform chatfeed.record_erasures_of(name, type);
    perform chatfeed.change_stamps();
    perform chatfeed.read_type(name, type, body, text1, text2, text3, text4, text5, number1, number2, number3, json1, json2);
end
$$;
-- +goose StatementEnd

-- Undoes what make_feed_table has done, and drops the table.
-- +goose StatementBegin
create function chatfeed.drop_feed_table(dropped text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    perform chatfeed.change_views(dropped, '', '');
    execute format('drop trigger stamp on chatfeed.%I', dropped);
    perform chatfeed.change_stamps();
    execute format('drop trigger %I on chatfeed.workflows', 'erase_' || dropped);
    execute format('drop table chatfeed.%I', dropped);
end
$$;
-- +goose StatementEnd
revoke execute on function chatfeed.make_feed_table(text, text, text, text, text, text, text, text, text, text, text, text, text),
    chatfeed.read_type(text, text, text, text, text, text, text, text, text, text, text, text, text), chatfeed.drop_feed_table(text) from public;

-- +goose Down
set local search_path = pg_catalog, pg_temp;

drop function chatfeed.drop_feed_table(text);
drop function chatfeed.make_feed_table(text, text, text, text, text, text, text, text, text, text, text, text, text);
drop function chatfeed.read_type(text, text, text, text, text, text, text, text, text, text, text, text, text);
drop function chatfeed.change_views(text, text, text);
drop function chatfeed.change_stamps();
drop function chatfeed.check_key();
-- +goose StatementBegin
create function chatfeed.make_feed_table(name text, type text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    execute format('alter table chatfeed.%I add primary key (workflow_id, id)', name);
    execute format('create index %I on chatfeed.%I (workflow_id, "_createdAt")', name || '_in_order', name);
    execute format('create trigger stamp before insert on chatfeed.%I
        for each row execute function chatfeed.stamp()', name);
    execute format('create trigger announce after insert on chatfeed.%I
        referencing new table as inserted for each statement execute function chatfeed.announce()', name);
    execute format('create trigger refuse_update before update on chatfeed.%I
        for each row execute function chatfeed.refuse_update()', name);
    execute format('create trigger %I after delete on chatfeed.workflows
        for each row execute function chatfeed.erase_items(%L)', 'erase_' || name, name);
    perform chatfeed.record_erasures_of(name, type);
    execute 'create or replace view chatfeed.stamps as ' || (
        select string_agg(format('select workflow_id, "_createdAt" from %s', t.tgrelid::regclass), ' union all ' order by t.tgrelid)
        from pg_trigger t where t.tgname = 'stamp' and t.tgfoid = 'chatfeed.stamp()'::regprocedure);
    execute 'create or replace view chatfeed.writers as ' || (
        select string_agg(format('select workflow_id, "_createdAt", xmin as writer from %s', t.tgrelid::regclass), ' union all ' order by t.tgrelid)
        from pg_trigger t where t.tgname = 'stamp' and t.tgfoid = 'chatfeed.stamp()'::regprocedure);
end
$$;
-- +goose StatementEnd

-- A view loses columns only by being made anew, and so its grants, which are given again.
create temporary table chatfeed_grants on commit drop as
select c.relname, a.grantee, a.is_grantable from pg_class c, aclexplode(c.relacl) a
where c.oid in ('chatfeed.entries'::regclass, 'chatfeed.items'::regclass) and a.grantee <> c.relowner and a.privilege_type = 'SELECT';
drop view chatfeed.items;
drop view chatfeed.entries;
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
create view chatfeed.items as
select workflow_id, "_createdAt", type, id, chatfeed.body(type, text1, text2, text3, number1, number2) as body, metadata
from chatfeed.entries;

grant execute on function chatfeed.body(text, text, text, text, double precision, integer) to public;
-- +goose StatementBegin
do $$
declare
    given record;
begin
    for given in select * from chatfeed_grants loop
        execute format('grant select on chatfeed.%I to %s%s', given.relname,
            case when given.grantee = 0 then 'public' else quote_ident(pg_get_userbyid(given.grantee)) end,
            case when given.is_grantable then ' with grant option' else '' end);
    end loop;
end
$$;
-- +goose StatementEnd
