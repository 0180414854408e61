-- What an item may hold is checked by triggers, and the statement's trigger asks less.
--
-- PostgreSQL reads a table's CHECK constraints from their text anew for each statement, which was a fifth of the processor
-- time of an insert of one row. A trigger's expressions are kept. They name what they call with its schema instead of
-- pinning a search path, which costs as much as the checks, and act with the rights of whoever inserts.

-- +goose Up
set local search_path = pg_catalog, pg_temp;

-- Refuses a row as a CHECK constraint does, and says what is accepted.
-- +goose StatementBegin
create function chatfeed.refuse_item(tab text, broken text) returns void
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

-- The check that metadata breaks, if any. Rows from before the rule may be redacted, so only what is inserted must be decodable.
-- +goose StatementBegin
create function chatfeed.broken_by(metadata jsonb, operation text) returns text
language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp as $$
begin
    return case
        when octet_length(metadata::text) > 131072 then 'metadata_length'
        when operation = 'INSERT' and not chatfeed.decodable(metadata) then 'metadata_decodable'
    end;
end
$$;
-- +goose StatementEnd

-- +goose StatementBegin
create function chatfeed.check_message() returns trigger language plpgsql as $$
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
create function chatfeed.check_log() returns trigger language plpgsql as $$
declare
    broken pg_catalog.text := case
        when pg_catalog.octet_length(new.workflow_id) operator(pg_catalog.=) 0 or pg_catalog.octet_length(new.workflow_id) operator(pg_catalog.>) 1000
            then 'workflow_id_length'
        when pg_catalog.octet_length(new.id) operator(pg_catalog.=) 0 or pg_catalog.octet_length(new.id) operator(pg_catalog.>) 200
            then 'item_id_length'
        when pg_catalog.octet_length(new.message) operator(pg_catalog.>) 1048576
            then 'message_length'
        when pg_catalog.octet_length(new.level) operator(pg_catalog.>) 1000
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
create function chatfeed.check_stat() returns trigger language plpgsql as $$
declare
    broken pg_catalog.text := case
        when pg_catalog.octet_length(new.workflow_id) operator(pg_catalog.=) 0 or pg_catalog.octet_length(new.workflow_id) operator(pg_catalog.>) 1000
            then 'workflow_id_length'
        when pg_catalog.octet_length(new.id) operator(pg_catalog.=) 0 or pg_catalog.octet_length(new.id) operator(pg_catalog.>) 200
            then 'item_id_length'
        when new.processing_time operator(pg_catalog.<) 0::pg_catalog.float8 or new.processing_time operator(pg_catalog.>=) 'infinity'::pg_catalog.float8
            then 'processing_time_range'
        when new.token_count operator(pg_catalog.<) 0
            then 'token_count_range'
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
create function chatfeed.check_progress() returns trigger language plpgsql as $$
declare
    broken pg_catalog.text := case
        when pg_catalog.octet_length(new.workflow_id) operator(pg_catalog.=) 0 or pg_catalog.octet_length(new.workflow_id) operator(pg_catalog.>) 1000
            then 'workflow_id_length'
        when pg_catalog.octet_length(new.id) operator(pg_catalog.=) 0 or pg_catalog.octet_length(new.id) operator(pg_catalog.>) 200
            then 'item_id_length'
        when new.progress operator(pg_catalog.<) 0::pg_catalog.float8 or new.progress operator(pg_catalog.>) 100::pg_catalog.float8
            then 'progress_range'
        when pg_catalog.octet_length(new.status) operator(pg_catalog.>) 1000
            then 'label_length'
        when pg_catalog.octet_length(new.result) operator(pg_catalog.>) 1048576
            then 'result_length'
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

revoke execute on function chatfeed.check_message(), chatfeed.check_log(), chatfeed.check_stat(), chatfeed.check_progress() from public;
grant execute on function chatfeed.refuse_item(text, text), chatfeed.broken_by(jsonb, text), chatfeed.decodable(jsonb) to public; -- the checks call them for whoever inserts

drop trigger refuse_undecodable on chatfeed.messages;
alter table chatfeed.messages
    drop constraint workflow_id_length,
    drop constraint item_id_length,
    drop constraint message_length,
    drop constraint label_length,
    drop constraint metadata_length;
create trigger check_item before insert or update on chatfeed.messages for each row execute function chatfeed.check_message();

drop trigger refuse_undecodable on chatfeed.logs;
alter table chatfeed.logs
    drop constraint workflow_id_length,
    drop constraint item_id_length,
    drop constraint message_length,
    drop constraint label_length,
    drop constraint metadata_length;
create trigger check_item before insert or update on chatfeed.logs for each row execute function chatfeed.check_log();

drop trigger refuse_undecodable on chatfeed.stats;
alter table chatfeed.stats
    drop constraint workflow_id_length,
    drop constraint item_id_length,
    drop constraint processing_time_range,
    drop constraint token_count_range,
    drop constraint metadata_length;
create trigger check_item before insert or update on chatfeed.stats for each row execute function chatfeed.check_stat();

drop trigger refuse_undecodable on chatfeed.progress;
alter table chatfeed.progress
    drop constraint workflow_id_length,
    drop constraint item_id_length,
    drop constraint progress_range,
    drop constraint label_length,
    drop constraint result_length,
    drop constraint metadata_length;
create trigger check_item before insert or update on chatfeed.progress for each row execute function chatfeed.check_progress();

drop function chatfeed.refuse_undecodable();

-- +goose StatementBegin
create or replace function chatfeed.announce() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
declare
    n bigint := 0; -- rows, as far as they have been counted
    first_id text;
    last_id text;
    oldest timestamptz;
    newest timestamptz;
    w record;
    micros bigint;
    nothing text;
begin
    if tg_table_schema <> 'chatfeed' then -- of whoever has put this on a table of his own
        raise exception 'this is for the tables of chatfeed' using errcode = 'insufficient_privilege';
    end if;
    if current_setting('chatfeed.lock_timeout', true) <> '' then -- it was for the insert, and is not for the commit
        nothing := set_config('lock_timeout', current_setting('chatfeed.lock_timeout'), true);
        nothing := set_config('chatfeed.lock_timeout', '', true);
    end if;
    for last_id, newest in select i.workflow_id, i."_createdAt" from inserted i loop
        n := n + 1;
        exit when n = 2;
        first_id := last_id;
        oldest := newest;
    end loop;
    if n = 0 then
        return null;
    end if;
    if n = 2 and first_id = last_id then -- perhaps all are of one
        select count(*), max(workflow_id collate "C"), min(workflow_id collate "C"), min("_createdAt"), max("_createdAt")
        into n, last_id, first_id, oldest, newest from inserted;
    end if;
    -- One workflow is looked at by itself: to group costs as much again as to insert a row.
    if first_id = last_id then
        perform from chatfeed.stamps s where s.workflow_id = first_id and s."_createdAt" >= oldest offset n limit 1;
        if found and chatfeed.late(first_id, oldest) then
            execute chatfeed.stamp_again(tg_table_name) into newest using first_id;
        end if;
        micros := (date_part('epoch', newest) * 1000000)::bigint;
        nothing := pg_notify('chatfeed', micros || ' ' || first_id);
    else
        for w in
            select i.id, i.oldest, i.newest, exists (
                select from chatfeed.stamps s where s.workflow_id = i.id and s."_createdAt" >= i.oldest offset i.n limit 1
            ) as late
            from (select workflow_id as id, count(*) as n, min("_createdAt") as oldest, max("_createdAt") as newest
                  from inserted group by workflow_id) i
        loop
            if w.late and chatfeed.late(w.id, w.oldest) then
                execute chatfeed.stamp_again(tg_table_name) into w.newest using w.id;
            end if;
            newest := greatest(newest, w.newest);
            nothing := pg_notify('chatfeed', (date_part('epoch', w.newest) * 1000000)::bigint || ' ' || w.id);
        end loop;
        micros := (date_part('epoch', newest) * 1000000)::bigint;
    end if;
    if micros > pg_sequence_last_value('chatfeed.horizon') then
        perform chatfeed.raise_horizon(micros);
    end if;
    if current_setting('chatfeed.stale', true) = 'on' then -- as stamp() has seen, perhaps of a row that was there already
        update chatfeed.workflows k set active = i.newest
        from (select workflow_id as id, max("_createdAt") as newest from inserted group by workflow_id) i
        where k.id = i.id and k.active <= i.newest - interval '1 minute';
        nothing := set_config('chatfeed.stale', '', true);
    end if;
    return null;
end
$$;
-- +goose StatementEnd

-- +goose Down
set local search_path = pg_catalog, pg_temp;

-- +goose StatementBegin
create function chatfeed.refuse_undecodable() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if not chatfeed.decodable(new.metadata) then
        raise exception 'metadata cannot be decoded by every client: it violates check "metadata_decodable"'
            using errcode = 'check_violation', constraint = 'metadata_decodable', table = tg_table_name,
                  hint = 'JSON nested at most 32 deep is accepted, with numbers that a 64-bit float keeps to the last digit.';
    end if;
    return new;
end
$$;
-- +goose StatementEnd
revoke execute on function chatfeed.decodable(jsonb), chatfeed.refuse_undecodable() from public;

drop trigger check_item on chatfeed.messages;
alter table chatfeed.messages
    add constraint workflow_id_length check (octet_length(workflow_id) between 1 and 1000),
    add constraint item_id_length check (octet_length(id) between 1 and 200),
    add constraint message_length check (octet_length(message) <= 1048576),
    add constraint label_length check (octet_length(role) <= 1000 and octet_length(status) <= 1000),
    add constraint metadata_length check (octet_length(metadata::text) <= 131072) not valid;
create trigger refuse_undecodable before insert on chatfeed.messages
    for each row when (new.metadata is not null) execute function chatfeed.refuse_undecodable();

drop trigger check_item on chatfeed.logs;
alter table chatfeed.logs
    add constraint workflow_id_length check (octet_length(workflow_id) between 1 and 1000),
    add constraint item_id_length check (octet_length(id) between 1 and 200),
    add constraint message_length check (octet_length(message) <= 1048576),
    add constraint label_length check (octet_length(level) <= 1000),
    add constraint metadata_length check (octet_length(metadata::text) <= 131072) not valid;
create trigger refuse_undecodable before insert on chatfeed.logs
    for each row when (new.metadata is not null) execute function chatfeed.refuse_undecodable();

drop trigger check_item on chatfeed.stats;
alter table chatfeed.stats
    add constraint workflow_id_length check (octet_length(workflow_id) between 1 and 1000),
    add constraint item_id_length check (octet_length(id) between 1 and 200),
    add constraint processing_time_range check (processing_time >= 0 and processing_time < 'infinity'),
    add constraint token_count_range check (token_count >= 0),
    add constraint metadata_length check (octet_length(metadata::text) <= 131072) not valid;
create trigger refuse_undecodable before insert on chatfeed.stats
    for each row when (new.metadata is not null) execute function chatfeed.refuse_undecodable();

drop trigger check_item on chatfeed.progress;
alter table chatfeed.progress
    add constraint workflow_id_length check (octet_length(workflow_id) between 1 and 1000),
    add constraint item_id_length check (octet_length(id) between 1 and 200),
    add constraint progress_range check (progress between 0 and 100),
    add constraint label_length check (octet_length(status) <= 1000),
    add constraint result_length check (octet_length(result) <= 1048576),
    add constraint metadata_length check (octet_length(metadata::text) <= 131072) not valid;
create trigger refuse_undecodable before insert on chatfeed.progress
    for each row when (new.metadata is not null) execute function chatfeed.refuse_undecodable();

drop function chatfeed.check_message(), chatfeed.check_log(), chatfeed.check_stat(), chatfeed.check_progress(), chatfeed.refuse_item(text, text), chatfeed.broken_by(jsonb, text);

-- +goose StatementBegin
create or replace function chatfeed.announce() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
declare
    n bigint;
    first_id text;
    last_id text;
    oldest timestamptz;
    newest timestamptz;
    w record;
    nothing text;
begin
    if tg_table_schema <> 'chatfeed' then -- of whoever has put this on a table of his own
        raise exception 'this is for the tables of chatfeed' using errcode = 'insufficient_privilege';
    end if;
    if current_setting('chatfeed.lock_timeout', true) <> '' then -- it was for the insert, and is not for the commit
        nothing := set_config('lock_timeout', current_setting('chatfeed.lock_timeout'), true);
        nothing := set_config('chatfeed.lock_timeout', '', true);
    end if;
    select count(*), min(workflow_id collate "C"), max(workflow_id collate "C"), min("_createdAt"), max("_createdAt")
    into n, first_id, last_id, oldest, newest from inserted;
    if n = 0 then
        return null;
    end if;
    -- One workflow is looked at by itself: to group costs as much again as to insert a row.
    if first_id = last_id then
        perform from chatfeed.stamps s where s.workflow_id = first_id and s."_createdAt" >= oldest offset n limit 1;
        if found and chatfeed.late(first_id, oldest) then
            execute chatfeed.stamp_again(tg_table_name) into newest using first_id;
        end if;
        nothing := pg_notify('chatfeed', (date_part('epoch', newest) * 1000000)::bigint || ' ' || first_id);
    else
        for w in
            select i.id, i.oldest, i.newest, i.n < (
                select count(*) from chatfeed.stamps s where s.workflow_id = i.id and s."_createdAt" >= i.oldest
            ) as late
            from (select workflow_id as id, count(*) as n, min("_createdAt") as oldest, max("_createdAt") as newest
                  from inserted group by workflow_id) i
        loop
            if w.late and chatfeed.late(w.id, w.oldest) then
                execute chatfeed.stamp_again(tg_table_name) into w.newest using w.id;
            end if;
            newest := greatest(newest, w.newest);
            nothing := pg_notify('chatfeed', (date_part('epoch', w.newest) * 1000000)::bigint || ' ' || w.id);
        end loop;
    end if;
    if (date_part('epoch', newest) * 1000000)::bigint > pg_sequence_last_value('chatfeed.horizon') then
        perform chatfeed.raise_horizon((date_part('epoch', newest) * 1000000)::bigint);
    end if;
    if current_setting('chatfeed.stale', true) = 'on' then -- as stamp() has seen, perhaps of a row that was there already
        update chatfeed.workflows k set active = i.newest
        from (select workflow_id as id, max("_createdAt") as newest from inserted group by workflow_id) i
        where k.id = i.id and k.active <= i.newest - interval '1 minute';
        nothing := set_config('chatfeed.stale', '', true);
    end if;
    return null;
end
$$;
-- +goose StatementEnd
