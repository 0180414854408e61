-- The four types of item. A body is at most 1 MiB, metadata at most 64 KiB.

-- +goose Up
create table chatfeed.messages (
    workflow_id  text        not null,
    id           text        not null default 'msg_' || replace(gen_random_uuid()::text, '-', ''),
    "_createdAt" timestamptz not null default clock_timestamp(), -- the stamp trigger sets it, whatever is supplied
    role         text        not null default 'assistant',
    message      text        not null,
    status       text        not null default '',
    metadata     jsonb,
    constraint workflow_id_length check (octet_length(workflow_id) between 1 and 1000),
    constraint item_id_length check (octet_length(id) between 1 and 200),
    constraint message_length check (octet_length(message) <= 1048576),
    constraint label_length check (octet_length(role) <= 1000 and octet_length(status) <= 1000),
    constraint metadata_length check (octet_length(metadata::text) <= 65536)
);

create table chatfeed.logs (
    workflow_id  text        not null,
    id           text        not null default 'log_' || replace(gen_random_uuid()::text, '-', ''),
    "_createdAt" timestamptz not null default clock_timestamp(),
    level        text        not null default 'info',
    message      text        not null,
    metadata     jsonb,
    constraint workflow_id_length check (octet_length(workflow_id) between 1 and 1000),
    constraint item_id_length check (octet_length(id) between 1 and 200),
    constraint message_length check (octet_length(message) <= 1048576),
    constraint label_length check (octet_length(level) <= 1000),
    constraint metadata_length check (octet_length(metadata::text) <= 65536)
);

create table chatfeed.stats (
    workflow_id     text             not null,
    id              text             not null default 'stat_' || replace(gen_random_uuid()::text, '-', ''),
    "_createdAt"    timestamptz      not null default clock_timestamp(),
    processing_time double precision not null default 0, -- seconds
    token_count     integer          not null default 0,
    metadata        jsonb,
    constraint workflow_id_length check (octet_length(workflow_id) between 1 and 1000),
    constraint item_id_length check (octet_length(id) between 1 and 200),
    constraint processing_time_range check (processing_time >= 0 and processing_time < 'infinity'),
    constraint token_count_range check (token_count >= 0),
    constraint metadata_length check (octet_length(metadata::text) <= 65536)
);

create table chatfeed.progress (
    workflow_id  text             not null,
    id           text             not null default 'prog_' || replace(gen_random_uuid()::text, '-', ''),
    "_createdAt" timestamptz      not null default clock_timestamp(),
    progress     double precision not null, -- per cent
    status       text             not null default '',
    result       text             not null default '',
    metadata     jsonb,
    constraint workflow_id_length check (octet_length(workflow_id) between 1 and 1000),
    constraint item_id_length check (octet_length(id) between 1 and 200),
    constraint progress_range check (progress between 0 and 100),
    constraint label_length check (octet_length(status) <= 1000),
    constraint result_length check (octet_length(result) <= 1048576),
    constraint metadata_length check (octet_length(metadata::text) <= 65536)
);

select chatfeed.make_feed_table('messages');
select chatfeed.make_feed_table('logs');
select chatfeed.make_feed_table('stats');
select chatfeed.make_feed_table('progress');

-- A workflow's status is that of its latest progress item. It follows the rows that were inserted, not those that were
-- already there, so a retry of an old activity does not set it back.
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

-- All items in one shape; what every read of the feed goes through. A branch for each type; the planner merges the
-- branches on their (workflow_id, "_createdAt") indexes, so a page costs what the page holds. The body is the item's own
-- columns under the names that clients know.
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

-- +goose Down
drop view chatfeed.items;
drop trigger erase_messages on chatfeed.workflows;
drop trigger erase_logs on chatfeed.workflows;
drop trigger erase_stats on chatfeed.workflows;
drop trigger erase_progress on chatfeed.workflows;
drop table chatfeed.messages, chatfeed.logs, chatfeed.stats, chatfeed.progress;
drop function chatfeed.follow_status();
truncate chatfeed.workflows;
