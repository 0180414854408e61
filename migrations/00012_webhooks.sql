-- Deliveries of webhooks that failed for good, until someone replays or drops them.

-- +goose Up
set local search_path = pg_catalog, pg_temp;

create table chatfeed.webhook_dead_letters (
    id          text        not null primary key, -- of the delivery, which its receiver knows as webhook-id
    workflow_id text        not null,
    request     jsonb       not null, -- what was to be delivered, and where
    error       text        not null, -- why the last attempt failed
    attempts    integer     not null default 0, -- zero if it is not known
    since       timestamptz not null default clock_timestamp()
);
create index webhook_dead_letters_by_time on chatfeed.webhook_dead_letters (since, id);
create index webhook_dead_letters_by_workflow on chatfeed.webhook_dead_letters (workflow_id);

-- A workflow that is erased leaves nothing behind.
-- +goose StatementBegin
create function chatfeed.erase_dead_letters() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if tg_table_schema <> 'chatfeed' then -- of whoever has put this on a table of his own
        raise exception 'this is for the tables of chatfeed' using errcode = 'insufficient_privilege';
    end if;
    delete from chatfeed.webhook_dead_letters l where l.workflow_id in (select id from gone);
    return null;
end
$$;
-- +goose StatementEnd

revoke execute on function chatfeed.erase_dead_letters() from public;

create trigger erase_dead_letters after delete on chatfeed.workflows
    referencing old table as gone for each statement execute function chatfeed.erase_dead_letters();

-- +goose Down
set local search_path = pg_catalog, pg_temp;

drop trigger erase_dead_letters on chatfeed.workflows;
drop function chatfeed.erase_dead_letters();
drop table chatfeed.webhook_dead_letters;
