package faults_test

import (
	"time"

	"github.com/stretchr/testify/require"

	"chatfeed/cmd/internal/audit"
)

// mortals are the servers that may be ended: all, but the one that a soak watches.
func (w *world) mortals() []*replica { return w.replicas[w.spared:] }

// killServers kills one server after the other and starts each again, on the same port, before the next.
func killServers(w *world) {
	for range rounds(2, 8) {
		for _, r := range w.mortals() {
			before := w.audit.Progress()
			r.kill(w.t)
			last(100*time.Millisecond, 500*time.Millisecond)
			r.start(w.t)
			w.deserted(before)
		}
	}
}

// restartInTurn asks one server after the other to end and starts it again before the next.
func restartInTurn(w *world) {
	for range rounds(1, 4) {
		for _, r := range w.mortals() {
			before := w.audit.Progress()
			r.stop(w.t)
			r.start(w.t)
			w.deserted(before)
		}
	}
}

// deserted waits until the clients of a server that has ended are with others, or with the same again. Where a server is
// never ended, all may be with that one in the end, so they are spread anew.
func (w *world) deserted(before audit.Progress) {
	w.t.Helper()
	if w.spared > 0 {
		w.clients.become(weather{reset: true})
		w.reconnects(before, len(w.config.Workflows))
		w.clients.become(weather{})
	}
	w.reconnects(before, 1)
	w.goesOn()
}

// stepClockBack steps the clock that items are stamped by an hour ahead and then two hours back.
func stepClockBack(w *world) {
	heads := func() time.Time {
		return ask[time.Time](w, `select min(head) from chatfeed.workflows where id = any($1)`, w.config.Workflows)
	}
	w.exec("update fake.clock set ahead = '1 hour'")
	until(w.t, "the clock is ahead", func() bool { return time.Until(heads()) > 59*time.Minute })
	w.goesOn()
	before := heads()
	w.exec("update fake.clock set ahead = '-1 hour'")
	w.goesOn()
	require.False(w.t, heads().Before(before), "the heads have stepped back with the clock")
	if *long {
		for _, by := range []string{"1 hour 1 second", "-1 day", "1 hour 2 seconds", "0"} {
			w.exec("update fake.clock set ahead = $1::interval", by)
			w.goesOn()
		}
	}
}

// fakeClock puts a clock of our own before that of PostgreSQL, in the path on which the stamp trigger looks for it.
const fakeClock = `
create schema fake;
create table fake.clock (ahead interval not null);
insert into fake.clock values ('0');
create function fake.clock_timestamp() returns timestamptz language sql volatile
	as 'select pg_catalog.clock_timestamp() + ahead from fake.clock';
alter database chatfeed set search_path = fake, pg_catalog, public;`
