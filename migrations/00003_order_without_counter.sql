-- The order without a row version for each item. What took a workflow's lock by updating its row now takes it by locking
-- the row, and the head is what the items' own indexes say.
--
-- A row is stamped with the clock after its workflow's lock has been taken. When the statement ends, one query for all its
-- workflows makes sure that nothing else has a stamp as great, which only a clock that has stepped back can bring about;
-- such rows are stamped again before anyone can see them. The lock is held until the transaction ends, so within one
-- workflow the order of "_createdAt" is the order of commit, whoever writes and whatever the clock does.
--
-- Triggers act with their owner's rights: who may insert items needs no right on chatfeed.workflows, and cannot break the
-- order. Every function has its search path pinned, so nobody's functions of the same names run with these rights, and none
-- can be called, or put on a table, by others than the owner. Their plans are kept while the tables grow, also one that was made
-- when a table was so small that to read all of it was cheapest; so they may not read all of a table. And they are kept at all:
-- to plan anew for each insert, which PostgreSQL does where it expects more of a workflow than of others, costs more than it.

-- +goose Up
set local search_path = pg_catalog, pg_temp;

-- +goose StatementBegin
do $$
begin
    if current_setting('server_version_num')::int < 140000 then
        raise exception 'chatfeed needs PostgreSQL 14 or later; this is %', current_setting('server_version')
            using errcode = 'feature_not_supported';
    end if;
    if current_setting('server_encoding') <> 'UTF8' then
        raise exception 'chatfeed needs a database with the encoding UTF8; this one has %', current_setting('server_encoding')
            using errcode = 'feature_not_supported', hint = 'create database … encoding ''UTF8'' template template0';
    end if;
end
$$;
-- +goose StatementEnd

drop trigger follow_status on chatfeed.progress;
drop function chatfeed.follow_status();
drop index chatfeed.workflows_by_head_hour;

-- What a workflow has besides its items. None of it changes with each item.
alter table chatfeed.workflows add born timestamptz not null default clock_timestamp();
alter table chatfeed.workflows add active timestamptz not null default clock_timestamp();
alter table chatfeed.workflows add floor timestamptz not null default '-infinity';
update chatfeed.workflows set born = to_timestamp(0), active = head, floor = head;
alter table chatfeed.workflows drop head, drop status, drop head_hour;
comment on column chatfeed.workflows.born is 'when the history began; another after it was erased and written anew';
comment on column chatfeed.workflows.active is 'a time of activity, at most a minute before that of the newest item; to list by';
comment on column chatfeed.workflows.floor is 'every later item is stamped after this';
create index workflows_by_activity on chatfeed.workflows (active desc, id desc);

-- No item of any workflow has a stamp beyond this, in microseconds of the Unix epoch. A sequence, because a transaction
-- whose snapshot is old sees its present value all the same: see chatfeed.stamp().
create sequence chatfeed.horizon;
create table chatfeed.horizon_turn (); -- whoever raises the horizon locks this table
select setval('chatfeed.horizon', greatest(1, (extract(epoch from max(active)) * 1000000)::bigint)) from chatfeed.workflows;

-- The stamps of all feed tables, so that one query finds a workflow's newest. make_feed_table writes it anew for each table.
create view chatfeed.stamps as
select workflow_id, "_createdAt" from chatfeed.messages
union all select workflow_id, "_createdAt" from chatfeed.logs
union all select workflow_id, "_createdAt" from chatfeed.stats
union all select workflow_id, "_createdAt" from chatfeed.progress;

-- The same with the transactions that wrote them. In a block, as sqlc knows no system columns.
-- +goose StatementBegin
do $$
begin
    create view chatfeed.writers as
    select workflow_id, "_createdAt", xmin as writer from chatfeed.messages
    union all select workflow_id, "_createdAt", xmin from chatfeed.logs
    union all select workflow_id, "_createdAt", xmin from chatfeed.stats
    union all select workflow_id, "_createdAt", xmin from chatfeed.progress;
end
$$;
-- +goose StatementEnd

-- Two items of a workflow never have one stamp, but a clock that steps back may read what an item has. It is stamped again when
-- the statement ends, which a unique index would not wait for.
drop index chatfeed.messages_in_order, chatfeed.logs_in_order, chatfeed.stats_in_order, chatfeed.progress_in_order;
create index messages_in_order on chatfeed.messages (workflow_id, "_createdAt");
create index logs_in_order on chatfeed.logs (workflow_id, "_createdAt");
create index stats_in_order on chatfeed.stats (workflow_id, "_createdAt");
create index progress_in_order on chatfeed.progress (workflow_id, "_createdAt");

-- +goose StatementBegin
create function chatfeed.newest(workflow text) returns timestamptz
language plpgsql set search_path = pg_catalog, pg_temp set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
declare
    stamp timestamptz;
begin
    select s."_createdAt" into stamp from chatfeed.stamps s where s.workflow_id = workflow order by s."_createdAt" desc limit 1;
    return stamp;
end
$$;
-- +goose StatementEnd

-- Raises the horizon to a stamp or, so that this is seldom, to a tenth of a second from now. Whoever raises it waits for
-- nothing else meanwhile, and the lock ends with the block, not with the transaction.
-- +goose StatementBegin
create function chatfeed.raise_horizon(stamp bigint) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    lock table chatfeed.horizon_turn in exclusive mode;
    if stamp > pg_sequence_last_value('chatfeed.horizon') then
        perform setval('chatfeed.horizon', greatest(stamp, (extract(epoch from clock_timestamp()) * 1000000)::bigint + 100000));
    end if;
    raise exception using errcode = 'CF001';
exception
    when sqlstate 'CF001' then
        return; -- the lock has been released; a sequence keeps its value
end
$$;
-- +goose StatementEnd

-- Makes a workflow's row where there is none. A history begins before its first item and after those of one that was erased.
-- Where the clock is further behind the horizon than that is ever ahead, it has stepped back, and the horizon counts.
-- +goose StatementBegin
create function chatfeed.begin_history(workflow text) returns void
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

-- Those of the workflows that others have locked or are about to make. For an error to name: the transaction fails with it,
-- and so gives back the locks that this takes.
-- +goose StatementBegin
create function chatfeed.locked(workflows text[]) returns json
language plpgsql set search_path = pg_catalog, pg_temp set enable_seqscan = off as $$
declare
    each_one text;
    found_locked text[];
begin
    perform set_config('lock_timeout', '1', true); -- milliseconds
    foreach each_one in array workflows loop
        begin
            perform from chatfeed.workflows w where w.id = each_one for no key update nowait;
            if not found then
                perform chatfeed.begin_history(each_one);
            end if;
        exception
            when lock_not_available then
                found_locked := array_append(found_locked, each_one);
        end;
    end loop;
    return to_json(found_locked);
end
$$;
-- +goose StatementEnd

-- Takes the lock of a workflow that could not be had at once, and makes the workflow's row where there is none. Where a
-- lock_timeout passes, the error's detail names those of the workflow and the wanted ones that others have locked, as a JSON
-- array.
-- +goose StatementBegin
create function chatfeed.wait_for(workflow text, wanted text[]) returns void
language plpgsql set search_path = pg_catalog, pg_temp set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
begin
    loop
        perform from chatfeed.workflows w where w.id = workflow for no key update;
        exit when found;
        perform chatfeed.begin_history(workflow);
    end loop;
exception
    when lock_not_available then
        raise exception 'workflow % is being written to by a transaction that has not ended', to_json(workflow)
            using errcode = 'lock_not_available', detail = coalesce(
                chatfeed.locked(coalesce(wanted, array[workflow])), json_build_array(workflow));
end
$$;
-- +goose StatementEnd

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

-- Whether a workflow has an item from a stamp on that is another transaction's. Those of this transaction, such as of a
-- further insert of the same statement, are in no order to these. A row that can be seen is committed, or ours.
-- +goose StatementBegin
create function chatfeed.late(workflow text, oldest timestamptz) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp set enable_seqscan = off as $$
declare
    newest_xid constant bigint := pg_current_xact_id()::text::bigint;
begin
    return exists (
        select from (
            -- xmin without what it counts from, which is that of the newest or the one before
            select (newest_xid - (newest_xid - s.writer::text::bigint) % 4294967296)::text::xid8 as writer
            from chatfeed.writers s where s.workflow_id = workflow and s."_createdAt" >= oldest
        ) w
        where pg_xact_status(w.writer) is distinct from 'in progress'
    );
end
$$;
-- +goose StatementEnd

-- The statement that moves what was just inserted into a workflow ($1) behind everything that is there, and notes in the
-- workflow's row where that is, so that the next insert looks before it stamps. It returns the newest stamp.
-- +goose StatementBegin
create function chatfeed.stamp_again(tab text) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    return format($sql$
        with newest as materialized (select chatfeed.newest($1) as stamp), again as (
            update chatfeed.%I t set "_createdAt" = n.stamp + i.place * interval '1 microsecond'
            from newest n, (select id, row_number() over (order by "_createdAt") as place from inserted where workflow_id = $1) i
            where t.workflow_id = $1 and t.id = i.id
            returning t."_createdAt"
        )
        update chatfeed.workflows w set floor = greatest(w.floor, a.newest)
        from (select max("_createdAt") as newest from again) a
        where w.id = $1 returning a.newest$sql$, tab);
end
$$;
-- +goose StatementEnd

-- +goose StatementBegin
create or replace function chatfeed.refuse_update() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    -- chatfeed.announce() may stamp again what it is about to announce.
    if pg_trigger_depth() > 1 and new."_createdAt" > old."_createdAt" then
        old."_createdAt" := new."_createdAt";
        if old is not distinct from new then
            return new;
        end if;
    end if;
    raise exception 'a row of chatfeed.% never changes: insert a new item instead of updating one', tg_table_name
        using errcode = 'restrict_violation',
              hint = 'Clients that have already read the row would never see the change.';
end
$$;
-- +goose StatementEnd

-- +goose StatementBegin
create or replace function chatfeed.erase_items() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if tg_table_schema <> 'chatfeed' then -- of whoever has put this on a table of his own
        raise exception 'this is for the tables of chatfeed' using errcode = 'insufficient_privilege';
    end if;
    if current_setting('transaction_isolation') in ('repeatable read', 'serializable') then
        -- Items that have been committed since its snapshot would stay without their workflow.
        raise exception 'a workflow cannot be erased in a transaction that is %', current_setting('transaction_isolation')
            using errcode = 'feature_not_supported', hint = 'Erase it in a read committed transaction.';
    end if;
    execute format('delete from chatfeed.%I where workflow_id = $1', tg_argv[0]) using old.id;
    return null;
end
$$;
-- +goose StatementEnd

-- +goose Down
alter table chatfeed.workflows add head timestamptz, add status text not null default '',
    add head_hour timestamptz not null default to_timestamp(0);
update chatfeed.workflows w set
    head = coalesce((select max("_createdAt") from chatfeed.stamps s where s.workflow_id = w.id), w.active),
    status = coalesce((select p.status from chatfeed.progress p where p.workflow_id = w.id order by p."_createdAt" desc limit 1), '');
update chatfeed.workflows set head = greatest(head, floor), head_hour = date_bin('1 hour', head, to_timestamp(0));
alter table chatfeed.workflows alter head set not null, drop born, drop active, drop floor;
create index workflows_by_head_hour on chatfeed.workflows (head_hour desc);
drop function chatfeed.begin_history(text), chatfeed.newest(text), chatfeed.raise_horizon(bigint), chatfeed.wait_for(text, text[]), chatfeed.locked(text[]), chatfeed.stamp_again(text);
drop function chatfeed.late(text, timestamptz);
drop view chatfeed.writers;
drop view chatfeed.stamps;
drop index chatfeed.messages_in_order, chatfeed.logs_in_order, chatfeed.stats_in_order, chatfeed.progress_in_order;
create unique index messages_in_order on chatfeed.messages (workflow_id, "_createdAt");
create unique index logs_in_order on chatfeed.logs (workflow_id, "_createdAt");
create unique index stats_in_order on chatfeed.stats (workflow_id, "_createdAt");
create unique index progress_in_order on chatfeed.progress (workflow_id, "_createdAt");
drop sequence chatfeed.horizon;
drop table chatfeed.horizon_turn;

-- +goose StatementBegin
create or replace function chatfeed.stamp() returns trigger language plpgsql as $$
declare
    hour timestamptz;
begin
    -- Almost always the workflow is there, and a plain update is cheaper than an upsert.
    update chatfeed.workflows w set head = greatest(clock_timestamp(), w.head + interval '1 microsecond')
    where w.id = new.workflow_id
    returning w.head, w.head_hour into new."_createdAt", hour;
    if not found then
        insert into chatfeed.workflows as w (id, head)
        values (new.workflow_id, clock_timestamp())
        on conflict (id) do update set head = greatest(clock_timestamp(), w.head + interval '1 microsecond')
        returning w.head, w.head_hour into new."_createdAt", hour;
    end if;
    if new."_createdAt" >= hour + interval '1 hour' then
        update chatfeed.workflows w set head_hour = date_bin('1 hour', w.head, to_timestamp(0))
        where w.id = new.workflow_id;
    end if;
    return new;
end
$$;
-- +goose StatementEnd

-- +goose StatementBegin
create or replace function chatfeed.announce() returns trigger language plpgsql as $$
begin
    perform pg_notify('chatfeed', (extract(epoch from max("_createdAt")) * 1000000)::bigint || ' ' || workflow_id)
    from inserted
    group by workflow_id;
    return null;
end
$$;
-- +goose StatementEnd

-- +goose StatementBegin
create or replace function chatfeed.refuse_update() returns trigger language plpgsql as $$
begin
    raise exception 'a row of chatfeed.% never changes: insert a new item instead of updating one', tg_table_name
        using errcode = 'restrict_violation',
              hint = 'Clients that have already read the row would never see the change.';
end
$$;
-- +goose StatementEnd

-- +goose StatementBegin
create or replace function chatfeed.erase_items() returns trigger language plpgsql as $$
begin
    execute format('delete from chatfeed.%I where workflow_id = $1', tg_argv[0]) using old.id;
    return null;
end
$$;
-- +goose StatementEnd

-- +goose StatementBegin
create function chatfeed.follow_status() returns trigger language plpgsql as $$
begin
    update chatfeed.workflows w set status = p.status
    from (
        select distinct on (workflow_id) workflow_id, status from inserted order by workflow_id, "_createdAt" desc
    ) p
    where w.id = p.workflow_id and w.status <> p.status;
    return null;
end
$$;
-- +goose StatementEnd

create trigger follow_status after insert on chatfeed.progress
    referencing new table as inserted for each statement execute function chatfeed.follow_status();
