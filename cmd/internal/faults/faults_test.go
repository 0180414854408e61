package faults_test

import (
	"testing"
	"time"

	"chatfeed/cmd/internal/audit"
	"chatfeed/internal/dbtest"
	"chatfeed/internal/embedded"
)

// fault is a fault to inject into a world. It has ended when inflict returns, and inflict requires that it
// really had an effect.
type fault struct {
	name    string
	setup   setup
	inflict func(w *world)
}

func faults() []fault {
	impatient := setup{audit: audit.Config{Silence: time.Second}}
	// Large bodies take clients a while under the race detector.
	several := setup{audit: audit.Config{Workflows: workflows(3), Settle: 3 * time.Minute}}
	return []fault{
		{"listeners are terminated", setup{}, terminateListeners},
		{"PostgreSQL is stopped fast", setup{}, stopPostgres(embedded.Fast)},
		{"PostgreSQL is stopped immediately", setup{}, stopPostgres(embedded.Immediate)},
		{"PostgreSQL is killed", setup{}, stopPostgres(embedded.Kill)},
		{"notifications are lost", setup{}, swallowNotifications},
		{"the pool is exhausted", setup{parameters: "&pool_max_conns=6"}, exhaustPool},
		{"PostgreSQL has no connection left", setup{postgres: map[string]string{"max_connections": "40"}}, useUpConnections},
		{"the disk is full", setup{}, fillDisk},
		{"statements time out", setup{writing: "&statement_timeout=500"}, timeStatementsOut},
		{"the server is killed", setup{}, killServers},
		{"the clock is stepped back", setup{prepare: dbtest.MovableClock}, stepClockBack(time.Hour)},
		{"nginx and the server behind it are restarted", setup{nginx: true}, restartNginx},
		{"two servers are restarted in turn", setup{replicas: 2}, restartInTurn},
		{"three servers are restarted in turn", setup{replicas: 3}, restartInTurn},

		{"items are erased", setup{}, eraseItems},
		{"items are replaced", setup{}, replaceItems},
		{"items are redacted", setup{}, redactItems},
		{"a workflow is erased and written again at once", setup{}, writeAnew(atOnce)},
		{"a workflow is erased and written again within a sweep", setup{}, writeAnew(withinASweep)},
		{"a workflow is erased and written again after sweeps", setup{}, writeAnew(acrossSweeps)},
		{"the process that writes a message is killed", setup{}, supersede(killed)},
		{"a process goes on writing a message that another has finished", setup{}, supersede(stopped)},
		{"deltas are pruned", setup{audit: audit.Config{Answers: 3}}, pruneDeltas},
		{"connections are cut within messages", setup{audit: audit.Config{Answers: 4, Rate: 200}}, overClients(reset())},
		{"the database loses its last commits", setup{prepare: dbtest.MovableClock}, loseCommits},
		{"a workflow is large", several, heavy(rounds(40, 600))},
		{"a workflow cannot be read", several, failing},
		{"a workflow is read slowly", several, slowly},

		{"PostgreSQL's network is gone for a while", setup{}, overDatabase(hold())},
		{"PostgreSQL's network loses what is sent", setup{}, overDatabase(lose())},
		{"PostgreSQL's network resets connections", setup{}, overDatabase(reset())},
		{"PostgreSQL's network is slow", setup{}, overDatabase(slow())},
		{"PostgreSQL's network trickles", setup{}, overDatabase(trickle())},
		{"the clients' network is gone for a while", impatient, overClients(hold())},
		{"the clients' network loses what is sent", impatient, overClients(lose())},
		{"the clients' network resets connections", setup{}, overClients(reset())},
		{"the clients' network is slow", setup{}, overClients(slow())},
		{"the clients' network trickles", setup{}, overClients(trickle())},
	}
}

func TestEveryClientReceivesEveryItemOnceWhen(t *testing.T) {
	t.Parallel()
	for _, f := range faults() {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, f.setup)
			w.live()
			f.inflict(w)
			w.awaitHealthy()
			w.finish()
		})
	}
}
