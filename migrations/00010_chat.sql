-- What a chat with a model has besides whole messages: pieces of one that is not finished, tool calls, edits, and an end.

-- +goose Up
set local search_path = pg_catalog, pg_temp;

-- A piece of a message that is being written. Its id says where it belongs, so that a repeated write is the same row; it is
-- ordered byte by byte, so that those of a message are one range of the key.
create table chatfeed.deltas (
    workflow_id  text             not null,
    id           text collate "C" not null, -- "message_id:attempt:part:at", whatever is supplied
    "_createdAt" timestamptz      not null default clock_timestamp(),
    message_id   text             not null,
    attempt      integer          not null default 1, -- a higher one supersedes what lower ones have written
    part         integer          not null default 0,
    kind         text             not null default 'text', -- of the part: text, reasoning, tool-input and others
    at           integer          not null default 0, -- where in the part the delta begins, in characters as char_length counts them
    delta        text             not null,
    metadata     jsonb
);

-- A state of a tool call. The latest row of a call is its state.
create table chatfeed.tools (
    workflow_id  text        not null,
    id           text        not null, -- "call_id:state" unless given
    "_createdAt" timestamptz not null default clock_timestamp(),
    call_id      text        not null,
    message_id   text        not null default '',
    name         text        not null,
    state        text        not null,
    input        jsonb,
    output       jsonb,
    error        text        not null default '',
    metadata     jsonb,
    constraint call_id_length check (octet_length(call_id) between 1 and 150),
    constraint message_id_length check (octet_length(message_id) <= 200),
    constraint name_length check (octet_length(name) between 1 and 1000),
    constraint state_known check (state in
        ('input-available', 'approval-requested', 'approval-responded', 'output-available', 'output-error', 'output-denied')),
    constraint error_length check (octet_length(error) <= 1048576),
    -- In an item they are one deeper than metadata is.
    constraint input_decodable check (octet_length(input::text) <= 524288 and chatfeed.decodable(jsonb_build_array(input))),
    constraint output_decodable check (octet_length(output::text) <= 524288 and chatfeed.decodable(jsonb_build_array(output)))
);
alter table chatfeed.tools alter input set storage external, alter output set storage external;

alter table chatfeed.messages add replaces text not null default ''; -- the id of the first version of the message that this takes the place of

-- +goose StatementBegin
create or replace function chatfeed.refuse_item(tab text, broken text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    raise exception 'new row for relation "%" violates check constraint "%"', tab, broken
        using errcode = 'check_violation', schema = 'chatfeed', table = tab, constraint = broken, hint = case broken
            when 'workflow_open' then 'The workflow is closed: a progress of it is final.'
            when 'message_id_length' then 'A message_id has 1 to 150 bytes.'
            when 'replaces_length' then 'A replaces has at most 200 bytes.'
            when 'kind_length' then 'A kind has 1 to 1000 bytes.'
            when 'delta_length' then 'A delta has at most 1048576 bytes.'
            when 'delta_range' then 'An attempt is 1 or more; part and at are 0 or more.'
            when 'workflow_id_length' then 'A workflow_id has 1 to 1000 bytes.'
            when 'item_id_length' then 'An id has 1 to 200 bytes.'
            when 'label_length' then 'A role, a status and a level have at most 1000 bytes.'
            when 'message_length' then 'A message has at most 1048576 bytes.'
            when 'result_length' then 'A result has at most 1048576 bytes.'
            when 'processing_time_range' then 'A processing_time is in seconds, zero or more.'
            when 'token_count_range' then 'A token_count is zero or more.'
            when 'progress_range' then 'A progress is 0 to 100.'
            when 'metadata_length' then 'Metadata has at most 131072 bytes as PostgreSQL writes it.'
            when 'metadata_decodable' then 'JSON nested at most 32 deep is accepted, with numbers that a 64-bit float keeps to the last digit.'
        end;
end
$$;
-- +goose StatementEnd

-- +goose StatementBegin
create or replace function chatfeed.check_message() returns trigger language plpgsql as $$
declare
    broken pg_catalog.text := case
        when pg_catalog.octet_length(new.workflow_id) operator(pg_catalog.=) 0 or pg_catalog.octet_length(new.workflow_id) operator(pg_catalog.>) 1000
            then 'workflow_id_length'
        when pg_catalog.octet_length(new.id) operator(pg_catalog.=) 0 or pg_catalog.octet_length(new.id) operator(pg_catalog.>) 200
            then 'item_id_length'
        when pg_catalog.octet_length(new.message) operator(pg_catalog.>) 1048576
            then 'message_length'
        when pg_catalog.octet_length(new.role) operator(pg_catalog.>) 1000 or pg_catalog.octet_length(new.status) operator(pg_catalog.>) 1000
            then 'label_length'
        when pg_catalog.octet_length(new.replaces) operator(pg_catalog.>) 200
            then 'replaces_length'
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

-- +goose StatementBegin
create function chatfeed.check_delta() returns trigger language plpgsql as $$
declare
    broken pg_catalog.text := case
        when pg_catalog.octet_length(new.workflow_id) operator(pg_catalog.=) 0 or pg_catalog.octet_length(new.workflow_id) operator(pg_catalog.>) 1000
            then 'workflow_id_length'
        when pg_catalog.octet_length(new.message_id) operator(pg_catalog.=) 0 or pg_catalog.octet_length(new.message_id) operator(pg_catalog.>) 150
            then 'message_id_length'
        when pg_catalog.octet_length(new.kind) operator(pg_catalog.=) 0 or pg_catalog.octet_length(new.kind) operator(pg_catalog.>) 1000
            then 'kind_length'
        when pg_catalog.octet_length(new.delta) operator(pg_catalog.>) 1048576
            then 'delta_length'
        when new.attempt operator(pg_catalog.<) 1 or new.part operator(pg_catalog.<) 0 or new.at operator(pg_catalog.<) 0
            then 'delta_range'
    end;
begin
    if new.metadata is not null then
        broken := coalesce(broken, chatfeed.broken_by(new.metadata, tg_op));
    end if;
    if broken is not null then
        perform chatfeed.refuse_item(tg_table_name, broken);
    end if;
    new.id := pg_catalog.concat_ws(':', new.message_id, new.attempt, new.part, new.at);
    return new;
end
$$;
-- +goose StatementEnd

-- +goose StatementBegin
create function chatfeed.name_tool() returns trigger language plpgsql as $$
begin
    new.id := coalesce(new.id, pg_catalog.concat_ws(':', new.call_id, new.state));
    return new;
end
$$;
-- +goose StatementEnd

-- A delta of a message that is there is late: its attempt was superseded. It is left out. This is asked after stamp() has taken
-- the workflow's lock, so that no message comes in between.
-- +goose StatementBegin
create function chatfeed.unfinished() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
begin
    if tg_table_schema <> 'chatfeed' then -- of whoever has put this on a table of his own
        raise exception 'this is for the tables of chatfeed' using errcode = 'insufficient_privilege';
    end if;
    perform from chatfeed.messages m where m.workflow_id = new.workflow_id and m.id = new.message_id;
    if found then
        return null;
    end if;
    return new;
end
$$;
-- +goose StatementEnd

-- When a message is inserted, its deltas go. A client cannot tell, as the message comes after them, so this is no erasure.
-- +goose StatementBegin
create or replace function chatfeed.finish(workflow text, message text) returns void
language plpgsql set search_path = pg_catalog, pg_temp set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
declare
    nothing text;
begin
    nothing := set_config('chatfeed.finishing', 'on', true);
    delete from chatfeed.deltas d
    where d.workflow_id = workflow and d.message_id = message
        and d.id >= (message || ':') collate "C" and d.id < (message || ';') collate "C"; -- the next byte
    nothing := set_config('chatfeed.finishing', '', true);
end
$$;
-- +goose StatementEnd

-- Deletes the deltas of messages that have not come for so long, because an attempt has died and none followed, and says how
-- many those were. Who follows is told, as of any erasure.
-- +goose StatementBegin
create function chatfeed.prune_deltas(age interval default '1 day') returns bigint
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    n bigint;
begin
    delete from chatfeed.deltas d where d."_createdAt" < clock_timestamp() - age;
    get diagnostics n = row_count;
    return n;
end
$$;
-- +goose StatementEnd

select chatfeed.make_feed_table('deltas', 'delta',
    body => $$json_build_object('messageId', message_id, 'attempt', attempt, 'part', part, 'kind', kind, 'at', at, 'delta', delta)$$,
    text1 => 'delta', text2 => 'message_id', text3 => 'kind', number1 => 'attempt', number2 => 'part', number3 => 'at');
select chatfeed.make_feed_table('tools', 'tool',
    body => $$json_build_object('callId', call_id, 'messageId', message_id, 'name', name, 'state', state, 'input', input, 'output', output, 'error', error)$$,
    text1 => 'error', text2 => 'call_id', text3 => 'message_id', text4 => 'name', text5 => 'state', json1 => 'input', json2 => 'output');
select chatfeed.read_type('messages', 'message',
    body => $$case replaces when '' then json_build_object('message', message, 'role', role, 'status', status)
        else json_build_object('message', message, 'role', role, 'status', status, 'replaces', replaces) end$$,
    text1 => 'message', text2 => 'role', text3 => 'status', text4 => 'replaces');
select chatfeed.read_type('progress', 'progress',
    body => $$case when final then json_build_object('progress', progress, 'status', status, 'result', result, 'final', final)
        else json_build_object('progress', progress, 'status', status, 'result', result) end$$,
    text1 => 'result', text2 => 'status', number1 => 'progress', number2 => 'final::integer');

drop trigger check_key on chatfeed.deltas; -- check_delta does it, too
create trigger check_delta before insert or update on chatfeed.deltas for each row execute function chatfeed.check_delta();
create trigger unfinished before insert on chatfeed.deltas for each row execute function chatfeed.unfinished(); -- after stamp, by name
create trigger a_name before insert on chatfeed.tools for each row execute function chatfeed.name_tool(); -- before check_key, by name

drop trigger lock_before_erasure on chatfeed.deltas;
drop trigger record_erasure on chatfeed.deltas;
create trigger lock_before_erasure before delete on chatfeed.deltas
    for each row when (current_setting('chatfeed.finishing', true) is distinct from 'on') execute function chatfeed.lock_before_erasure();
create trigger record_erasure after delete on chatfeed.deltas referencing old table as gone
    for each statement when (current_setting('chatfeed.finishing', true) is distinct from 'on') execute function chatfeed.record_erasure('delta');
alter table chatfeed.deltas enable always trigger record_erasure;

revoke execute on function chatfeed.check_delta(), chatfeed.name_tool(), chatfeed.unfinished(), chatfeed.prune_deltas(interval) from public;

-- Who writes messages may write these, too.
-- +goose StatementBegin
do $$
declare
    grantee text;
begin
    for grantee in
        select distinct case when a.grantee = 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end
        from pg_class c, aclexplode(c.relacl) a
        where c.oid = 'chatfeed.messages'::regclass and a.privilege_type = 'INSERT' and a.grantee <> c.relowner
    loop
        execute format('grant insert, select (workflow_id, id) on chatfeed.deltas, chatfeed.tools to %s', grantee);
    end loop;
end
$$;
-- +goose StatementEnd

-- +goose Down
set local search_path = pg_catalog, pg_temp;

select chatfeed.drop_feed_table('deltas');
select chatfeed.drop_feed_table('tools');
drop function chatfeed.check_delta(), chatfeed.name_tool(), chatfeed.unfinished(), chatfeed.prune_deltas(interval);
-- +goose StatementBegin
create or replace function chatfeed.finish(workflow text, message text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
end
$$;
-- +goose StatementEnd
select chatfeed.read_type('messages', 'message', body => $$json_build_object('message', message, 'role', role, 'status', status)$$,
    text1 => 'message', text2 => 'role', text3 => 'status');
select chatfeed.read_type('progress', 'progress', body => $$json_build_object('progress', progress, 'status', status, 'result', result)$$,
    text1 => 'result', text2 => 'status', number1 => 'progress');
alter table chatfeed.messages drop replaces;
-- +goose StatementBegin
create or replace function chatfeed.check_message() returns trigger language plpgsql as $$
declare
    broken pg_catalog.text := case
        when pg_catalog.octet_length(new.workflow_id) operator(pg_catalog.=) 0 or pg_catalog.octet_length(new.workflow_id) operator(pg_catalog.>) 1000
            then 'workflow_id_length'
        when pg_catalog.octet_length(new.id) operator(pg_catalog.=) 0 or pg_catalog.octet_length(new.id) operator(pg_catalog.>) 200
            then 'item_id_length'
        when pg_catalog.octet_length(new.message) operator(pg_catalog.>) 1048576
            then 'message_length'
        when pg_catalog.octet_length(new.role) operator(pg_catalog.>) 1000 or pg_catalog.octet_length(new.status) operator(pg_catalog.>) 1000
            then 'label_length'
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

-- +goose StatementBegin
create or replace function chatfeed.refuse_item(tab text, broken text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    raise exception 'new row for relation "%" violates check constraint "%"', tab, broken
        using errcode = 'check_violation', schema = 'chatfeed', table = tab, constraint = broken, hint = case broken
            when 'workflow_id_length' then 'A workflow_id has 1 to 1000 bytes.'
            when 'item_id_length' then 'An id has 1 to 200 bytes.'
            when 'label_length' then 'A role, a status and a level have at most 1000 bytes.'
            when 'message_length' then 'A message has at most 1048576 bytes.'
            when 'result_length' then 'A result has at most 1048576 bytes.'
            when 'processing_time_range' then 'A processing_time is in seconds, zero or more.'
            when 'token_count_range' then 'A token_count is zero or more.'
            when 'progress_range' then 'A progress is 0 to 100.'
            when 'metadata_length' then 'Metadata has at most 131072 bytes as PostgreSQL writes it.'
            when 'metadata_decodable' then 'JSON nested at most 32 deep is accepted, with numbers that a 64-bit float keeps to the last digit.'
        end;
end
$$;
-- +goose StatementEnd
