-- Erasures reach whoever has the rows in memory: each is recorded and announced.

-- +goose Up
set local search_path = pg_catalog, pg_temp;

-- The items that were erased, or changed by someone who had refuse_update out of the way, of workflows that are still there.
-- Marks grow in the order of commit within a workflow. They are kept for a day, and the last of a workflow for as long as it is
-- there.
create table chatfeed.erasures (
    workflow_id text        not null,
    mark        bigint      not null generated always as identity,
    type        text        not null,
    item_id     text        not null,
    item_at     timestamptz not null, -- "_createdAt" of the item: one of the same id that is written later has another
    erased_at   timestamptz not null default clock_timestamp(),
    primary key (workflow_id, mark)
);
create index erasures_by_time on chatfeed.erasures (erased_at);

-- Before a row is deleted. A deletion waits for the workflow's writers, as a writer does, and before it has anything that a
-- writer may wait for.
-- +goose StatementBegin
create function chatfeed.lock_before_erasure() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off as $$
begin
    if tg_table_schema <> 'chatfeed' then -- of whoever has put this on a table of his own
        raise exception 'this is for the tables of chatfeed' using errcode = 'insufficient_privilege';
    end if;
    perform from chatfeed.workflows w where w.id = old.workflow_id for no key update;
    return old;
end
$$;
-- +goose StatementEnd

-- After a delete or an update of items, of the type that is the trigger's argument.
-- +goose StatementBegin
create function chatfeed.record_erasure() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off set jit = off as $$
begin
    if tg_table_schema <> 'chatfeed' then -- of whoever has put this on a table of his own
        raise exception 'this is for the tables of chatfeed' using errcode = 'insufficient_privilege';
    end if;
    if tg_op = 'UPDATE' then
        perform from gone g where not exists (
            select from changed c where c.workflow_id = g.workflow_id and c.id = g.id
                and to_jsonb(c) - '_createdAt' = to_jsonb(g) - '_createdAt');
        if not found then -- announce() has stamped again
            return null;
        end if;
    end if;
    perform from chatfeed.workflows w where w.id in (select workflow_id from gone) order by w.id collate "C" for no key update;
    insert into chatfeed.erasures (workflow_id, type, item_id, item_at)
    select g.workflow_id, tg_argv[0], g.id, g."_createdAt" from gone g join chatfeed.workflows w on w.id = g.workflow_id
    order by g."_createdAt";
    -- Where the newest item is gone, later ones are stamped after it all the same, so that nobody's cursor is beyond them. A
    -- workflow that has no items left is listed no more.
    update chatfeed.workflows w set floor = greatest(w.floor, g.newest), active = case when g.left_over is null then '-infinity' else w.active end
    from (select workflow_id, max("_createdAt") as newest, chatfeed.newest(workflow_id) as left_over from gone group by workflow_id) g
    where w.id = g.workflow_id and (g.left_over is null or g.left_over < g.newest);
    delete from chatfeed.erasures where (workflow_id, mark) in (
        select e.workflow_id, e.mark from chatfeed.erasures e
        where e.erased_at < clock_timestamp() - interval '1 day'
            and exists (select from chatfeed.erasures f where f.workflow_id = e.workflow_id and f.mark > e.mark)
        order by e.erased_at limit 1000 for update skip locked);
    perform pg_notify('chatfeed', '0 ' || g.workflow_id) from (select distinct workflow_id from gone) g;
    return null;
end
$$;
-- +goose StatementEnd

-- +goose StatementBegin
create function chatfeed.announce_end() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if tg_table_schema <> 'chatfeed' then -- of whoever has put this on a table of his own
        raise exception 'this is for the tables of chatfeed' using errcode = 'insufficient_privilege';
    end if;
    delete from chatfeed.erasures e where e.workflow_id in (select id from gone);
    perform pg_notify('chatfeed', '0 ' || g.id) from gone g;
    return null;
end
$$;
-- +goose StatementEnd

-- +goose StatementBegin
create function chatfeed.refuse_truncate() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    raise exception 'chatfeed.% cannot be truncated: delete from it instead', tg_table_name
        using errcode = 'restrict_violation',
              hint = 'Who follows the workflows would never learn of it. To erase a workflow, delete it from chatfeed.workflows.';
end
$$;
-- +goose StatementEnd

create trigger refuse_truncate before truncate on chatfeed.workflows for each statement execute function chatfeed.refuse_truncate();

-- After the triggers that erase the items: those are for each row.
create trigger announce_end after delete on chatfeed.workflows
    referencing old table as gone for each statement execute function chatfeed.announce_end();

-- Transition tables are for one kind of event, so there are two triggers. They fire also for those who have set
-- session_replication_role to have other triggers out of the way.
-- +goose StatementBegin
create function chatfeed.record_erasures_of(name text, type text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    execute format('create trigger lock_before_erasure before delete on chatfeed.%I
        for each row execute function chatfeed.lock_before_erasure()', name);
    execute format('create trigger refuse_truncate before truncate on chatfeed.%I
        for each statement execute function chatfeed.refuse_truncate()', name);
    execute format('create trigger record_erasure after delete on chatfeed.%I
        referencing old table as gone for each statement execute function chatfeed.record_erasure(%L)', name, type);
    execute format('create trigger record_change after update on chatfeed.%I
        referencing old table as gone new table as changed for each statement execute function chatfeed.record_erasure(%L)', name, type);
    execute format('alter table chatfeed.%I enable always trigger record_erasure, enable always trigger record_change', name);
end
$$;
-- +goose StatementEnd

select chatfeed.record_erasures_of('messages', 'message');
select chatfeed.record_erasures_of('logs', 'log');
select chatfeed.record_erasures_of('stats', 'stat');
select chatfeed.record_erasures_of('progress', 'progress');

-- Makes a feed table of a table with the columns workflow_id, id and "_createdAt": ordered, announced, immutable, and erased
-- with its workflow. This and a branch of the views is all that a further type of item needs.
drop function chatfeed.make_feed_table(text);
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

-- +goose Down
drop trigger announce_end on chatfeed.workflows;
drop function chatfeed.announce_end();
drop function chatfeed.make_feed_table(text, text);
drop function chatfeed.record_erasures_of(text, text);
drop trigger record_erasure on chatfeed.messages;
drop trigger record_erasure on chatfeed.logs;
drop trigger record_erasure on chatfeed.stats;
drop trigger record_erasure on chatfeed.progress;
drop trigger record_change on chatfeed.messages;
drop trigger record_change on chatfeed.logs;
drop trigger record_change on chatfeed.stats;
drop trigger record_change on chatfeed.progress;
drop function chatfeed.record_erasure();
drop trigger refuse_truncate on chatfeed.workflows;
drop trigger refuse_truncate on chatfeed.messages;
drop trigger refuse_truncate on chatfeed.logs;
drop trigger refuse_truncate on chatfeed.stats;
drop trigger refuse_truncate on chatfeed.progress;
drop function chatfeed.refuse_truncate();
drop trigger lock_before_erasure on chatfeed.messages;
drop trigger lock_before_erasure on chatfeed.logs;
drop trigger lock_before_erasure on chatfeed.stats;
drop trigger lock_before_erasure on chatfeed.progress;
drop function chatfeed.lock_before_erasure();
drop table chatfeed.erasures;

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
