package faults_test

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"chatfeed/internal/embedded"
)

// terminated terminates the servers' connections that match the condition and returns their number.
func (w *world) terminated(condition string) int {
	w.t.Helper()
	return ask[int](w, `select count(*) filter (where pg_terminate_backend(pid)) from pg_stat_activity
		where application_name = 'chatfeed' and (`+condition+`)`)
}

func terminateListeners(w *world) {
	for range rounds(3, 20) {
		before := w.logged("listener lost")
		n := 0
		until(w.t, "every server listens", func() bool {
			n += w.terminated("query like 'listen %'")
			return n >= len(w.replicas)
		})
		until(w.t, "the listeners are lost", func() bool { return w.logged("listener lost") >= before+len(w.replicas) })
		w.awaitHealthy()
	}
}

// stopPostgres stops PostgreSQL in the given way, and starts it again after a while.
func stopPostgres(how embedded.Shutdown) func(*world) {
	return func(w *world) {
		for range rounds(1, 3) {
			lost := w.logged("listener lost")
			require.NoError(w.t, w.postgres.Halt(w.t.Context(), how))
			until(w.t, "the listeners are lost", func() bool { return w.logged("listener lost") > lost })
			last(700*time.Millisecond, 3*time.Second)
			require.NoError(w.t, w.postgres.Resume(w.t.Context()))
			w.awaitHealthy()
		}
	}
}

// swallowNotifications suppresses notifications for some sweeps.
func swallowNotifications(w *world) {
	original := ask[string](w, "select pg_get_functiondef('chatfeed.announce()'::regprocedure)")
	found := w.logged("the sweep has found their items")
	w.exec(`create or replace function public.swallow(channel text, payload text) returns void language sql as 'select'`)
	w.exec(strings.ReplaceAll(original, "pg_notify(", "public.swallow("))
	for range rounds(1, 5) {
		w.awaitHealthy() // by the sweep alone
	}
	until(w.t, "the sweep reports it", func() bool { return w.logged("the sweep has found their items") > found })
	w.exec(original)
}

// exhaustPool makes reads wait for a lock until they hold every connection of the pool.
func exhaustPool(w *world) {
	failed := w.logged("failed")
	tx, err := w.control.Begin(w.t.Context())
	require.NoError(w.t, err)
	defer func() { _ = tx.Rollback(context.WithoutCancel(w.t.Context())) }() // else a failed test waits for its end
	_, err = tx.Exec(w.t.Context(), "lock table chatfeed.messages in access exclusive mode")
	require.NoError(w.t, err)
	reading, cancel := context.WithCancel(w.t.Context())
	var readers sync.WaitGroup
	defer readers.Wait()
	defer cancel()
	for _, r := range w.replicas { // by the page, besides what reads for the streams
		readers.Go(func() {
			if response, err := get(reading, "http://"+r.address+"/workflows/"+w.config.Workflows[0]+"/chatData"); err == nil {
				_ = response.Body.Close()
			}
		})
	}
	until(w.t, "every connection of a pool waits", func() bool {
		return ask[int](w, "select count(*) from pg_stat_activity where application_name = 'chatfeed' and wait_event_type = 'Lock'") >= 2
	})
	last(time.Second, 12*time.Second) // a read has 10 s
	require.NoError(w.t, tx.Commit(w.t.Context()))
	if *long {
		require.Greater(w.t, w.logged("failed"), failed)
	}
}

// useUpConnections terminates the servers' connections and occupies all slots, so that they cannot reconnect for a while.
func useUpConnections(w *world) {
	ctx := w.t.Context()
	ask[int](w, "select 1") // so that a connection is open for later queries
	taken, refused := []*pgx.Conn(nil), w.logged("too many clients")
	until(w.t, "no server is connected", func() bool {
		w.terminated("true")
		for {
			conn, err := pgx.Connect(ctx, w.postgres.URL())
			if err != nil {
				break
			}
			taken = append(taken, conn)
		}
		return ask[int](w, "select count(*) from pg_stat_activity where application_name = 'chatfeed'") == 0
	})
	until(w.t, "the servers are refused", func() bool { return w.logged("too many clients") > refused })
	last(time.Second, 5*time.Second)
	for _, conn := range taken {
		require.NoError(w.t, conn.Close(context.WithoutCancel(ctx)))
	}
}

// fillDisk makes some inserts fail as they do when the disk is full.
func fillDisk(w *world) {
	w.exec(`create sequence failures`) // counts, as it is not rolled back
	w.exec(`create function no_space() returns trigger language plpgsql as $$
		begin
			if random() < 0.3 then
				perform nextval('failures');
				raise exception 'could not extend file: No space left on device' using errcode = '53100';
			end if;
			return new;
		end $$`)
	w.exec(`create trigger no_space before insert on chatfeed.messages for each row execute function no_space()`)
	want := int64(rounds(5, 100))
	until(w.t, "inserts fail", func() bool { return ask[int64](w, "select last_value from failures") >= want })
	w.awaitHealthy()
	w.exec(`drop trigger no_space on chatfeed.messages`)
	w.exec(`drop function no_space()`)
	w.exec(`drop sequence failures`)
}

// timeStatementsOut makes some inserts take so long that PostgreSQL cancels the writers' statements.
func timeStatementsOut(w *world) {
	const canceled = "canceling statement due to statement timeout"
	before := w.journal.count(canceled)
	w.exec(`create function slow_disk() returns trigger language plpgsql as $$
		begin
			if random() < 0.05 then
				perform pg_sleep(1);
			end if;
			return new;
		end $$`)
	w.exec(`create trigger slow_disk before insert on chatfeed.messages for each row execute function slow_disk()`)
	want := rounds(5, 50)
	until(w.t, "statements time out", func() bool { return w.journal.count(canceled) >= before+want })
	w.exec(`drop trigger slow_disk on chatfeed.messages`)
	w.exec(`drop function slow_disk`)
}
