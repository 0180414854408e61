-- The order of a workflow's items: one row per workflow holds the head, and a trigger on every feed table takes that
-- row's lock before it stamps an item. The lock is held until the transaction ends, so within one workflow the order of
-- "_createdAt" is the order of commit, whoever writes and whatever the clock does.

-- +goose Up
-- "create schema if not exists" asks for the right to create one even where it is there.
-- +goose StatementBegin
do $$
begin
    if to_regnamespace('chatfeed') is null then
        create schema chatfeed;
    end if;
end
$$;
-- +goose StatementEnd

-- Every item updates its workflow's row, so what PostgreSQL would do at each update is kept off this table: a check or a
-- generated column costs a fifth of an insert.
create table chatfeed.workflows (
    id        text        not null primary key,
    head      timestamptz not null,            -- "_createdAt" of the newest item
    status    text        not null default '', -- status of the latest progress item
    -- The hour of the head, for "newest head first". An index on head itself would make every insert move an index entry;
    -- this value changes once an hour, so the other updates stay heap-only.
    head_hour timestamptz not null default to_timestamp(0)
) with (fillfactor = 50);

create index workflows_by_head_hour on chatfeed.workflows (head_hour desc);

-- +goose StatementBegin
create function chatfeed.stamp() returns trigger language plpgsql as $$
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
create function chatfeed.announce() returns trigger language plpgsql as $$
begin
    perform pg_notify('chatfeed', (extract(epoch from max("_createdAt")) * 1000000)::bigint || ' ' || workflow_id)
    from inserted
    group by workflow_id;
    return null;
end
$$;
-- +goose StatementEnd

-- +goose StatementBegin
create function chatfeed.refuse_update() returns trigger language plpgsql as $$
begin
    raise exception 'a row of chatfeed.% never changes: insert a new item instead of updating one', tg_table_name
        using errcode = 'restrict_violation',
              hint = 'Clients that have already read the row would never see the change.';
end
$$;
-- +goose StatementEnd

-- +goose StatementBegin
create function chatfeed.erase_items() returns trigger language plpgsql as $$
begin
    execute format('delete from chatfeed.%I where workflow_id = $1', tg_argv[0]) using old.id;
    return null;
end
$$;
-- +goose StatementEnd

-- Makes a feed table of a table with the columns workflow_id, id and "_createdAt": ordered, announced, immutable, and
-- erased with its workflow. This and a branch in the queries is all that a further type of item needs.
-- +goose StatementBegin
create function chatfeed.make_feed_table(name text) returns void language plpgsql as $$
begin
    execute format('alter table chatfeed.%I add primary key (workflow_id, id)', name);
    execute format('create unique index %I on chatfeed.%I (workflow_id, "_createdAt")', name || '_in_order', name);
    execute format('create trigger stamp before insert on chatfeed.%I
        for each row execute function chatfeed.stamp()', name);
    execute format('create trigger announce after insert on chatfeed.%I
        referencing new table as inserted for each statement execute function chatfeed.announce()', name);
    execute format('create trigger refuse_update before update on chatfeed.%I
        for each row execute function chatfeed.refuse_update()', name);
    execute format('create trigger %I after delete on chatfeed.workflows
        for each row execute function chatfeed.erase_items(%L)', 'erase_' || name, name);
end
$$;
-- +goose StatementEnd

-- +goose Down
drop function chatfeed.make_feed_table(text);
drop table chatfeed.workflows;
drop function chatfeed.erase_items();
drop function chatfeed.refuse_update();
drop function chatfeed.announce();
drop function chatfeed.stamp();
