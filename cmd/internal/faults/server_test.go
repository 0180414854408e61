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

// stepClockBack steps the clock that items are stamped by ahead and then twice as far back.
func stepClockBack(by time.Duration) func(*world) {
	return func(w *world) {
		heads := func() time.Time {
			return ask[time.Time](w, `select min(head) from chatfeed.heads where id = any($1)`, w.config.Workflows)
		}
		w.setClock(by)
		w.goesOn()
		until(w.t, "the clock is ahead", func() bool { return time.Until(heads()) > by/2 })
		before := heads()
		w.setClock(-by)
		w.goesOn()
		require.False(w.t, heads().Before(before), "the heads have stepped back with the clock")
		if *long {
			for _, ahead := range []time.Duration{by + time.Second, -24 * time.Hour, by + 2*time.Second} {
				w.setClock(ahead)
				w.goesOn()
			}
		}
		w.setClock(0)
		w.goesOn()
	}
}

// setClock sets how far ahead of the true time the clock is that items are stamped by.
func (w *world) setClock(ahead time.Duration) {
	w.t.Helper()
	w.exec("select setval('public.ahead', $1)", ahead.Microseconds())
}
