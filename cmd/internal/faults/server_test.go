package faults_test

import (
	"time"

	"github.com/stretchr/testify/require"

	"chatfeed/cmd/internal/audit"
)

// stoppable are the servers that may be stopped: all but the one that a soak test observes.
func (w *world) stoppable() []*replica { return w.replicas[w.protected:] }

// killServers kills one server after the other and starts each again, on the same port, before the next.
func killServers(w *world) {
	for range rounds(2, 8) {
		for _, r := range w.stoppable() {
			before := w.audit.Progress()
			r.kill(w.t)
			last(100*time.Millisecond, 500*time.Millisecond)
			r.start(w.t)
			w.awaitReconnects(before)
		}
	}
}

// restartInTurn asks one server after the other to end and starts it again before the next.
func restartInTurn(w *world) {
	for range rounds(1, 4) {
		for _, r := range w.stoppable() {
			before := w.audit.Progress()
			r.stop(w.t)
			r.start(w.t)
			w.awaitReconnects(before)
		}
	}
}

// awaitReconnects waits until the clients of a stopped server have reconnected to others, or to the same. If a server is
// never stopped, all clients may end up there, so they are distributed again.
func (w *world) awaitReconnects(before audit.Progress) {
	w.t.Helper()
	if w.protected > 0 {
		w.clients.set(conditions{reset: true})
		w.reconnects(before, len(w.config.Workflows))
		w.clients.set(conditions{})
	}
	w.reconnects(before, 1)
	w.awaitHealthy()
}

// stepClockBack steps the clock of the stamps forward and then twice as far back.
func stepClockBack(by time.Duration) func(*world) {
	return func(w *world) {
		heads := func() time.Time {
			return ask[time.Time](w, `select min(head) from chatfeed.heads where id = any($1)`, w.config.Workflows)
		}
		w.setClock(by)
		w.awaitHealthy()
		until(w.t, "the clock is ahead", func() bool { return time.Until(heads()) > by/2 })
		before := heads()
		w.setClock(-by)
		w.awaitHealthy()
		require.False(w.t, heads().Before(before), "the heads have stepped back with the clock")
		if *long {
			for _, ahead := range []time.Duration{by + time.Second, -24 * time.Hour, by + 2*time.Second} {
				w.setClock(ahead)
				w.awaitHealthy()
			}
		}
		w.setClock(0)
		w.awaitHealthy()
	}
}

// setClock sets how far ahead of the true time the clock is that items are stamped by.
func (w *world) setClock(ahead time.Duration) {
	w.t.Helper()
	w.exec("select setval('public.ahead', $1)", ahead.Microseconds())
}
