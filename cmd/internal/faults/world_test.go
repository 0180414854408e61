package faults_test

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx" of database/sql
	"github.com/stretchr/testify/require"

	"chatfeed/cmd/internal/audit"
	"chatfeed/db"
	"chatfeed/internal/embedded"
	"chatfeed/migrations"
)

// timeout bounds everything that a test waits for.
const timeout = 90 * time.Second

// setup configures a world. A zero field means its default.
type setup struct {
	postgres   map[string]string // settings of PostgreSQL
	prepare    string            // SQL to run before anyone connects
	parameters string            // of the URL that servers connect by: "&name=value" each
	writing    string            // of the URL that writers connect by
	replicas   int               // how many servers: 1
	nginx      bool              // clients come through nginx, over HTTP/1.1, to one server
	directives string            // of nginx
	heartbeat  time.Duration     // of the servers: 300 ms
	audit      audit.Config      // two workflows, two writers, one of answers, 100 items a second; a client waits for 20 s
}

// world is an environment in which everything can fail, and an audit of its clients.
type world struct {
	t         *testing.T
	postgres  *embedded.Server
	journal   *journal      // of PostgreSQL
	control   *pgxpool.Pool // straight to PostgreSQL, for faults and questions
	replicas  []*replica
	protected int      // how many of them must not be stopped
	nginx     *nginx   // between clients and the server; nil where there is none
	clients   *network // between clients and servers
	config    audit.Config
	audit     *audit.Audit
	random    *rand.Rand // chooses what to inject faults into
}

// newWorld makes a world without faults, in which nobody writes yet.
func newWorld(t *testing.T, s setup) *world {
	t.Helper()
	w := &world{t: t, journal: &journal{}, random: rand.New(rand.NewPCG(*seed, rand.Uint64()))}
	w.startPostgres(s)
	w.control = w.connect("&pool_max_conns=2&application_name=control")
	at, err := url.Parse(w.postgres.URL())
	require.NoError(t, err)
	var addresses []string
	for range max(1, s.replicas) {
		r := newReplica(t, at.Host, s)
		r.start(t)
		w.replicas = append(w.replicas, r)
		addresses = append(addresses, r.address)
	}
	w.config = s.audit
	if s.nginx {
		w.nginx = newNginx(t, addresses[0], s.directives)
		w.nginx.start(t)
		addresses = []string{w.nginx.address}
		w.config.Transports = overHTTP1()
	}
	w.clients = newNetwork(t, addresses...)
	w.config.Server = "http://" + w.clients.address()
	w.config.Pool = w.connect("&pool_max_conns=8&application_name=audit" + s.writing)
	w.config.Log = slog.New(slog.NewTextHandler(w.journal, nil))
	setDefault(&w.config.Writers, 2)
	setDefault(&w.config.Answers, 1)
	setDefault(&w.config.Rate, 100)
	setDefault(&w.config.Streams, 1)
	setDefault(&w.config.Silence, 20*time.Second)
	if w.config.Workflows == nil {
		w.config.Workflows = workflows(2)
	}
	if w.config.Transports == nil {
		w.config.Transports = audit.Transports()
	}
	t.Cleanup(w.explain)
	return w
}

func setDefault[T comparable](field *T, value T) {
	if *field == *new(T) {
		*field = value
	}
}

func workflows(n int) (names []string) {
	for i := range n {
		names = append(names, fmt.Sprintf("wf_%d", i))
	}
	return names
}

func (w *world) startPostgres(s setup) {
	w.t.Helper()
	ctx := w.t.Context()
	var err error
	w.postgres, err = embedded.Start(ctx, embedded.Config{Settings: s.postgres, Log: w.journal})
	require.NoError(w.t, err)
	w.t.Cleanup(func() { require.NoError(w.t, w.postgres.Stop()) })
	database, err := sql.Open("pgx", w.postgres.URL())
	require.NoError(w.t, err)
	require.NoError(w.t, migrations.Up(ctx, database))
	_, err = database.ExecContext(ctx, s.prepare)
	require.NoError(w.t, err)
	require.NoError(w.t, database.Close())
}

// connect makes a pool straight to PostgreSQL.
func (w *world) connect(parameters string) *pgxpool.Pool {
	w.t.Helper()
	pool, err := db.Open(w.t.Context(), w.postgres.URL()+parameters)
	require.NoError(w.t, err)
	w.t.Cleanup(pool.Close)
	return pool
}

// explain shows the last of what all have logged when the test has failed.
func (w *world) explain() {
	if !w.t.Failed() {
		return
	}
	w.t.Logf("PostgreSQL and audit:\n%s", w.journal.end(40))
	for i, r := range w.replicas {
		w.t.Logf("server %d:\n%s", i, r.journal.end(40))
	}
	if w.nginx != nil {
		w.t.Logf("nginx:\n%s", w.nginx.journal.end(40))
	}
}

// live starts the audit, and returns when items are being written and delivered.
func (w *world) live() {
	w.t.Helper()
	var err error
	w.audit, err = audit.Start(context.WithoutCancel(w.t.Context()), w.config)
	require.NoError(w.t, err)
	w.awaitHealthy()
}

// perItem is how many clients receive an item.
func (w *world) perItem() int { return len(w.config.Transports) * w.config.Streams }

// awaitHealthy waits until every stream is open, items are written, and every client receives them.
func (w *world) awaitHealthy() {
	w.t.Helper()
	some := max(80, int(w.config.Rate))
	before := w.audit.Progress()
	until(w.t, "it goes on", func() bool {
		now := w.audit.Progress()
		return now.Streams == len(w.config.Workflows)*w.perItem() && now.Written >= before.Written+some
	})
	w.catchUp(w.config.Workflows)
}

// catchUp waits until every client of workflows has received what is in the table now.
func (w *world) catchUp(workflows []string) {
	w.t.Helper()
	// In the long form it may be a gigabyte for each client.
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Duration(rounds(1, 4))*timeout)
	defer cancel()
	require.NoError(w.t, w.audit.CatchUp(ctx, workflows...), "clients are not given what the table holds")
}

// newcomers makes new clients follow a workflow from its beginning, and requires that they receive what is in the table.
func (w *world) newcomers(workflow string) {
	w.t.Helper()
	newcomers := w.config
	newcomers.Workflows, newcomers.Writers, newcomers.Answers, newcomers.Rate = []string{workflow}, 0, 0, 0
	a, err := audit.Start(context.WithoutCancel(w.t.Context()), newcomers)
	require.NoError(w.t, err)
	w.requireClean(a)
}

// finish ends the audit and requires that it has no findings.
func (w *world) finish() *audit.Report {
	w.t.Helper()
	return w.requireClean(w.audit)
}

// requireClean finishes an audit.
func (w *world) requireClean(a *audit.Audit) *audit.Report {
	w.t.Helper()
	report, err := a.Finish(w.t.Context())
	require.NoError(w.t, err)
	w.t.Logf("%d items, %d deltas replaced, %d clients, %d delivered, %d reconnects",
		report.Items, report.Replaced, report.Clients, report.Delivered, report.Reconnects)
	for _, finding := range report.Findings[:min(20, len(report.Findings))] {
		w.t.Logf("finding: %+v", finding)
	}
	require.True(w.t, report.Clean(), "%d findings; unproven: %q", len(report.Findings), report.Unproven)
	return report
}

// logged counts the lines of the servers' logs that have the text.
func (w *world) logged(text string) (n int) {
	for _, r := range w.replicas {
		n += r.journal.count(text)
	}
	return n
}

// reconnects waits until so many streams more than before have been opened again.
func (w *world) reconnects(before audit.Progress, more int) {
	w.t.Helper()
	until(w.t, "clients come back", func() bool { return w.audit.Progress().Reconnects >= before.Reconnects+more })
}

// exec runs a statement, again when the connection was lost.
func (w *world) exec(statement string, args ...any) {
	w.t.Helper()
	w.change(statement, func(tx pgx.Tx) error {
		_, err := tx.Exec(w.t.Context(), statement, args...)
		return err
	})
}

// change runs a transaction, and retries it if it fails.
func (w *world) change(what string, do func(pgx.Tx) error) {
	w.t.Helper()
	var last error
	defer func() {
		if w.t.Failed() {
			w.t.Logf("%s: %v", what, last)
		}
	}()
	until(w.t, what, func() bool {
		last = pgx.BeginFunc(w.t.Context(), w.control, do)
		return last == nil
	})
}

// ask returns the result of a query, and retries it if the connection was lost.
func ask[T any](w *world, query string, args ...any) (answer T) {
	w.t.Helper()
	until(w.t, query, func() bool {
		return w.control.QueryRow(w.t.Context(), query, args...).Scan(&answer) == nil
	})
	return answer
}

// until waits until a condition holds.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	late := time.NewTimer(timeout)
	defer late.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-late.C:
			require.FailNow(t, "this does not come true in "+timeout.String(), what)
		}
	}
}

// last lets time pass, a short or a long one.
func last(short, longer time.Duration) {
	if *long {
		short = longer
	}
	<-time.After(short) //nolint:forbidigo // a fault has to last; there is nothing to wait for
}

// rounds says how often to do something.
func rounds(short, longer int) int {
	if *long {
		return longer
	}
	return short
}
