package dbtest

// MovableClock is SQL that gives a database's triggers a movable clock, the same for all transactions: the sequence
// public.ahead is how many microseconds it is ahead of the true time. The triggers have a fixed search path, so their functions
// are created again with another clock's name. It must be run by the owner of the schema.
const MovableClock = `
create sequence public.ahead minvalue -9000000000000000 start 1;
create function public.movable_clock() returns timestamptz language sql volatile security definer as
	'select pg_catalog.clock_timestamp() + (select last_value from public.ahead) * interval ''1 microsecond''';
do $do$
declare
	f regprocedure;
begin
	foreach f in array array['chatfeed.stamp()', 'chatfeed.raise_horizon(bigint)', 'chatfeed.begin_history(text)']::regprocedure[] loop
		execute replace(pg_get_functiondef(f), 'clock_timestamp()', 'public.movable_clock()');
	end loop;
end
$do$`
