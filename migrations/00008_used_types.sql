-- The order is checked against the types of item that a workflow has, and not against all that there are: a type that it does
-- not use costs it next to nothing, and one that is added slows no other down. And a workflow can be closed.

-- +goose Up
set local search_path = pg_catalog, pg_temp;

-- A bit for each type of which there has been an item. It is written once for each, so it makes few row versions. Of a history
-- from before, and of one that was restored from then, all are set.
alter table chatfeed.workflows add types integer not null default -1;
alter table chatfeed.workflows add final boolean not null default false;
comment on column chatfeed.workflows.final is 'closed: nothing more can be written to it';
comment on column chatfeed.workflows.types is 'which types of item it has had: the bits of the view stamps_by_type';

-- The stamps of all feed tables, with the type's bit. make_feed_table writes it anew for each table, as it does stamps.
create view chatfeed.stamps_by_type as
select workflow_id, "_createdAt", 1 as bit from chatfeed.messages
union all select workflow_id, "_createdAt", 2 from chatfeed.logs
union all select workflow_id, "_createdAt", 4 from chatfeed.stats
union all select workflow_id, "_createdAt", 8 from chatfeed.progress;

-- +goose StatementBegin
create or replace function chatfeed.begin_history(workflow text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    began timestamptz := clock_timestamp();
    horizon timestamptz := to_timestamp(0) + pg_sequence_last_value('chatfeed.horizon') * interval '1 microsecond';
begin
    if began < horizon - interval '100 milliseconds' then
        began := horizon;
    end if;
    insert into chatfeed.workflows (id, born, active, floor, types) values (workflow, began, began, began, 0) on conflict do nothing;
end
$$;
-- +goose StatementEnd

drop trigger stamp on chatfeed.messages;
create trigger stamp before insert on chatfeed.messages for each row execute function chatfeed.stamp('1');
drop trigger stamp on chatfeed.logs;
create trigger stamp before insert on chatfeed.logs for each row execute function chatfeed.stamp('2');
drop trigger stamp on chatfeed.stats;
create trigger stamp before insert on chatfeed.stats for each row execute function chatfeed.stamp('4');
drop trigger stamp on chatfeed.progress;
create trigger stamp before insert on chatfeed.progress for each row execute function chatfeed.stamp('8');

-- +goose StatementBegin
create or replace function chatfeed.stamp() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
declare
    one constant interval := '1 microsecond';
    wanted text[]; -- workflows to lock first, in this order
    each_wanted text;
    at_least timestamptz;
    listed timestamptz;
    closed boolean;
    again boolean;
    bit constant integer := tg_argv[0]; -- of this type
    types integer;
    seen integer := nullif(current_setting('chatfeed.types', true), '');
    now timestamptz;
    micros bigint;
    nothing text;
begin
    if tg_table_schema <> 'chatfeed' then -- of whoever has put this on a table of his own
        raise exception 'this is for the tables of chatfeed' using errcode = 'insufficient_privilege';
    end if;
    if new."_createdAt" < statement_timestamp() and current_setting('check_function_bodies') = 'off' then
        raise exception 'the rows of a dump would be stamped anew, in another order'
            using errcode = 'object_not_in_prerequisite_state',
                  hint = 'Restore data alone with pg_restore --data-only --disable-triggers.';
    end if;

    -- A transaction of several statements names its workflows here, so that two never wait for each other in a circle.
    -- Whoever may insert may set this; it takes no lock that an insert would not.
    if current_setting('chatfeed.lock', true) <> '' then
        wanted := array(select json_array_elements_text(current_setting('chatfeed.lock')::json));
        nothing := set_config('chatfeed.lock', '', true);
        foreach each_wanted in array wanted loop
            perform from chatfeed.workflows w where w.id = each_wanted for no key update skip locked;
            if not found then
                perform chatfeed.wait_for(each_wanted, wanted);
            end if;
        end loop;
    end if;

    loop
        select w.floor, w.active, w.types, w.final into at_least, listed, types, closed
        from chatfeed.workflows w where w.id = new.workflow_id for no key update skip locked;
        exit when found;
        perform chatfeed.wait_for(new.workflow_id, wanted);
    end loop;

    if closed then
        execute format('select exists (select from chatfeed.%I where workflow_id = $1 and id = $2)', tg_table_name) into again using new.workflow_id, new.id;
        if not again then -- else it is left out, or refused for its key
            perform chatfeed.refuse_item(tg_table_name, 'workflow_open');
        end if;
    end if;

    now := clock_timestamp();
    if now <= at_least then
        now := greatest(at_least, chatfeed.newest(new.workflow_id)) + one;
    end if;
    micros := (date_part('epoch', now) * 1000000)::bigint;
    -- What the transaction has stamped last is only a hint, as anyone may set it: it says when to look.
    if micros <= nullif(current_setting('chatfeed.stamped', true), '')::bigint then
        now := greatest(now, chatfeed.newest(new.workflow_id) + one);
        micros := (date_part('epoch', now) * 1000000)::bigint;
    end if;
    -- An older snapshot does not show what has committed since. There the newest item that can be seen says too little, and
    -- the stamp is beyond the horizon, which no item of anyone's is.
    if current_setting('transaction_isolation') in ('repeatable read', 'serializable') then
        now := greatest(now, chatfeed.newest(new.workflow_id) + one,
            to_timestamp(0) + (pg_sequence_last_value('chatfeed.horizon') + 1) * one);
        micros := (date_part('epoch', now) * 1000000)::bigint;
    end if;
    nothing := set_config('chatfeed.stamped', micros::text, true);
    if now >= listed + interval '1 minute' then
        nothing := set_config('chatfeed.stale', 'on', true);
    end if;
    if types & bit = 0 then
        types := types | bit;
        update chatfeed.workflows w set types = w.types | bit where w.id = new.workflow_id;
    end if;
    if seen is null or types & ~seen <> 0 then
        nothing := set_config('chatfeed.types', (types | coalesce(seen, 0))::text, true);
    end if;
    new."_createdAt" := now;
    return new;
end
$$;
-- +goose StatementEnd

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
    -- Of all workflows of the transaction. Whoever sets it to less may break the order of his own rows, by which they may be missed.
    types integer := coalesce(nullif(current_setting('chatfeed.types', true), '')::integer, -1);
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
        perform from chatfeed.stamps_by_type s where s.workflow_id = first_id and s."_createdAt" >= oldest and s.bit & types <> 0 offset n limit 1;
        if found and chatfeed.late(first_id, oldest) then
            execute chatfeed.stamp_again(tg_table_name) into newest using first_id;
        end if;
        micros := (date_part('epoch', newest) * 1000000)::bigint;
        nothing := pg_notify('chatfeed', micros || ' ' || first_id);
    else
        for w in
            select i.id, i.oldest, i.newest, exists (
                select from chatfeed.stamps_by_type s where s.workflow_id = i.id and s."_createdAt" >= i.oldest and s.bit & types <> 0 offset i.n limit 1
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

drop trigger stamp on chatfeed.messages;
create trigger stamp before insert on chatfeed.messages for each row execute function chatfeed.stamp();
drop trigger stamp on chatfeed.logs;
create trigger stamp before insert on chatfeed.logs for each row execute function chatfeed.stamp();
drop trigger stamp on chatfeed.stats;
create trigger stamp before insert on chatfeed.stats for each row execute function chatfeed.stamp();
drop trigger stamp on chatfeed.progress;
create trigger stamp before insert on chatfeed.progress for each row execute function chatfeed.stamp();

-- +goose StatementBegin
create or replace function chatfeed.stamp() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
declare
    one constant interval := '1 microsecond';
    wanted text[]; -- workflows to lock first, in this order
    each_wanted text;
    at_least timestamptz;
    listed timestamptz;
    now timestamptz;
    micros bigint;
    nothing text;
begin
    if tg_table_schema <> 'chatfeed' then -- of whoever has put this on a table of his own
        raise exception 'this is for the tables of chatfeed' using errcode = 'insufficient_privilege';
    end if;
    if new."_createdAt" < statement_timestamp() and current_setting('check_function_bodies') = 'off' then
        raise exception 'the rows of a dump would be stamped anew, in another order'
            using errcode = 'object_not_in_prerequisite_state',
                  hint = 'Restore data alone with pg_restore --data-only --disable-triggers.';
    end if;

    -- A transaction of several statements names its workflows here, so that two never wait for each other in a circle.
    -- Whoever may insert may set this; it takes no lock that an insert would not.
    if current_setting('chatfeed.lock', true) <> '' then
        wanted := array(select json_array_elements_text(current_setting('chatfeed.lock')::json));
        nothing := set_config('chatfeed.lock', '', true);
        foreach each_wanted in array wanted loop
            perform from chatfeed.workflows w where w.id = each_wanted for no key update skip locked;
            if not found then
                perform chatfeed.wait_for(each_wanted, wanted);
            end if;
        end loop;
    end if;

    loop
        select w.floor, w.active into at_least, listed
        from chatfeed.workflows w where w.id = new.workflow_id for no key update skip locked;
        exit when found;
        perform chatfeed.wait_for(new.workflow_id, wanted);
    end loop;

    now := clock_timestamp();
    if now <= at_least then
        now := greatest(at_least, chatfeed.newest(new.workflow_id)) + one;
    end if;
    micros := (date_part('epoch', now) * 1000000)::bigint;
    -- What the transaction has stamped last is only a hint, as anyone may set it: it says when to look.
    if micros <= nullif(current_setting('chatfeed.stamped', true), '')::bigint then
        now := greatest(now, chatfeed.newest(new.workflow_id) + one);
        micros := (date_part('epoch', now) * 1000000)::bigint;
    end if;
    -- An older snapshot does not show what has committed since. There the newest item that can be seen says too little, and
    -- the stamp is beyond the horizon, which no item of anyone's is.
    if current_setting('transaction_isolation') in ('repeatable read', 'serializable') then
        now := greatest(now, chatfeed.newest(new.workflow_id) + one,
            to_timestamp(0) + (pg_sequence_last_value('chatfeed.horizon') + 1) * one);
        micros := (date_part('epoch', now) * 1000000)::bigint;
    end if;
    nothing := set_config('chatfeed.stamped', micros::text, true);
    if now >= listed + interval '1 minute' then
        nothing := set_config('chatfeed.stale', 'on', true);
    end if;
    new."_createdAt" := now;
    return new;
end
$$;
-- +goose StatementEnd

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

-- +goose StatementBegin
create or replace function chatfeed.begin_history(workflow text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    began timestamptz := clock_timestamp();
    horizon timestamptz := to_timestamp(0) + pg_sequence_last_value('chatfeed.horizon') * interval '1 microsecond';
begin
    if began < horizon - interval '100 milliseconds' then
        began := horizon;
    end if;
    insert into chatfeed.workflows (id, born, active, floor) values (workflow, began, began, began) on conflict do nothing;
end
$$;
-- +goose StatementEnd

drop view chatfeed.stamps_by_type;
alter table chatfeed.workflows drop types, drop final;
