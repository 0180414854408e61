package faults_test

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// disturbance is bad network conditions for a while.
type disturbance struct {
	conditions
	// seen reports, from the duration and error of an exchange of about 20 KB on a new connection, whether the disturbance has an effect.
	seen          func(took time.Duration, err error) bool
	breaks        bool // it ends connections
	short, longer time.Duration
}

func failed(_ time.Duration, err error) bool { return err != nil }

// A read has 10 s, and a dead listener is detected after 15 to 20 s: longer disturbances are for the long form.

func hold() disturbance {
	return disturbance{conditions: conditions{hold: true}, seen: failed, short: 2 * time.Second, longer: 22 * time.Second}
}

func lose() disturbance {
	return disturbance{conditions: conditions{lose: true}, seen: failed, breaks: true, short: 2 * time.Second, longer: 12 * time.Second}
}

func reset() disturbance {
	return disturbance{conditions: conditions{reset: true}, seen: failed, breaks: true, short: time.Second, longer: 8 * time.Second}
}

func slow() disturbance {
	return disturbance{
		conditions: conditions{delay: 100 * time.Millisecond},
		seen:       func(took time.Duration, err error) bool { return err == nil && took > 100*time.Millisecond },
		short:      2 * time.Second, longer: 10 * time.Second,
	}
}

func trickle() disturbance {
	return disturbance{
		conditions: conditions{chunkSize: 100, bytesPerSecond: 4 << 10},
		seen:       func(took time.Duration, _ error) bool { return took > time.Second },
		short:      2 * time.Second, longer: 15 * time.Second,
	}
}

// pass applies a disturbance to networks, and requires that a probe of one of them shows its effect.
func (w *world) pass(s disturbance, networks []*network, probe func(context.Context, *network) error) {
	w.t.Helper()
	for _, n := range networks {
		n.set(s.conditions)
	}
	began := time.Now()
	until(w.t, "the disturbance is seen", func() bool {
		ctx, cancel := context.WithTimeout(w.t.Context(), s.short)
		defer cancel()
		start := time.Now()
		err := probe(ctx, networks[0])
		return s.seen(time.Since(start), err)
	})
	last(s.short-time.Since(began), s.longer-time.Since(began))
	for _, n := range networks {
		n.set(conditions{})
	}
}

// overDatabase is a disturbance between the servers and PostgreSQL.
func overDatabase(s disturbance) func(*world) {
	return func(w *world) {
		for range rounds(1, 2) {
			before, silent := w.logged("listener lost"), w.logged("no notification was received")
			var networks []*network
			for _, r := range w.replicas {
				networks = append(networks, r.database)
			}
			w.pass(s, networks, func(ctx context.Context, n *network) error {
				conn, err := pgx.Connect(ctx, "postgres://postgres@"+n.address()+"/chatfeed?sslmode=disable")
				if err != nil {
					return err
				}
				defer conn.Close(ctx)
				var text string
				return conn.QueryRow(ctx, "select repeat('x', 20000)").Scan(&text)
			})
			if s.breaks {
				until(w.t, "the listeners are lost", func() bool { return w.logged("listener lost") >= before+len(networks) })
			}
			if *long && s.hold {
				require.GreaterOrEqual(w.t, w.logged("no notification was received"), silent+len(networks))
			}
			w.awaitHealthy()
		}
	}
}

// overClients is a disturbance between the clients and the servers.
func overClients(s disturbance) func(*world) {
	return func(w *world) {
		w.exec("insert into chatfeed.messages (workflow_id, message) select 'probe', string_agg(md5(n::text), '') from generate_series(1, 1000) n") // not to be compressed much
		for range rounds(1, 2) {
			before := w.audit.Progress()
			w.pass(s, []*network{w.clients}, func(ctx context.Context, n *network) error {
				response, err := get(ctx, "http://"+n.address()+"/workflows/probe/chatData?limit=1")
				if err != nil {
					return err
				}
				_, err = io.Copy(io.Discard, response.Body)
				return errors.Join(err, response.Body.Close())
			})
			if s.breaks || w.config.Silence < s.short {
				w.reconnects(before, w.perItem())
			}
			w.awaitHealthy()
		}
	}
}
