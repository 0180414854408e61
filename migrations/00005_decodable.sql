-- What can be stored can be decoded by every client, whoever stores it. Rows that are there already stay as they are; the
-- server leaves out of them what cannot be told.

-- +goose Up
set local search_path = pg_catalog, pg_temp;

-- Reports whether every client can decode a JSON value: nested at most 32 deep, as protobuf's own limit of 100 messages
-- leaves room for no more, and with numbers that a double keeps to the last digit, as JavaScript has no others.
-- +goose StatementBegin
create function chatfeed.decodable(value jsonb) returns boolean
language plpgsql immutable strict parallel safe set search_path = pg_catalog, pg_temp set extra_float_digits = 1 as $$
begin
    return not jsonb_path_exists(value, 'strict $.**{32 to last} ? (@.type() == "object" || @.type() == "array")')
        and not exists (
            select from (
                select (n #>> '{}')::numeric as number
                from jsonb_path_query(value, 'strict $.** ? (@.type() == "number")') n
            ) x
            where case
                when number = 0 then false
                when abs(number) not between 2.2250738585072014e-308 and 1.7976931348623157e308 then true
                else number::double precision::text::numeric <> number
            end
        );
end
$$;
-- +goose StatementEnd

-- The rule is a trigger's and not a check's, so that rows that are there already can be restored and redacted.
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

-- The writer's limit is 65,536 bytes as sent. PostgreSQL puts a space after each colon and comma, so what it keeps may be
-- twice as long. Kept uncompressed, its length is known without reading it.
-- +goose StatementBegin
do $$
declare
    name text;
begin
    foreach name in array array['messages', 'logs', 'stats', 'progress'] loop
        execute format('alter table chatfeed.%I
            alter metadata set storage external,
            drop constraint metadata_length,
            add constraint metadata_length check (octet_length(metadata::text) <= 131072) not valid', name);
        execute format('create trigger refuse_undecodable before insert on chatfeed.%I
            for each row when (new.metadata is not null) execute function chatfeed.refuse_undecodable()', name);
    end loop;
end
$$;
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
do $$
declare
    name text;
begin
    foreach name in array array['messages', 'logs', 'stats', 'progress'] loop
        execute format('alter table chatfeed.%I
            alter metadata set storage extended,
            drop constraint metadata_length,
            add constraint metadata_length check (octet_length(metadata::text) <= 65536) not valid', name);
        execute format('drop trigger refuse_undecodable on chatfeed.%I', name);
    end loop;
end
$$;
-- +goose StatementEnd
drop function chatfeed.refuse_undecodable();
drop function chatfeed.decodable(jsonb);
