-- The triggers of an insert in fewer steps, with the same effect.
--
-- In each transaction, PostgreSQL prepares every expression of a function anew that it comes to, which costs more than to evaluate
-- it, and each query has a price before it reads anything. So the usual path asks with one expression whether anything is
-- unusual, and one query reads the rows and checks their order.

-- +goose Up
set local search_path = pg_catalog, pg_temp;

-- +goose StatementBegin
create or replace function chatfeed.stamp() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
declare
    wanted text[]; -- workflows to lock first, in this order
    each_wanted text;
    at_least timestamptz;
    listed timestamptz;
    has_then integer;
    has_now integer;
    again boolean;
    now timestamptz;
    micros bigint;
    nothing text;
begin
    if tg_table_schema <> 'chatfeed' or current_setting('chatfeed.lock', true) <> ''
        or new."_createdAt" < statement_timestamp()
    then
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
    end if;

    loop
        select w.floor, w.active, w.has into at_least, listed, has_then
        from chatfeed.workflows w where w.id = new.workflow_id for no key update skip locked;
        exit when found;
        perform chatfeed.wait_for(new.workflow_id, wanted);
    end loop;

    now := clock_timestamp();
    micros := (date_part('epoch', now) * 1000000)::bigint;
    -- What the transaction has stamped last is only a hint, as anyone may set it: it says when to look.
    if now <= at_least or now >= listed + interval '1 minute' or has_then <> 0 or tg_nargs > 0
        or micros <= nullif(current_setting('chatfeed.stamped', true), '')::bigint
        or current_setting('transaction_isolation') in ('repeatable read', 'serializable')
    then
        if has_then & 1 <> 0 then
            execute format('select exists (select from chatfeed.%I where workflow_id = $1 and id = $2)', tg_table_name) into again using new.workflow_id, new.id;
            if not again then -- else it is left out, or refused for its key
                perform chatfeed.refuse_item(tg_table_name, 'workflow_open');
            end if;
        end if;
        if now <= at_least then
            now := greatest(at_least, chatfeed.newest(new.workflow_id)) + interval '1 microsecond';
        end if;
        micros := (date_part('epoch', now) * 1000000)::bigint;
        if micros <= nullif(current_setting('chatfeed.stamped', true), '')::bigint then
            now := greatest(now, chatfeed.newest(new.workflow_id) + interval '1 microsecond');
        end if;
        -- An older snapshot does not show what has committed since. There the newest item that can be seen says too little, and
        -- the stamp is beyond the horizon, which no item of anyone's is.
        if current_setting('transaction_isolation') in ('repeatable read', 'serializable') then
            now := greatest(now, chatfeed.newest(new.workflow_id) + interval '1 microsecond',
                to_timestamp(0) + (pg_sequence_last_value('chatfeed.horizon') + 1) * interval '1 microsecond');
        end if;
        micros := (date_part('epoch', now) * 1000000)::bigint;
        if now >= listed + interval '1 minute' then
            nothing := set_config('chatfeed.stale', 'on', true);
        end if;
        has_now := has_then;
        if tg_nargs > 0 then -- the bit of the type, or the column that says whether the bit 0 is meant
            if tg_argv[0] <> 'final' then
                has_now := has_then | tg_argv[0]::integer;
            elsif new.final then
                has_now := has_then | 1;
            end if;
            if has_now <> has_then then
                update chatfeed.workflows w set has = has_now where w.id = new.workflow_id;
            end if;
        end if;
        if has_now > 1 then
            nothing := set_config('chatfeed.has', (has_now | coalesce(nullif(current_setting('chatfeed.has', true), ''), '0')::integer)::text, true);
        end if;
    end if;
    nothing := set_config('chatfeed.stamped', micros::text, true);
    new."_createdAt" := now;
    return new;
end
$$;
-- +goose StatementEnd

-- +goose StatementBegin
create or replace function chatfeed.announce() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
declare
    -- Of all workflows of the transaction. Whoever sets it to less may break the order of his own rows, by which they may be missed.
    further constant boolean := current_setting('chatfeed.has', true) <> ''; -- they have further types
    own constant integer := case tg_nargs when 0 then 1 else 0 end; -- rows of a row's own that first_stamps has
    -- A loop over a cursor fetches one row at a time: what comes after a row that is followed is not looked at.
    written cursor for
        select i.workflow_id as workflow, i."_createdAt" as stamp, (date_part('epoch', i."_createdAt") * 1000000)::bigint as micros, exists (
            select from chatfeed.first_stamps s where s.workflow_id = i.workflow_id and s."_createdAt" >= i."_createdAt" offset own limit 1
        ) as followed
        from inserted i;
    micros bigint;
    newest bigint;
    followed boolean;
    w record;
    nothing text;
begin
    if tg_table_schema <> 'chatfeed' then -- of whoever has put this on a table of his own
        raise exception 'this is for the tables of chatfeed' using errcode = 'insufficient_privilege';
    end if;
    if current_setting('chatfeed.lock_timeout', true) <> '' then -- it was for the insert, and is not for the commit
        nothing := set_config('lock_timeout', current_setting('chatfeed.lock_timeout'), true);
    end if;

    -- Usually each row is of another workflow, and the newest there. That needs no grouping, which costs as much as to insert a row.
    for r in written loop
        followed := r.followed;
        if further and not followed then
            perform from chatfeed.further_stamps s where s.workflow_id = r.workflow and s."_createdAt" >= r.stamp offset 1 - own limit 1;
            followed := found;
        end if;
        exit when followed;
        newest := greatest(newest, r.micros);
        nothing := pg_notify('chatfeed', concat_ws(' ', r.micros, r.workflow));
    end loop;
    if followed then -- by a row of the same statement, or there is a stamp as late
        for w in
            select i.id, i.n, i.oldest, i.newest, exists (
                select from chatfeed.first_stamps s where s.workflow_id = i.id and s."_createdAt" >= i.oldest offset case tg_nargs when 0 then i.n else 0 end limit 1
            ) as late
            from (select workflow_id as id, count(*) as n, min("_createdAt") as oldest, max("_createdAt") as newest
                  from inserted group by workflow_id) i
        loop
            if further and not w.late then
                perform from chatfeed.further_stamps s where s.workflow_id = w.id and s."_createdAt" >= w.oldest offset case tg_nargs when 0 then 0 else w.n end limit 1;
                w.late := found;
            end if;
            if w.late and chatfeed.late(w.id, w.oldest) then
                execute chatfeed.stamp_again(tg_table_name) into w.newest using w.id;
            end if;
            micros := (date_part('epoch', w.newest) * 1000000)::bigint;
            newest := greatest(newest, micros);
            nothing := pg_notify('chatfeed', concat_ws(' ', micros, w.id));
        end loop;
    end if;
    if newest > pg_sequence_last_value('chatfeed.horizon') then
        perform chatfeed.raise_horizon(newest);
    end if;

    if further or current_setting('chatfeed.stale', true) = 'on' then
        if further and tg_table_name = 'messages' then
            for w in select i.workflow_id, i.id from inserted i loop
                perform chatfeed.finish(w.workflow_id, w.id);
            end loop;
        end if;
        if current_setting('chatfeed.stale', true) = 'on' then -- as stamp() has seen, perhaps of a row that was there already
            update chatfeed.workflows k set active = i.newest
            from (select workflow_id as id, max("_createdAt") as newest from inserted group by workflow_id) i
            where k.id = i.id and k.active <= i.newest - interval '1 minute';
            nothing := set_config('chatfeed.stale', '', true);
        end if;
    end if;
    return null;
end
$$;
-- +goose StatementEnd

-- +goose Down
set local search_path = pg_catalog, pg_temp;

-- +goose StatementBegin
create or replace function chatfeed.stamp() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
declare
    one constant interval := '1 microsecond';
    wanted text[]; -- workflows to lock first, in this order
    each_wanted text;
    at_least timestamptz;
    listed timestamptz;
    has_now integer;
    has_then integer;
    again boolean;
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
        select w.floor, w.active, w.has into at_least, listed, has_then
        from chatfeed.workflows w where w.id = new.workflow_id for no key update skip locked;
        exit when found;
        perform chatfeed.wait_for(new.workflow_id, wanted);
    end loop;

    if has_then & 1 <> 0 then
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
    has_now := has_then;
    if tg_nargs > 0 then -- the bit of the type, or the column that says whether the bit 0 is meant
        if tg_argv[0] <> 'final' then
            has_now := has_then | tg_argv[0]::integer;
        elsif new.final then
            has_now := has_then | 1;
        end if;
        if has_now <> has_then then
            update chatfeed.workflows w set has = has_now where w.id = new.workflow_id;
        end if;
    end if;
    if has_now > 1 then
        nothing := set_config('chatfeed.has', (has_now | coalesce(nullif(current_setting('chatfeed.has', true), ''), '0')::integer)::text, true);
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
    is_late boolean;
    own_first bigint := 0;
    -- Of all workflows of the transaction. Whoever sets it to less may break the order of his own rows, by which they may be missed.
    further constant boolean := current_setting('chatfeed.has', true) <> ''; -- they have further types
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
        if tg_nargs = 0 then -- the rows are of one of the first types
            own_first := n;
        end if;
        perform from chatfeed.first_stamps s where s.workflow_id = first_id and s."_createdAt" >= oldest offset own_first limit 1;
        is_late := found;
        if further and not is_late then
            perform from chatfeed.further_stamps s where s.workflow_id = first_id and s."_createdAt" >= oldest offset n - own_first limit 1;
            is_late := found;
        end if;
        if is_late and chatfeed.late(first_id, oldest) then
            execute chatfeed.stamp_again(tg_table_name) into newest using first_id;
        end if;
        micros := (date_part('epoch', newest) * 1000000)::bigint;
        nothing := pg_notify('chatfeed', micros || ' ' || first_id);
    else
        for w in
            select i.id, i.n, i.oldest, i.newest, exists (
                select from chatfeed.first_stamps s where s.workflow_id = i.id and s."_createdAt" >= i.oldest offset case tg_nargs when 0 then i.n else 0 end limit 1
            ) as late
            from (select workflow_id as id, count(*) as n, min("_createdAt") as oldest, max("_createdAt") as newest
                  from inserted group by workflow_id) i
        loop
            if further and not w.late then
                perform from chatfeed.further_stamps s where s.workflow_id = w.id and s."_createdAt" >= w.oldest offset case tg_nargs when 0 then 0 else w.n end limit 1;
                w.late := found;
            end if;
            if w.late and chatfeed.late(w.id, w.oldest) then
                execute chatfeed.stamp_again(tg_table_name) into w.newest using w.id;
            end if;
            newest := greatest(newest, w.newest);
            nothing := pg_notify('chatfeed', (date_part('epoch', w.newest) * 1000000)::bigint || ' ' || w.id);
        end loop;
        micros := (date_part('epoch', newest) * 1000000)::bigint;
    end if;
    if further and tg_table_name = 'messages' then
        for w in select i.workflow_id, i.id from inserted i loop
            perform chatfeed.finish(w.workflow_id, w.id);
        end loop;
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
