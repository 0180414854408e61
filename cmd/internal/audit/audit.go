// Package audit follows live workflows like clients, on every transport, and compares what each client has received with the
// table: every lost, repeated or misordered item is a finding, with the cursor where it happened.
//
// It is a client and a reader of the table, and shares only the generated messages with the server: it has its own client
// loop, its own SQL and its own comparison of contents. What clients show it makes as they do, with feed/fold.
//
//   - A client keeps its cursor, reconnects with it whenever its stream ends, and remembers the stamp, the name and a hash
//     of the contents of each item. An item at or below the cursor is repeated or misordered.
//   - Writers keep the number, workflow and hash of each item that they write; the number is in the item's id.
//   - At the end each workflow's rows are read once, in order, and compared with every client's items: an item that only the
//     table has is lost, an item that only a client has is unknown, unless it was erased and the client was notified.
//   - A delta that only a client has is replaced if the table has its message, with a later stamp, and what the client received
//     is what was written. A client must not receive a delta of the audit's own after its message, or without the text before it.
//   - In the end each client that has the table's items must show what they show: both are folded, texts as their hashes.
//   - An open stream is notified of erasures. A poll is not, and keeps its items: it must only not receive items that were
//     erased before, which an audit that starts later shows. The same applies to a stream that was broken when an item was
//     erased. See [Fate].
//   - The report says what was compared, because no findings without comparisons prove nothing.
package audit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Config configures an audit.
type Config struct {
	// Server is the base URL that clients call. It is required.
	Server string
	// Pool connects to the server's database: items are compared with it, and Writers write to it. It is required, and
	// stays the caller's.
	Pool *pgxpool.Pool
	// Workflows are followed from their first item. At least one is required, each once.
	Workflows []string
	// Transports are what each workflow is followed on; nil means all of [Transports].
	Transports []Transport
	// Streams is how many clients follow each workflow on each transport: 1.
	Streams int
	// Writers is how many goroutines write to the workflows while they are followed; 0 only watches. An item whose
	// write has succeeded must be in the table, once.
	Writers int
	// Answers is how many more goroutines write messages in pieces, as activities do that are tried again: deltas of one attempt
	// or more, states of tool calls, then the message that replaces its deltas, and edits of it.
	Answers int
	// Items is how many items the writers write, besides those that they roll back; 0 means until Finish. Those of answers count.
	Items int
	// Rate is how many items a second all writers write together; 0 means as many as they can.
	Rate float64
	// Silence is how long a client waits for a frame before it reconnects with its cursor: 45 s.
	Silence time.Duration
	// Settle is how long, after the writing has ended, a client may take to receive every item: 30 s. A failed write is
	// retried for as long; a statement that PostgreSQL is running then may take another 30 s to end.
	Settle time.Duration
	// Log receives events during the audit, such as findings and broken streams; the default is slog.Default().
	Log *slog.Logger
}

func (c Config) withDefaults() (Config, error) {
	c.Streams = cmp.Or(c.Streams, 1)
	c.Silence = cmp.Or(c.Silence, 45*time.Second)
	c.Settle = cmp.Or(c.Settle, 30*time.Second)
	c.Log = cmp.Or(c.Log, slog.Default())
	if len(c.Transports) == 0 {
		c.Transports = Transports()
	}
	server, err := url.Parse(c.Server)
	switch {
	case err != nil || server.Host == "" || server.Scheme != "http" && server.Scheme != "https":
		return c, fmt.Errorf("audit: Config.Server is %q; it must be a URL such as http://127.0.0.1:8080", c.Server)
	case c.Pool == nil:
		return c, errors.New("audit: Config.Pool is nil; it is required")
	case len(c.Workflows) == 0:
		return c, errors.New("audit: Config.Workflows is empty; it must name a workflow")
	case c.Streams < 0:
		return c, fmt.Errorf("audit: Config.Streams is %d; it must be positive", c.Streams)
	case c.Writers < 0:
		return c, fmt.Errorf("audit: Config.Writers is %d; it must be zero or more", c.Writers)
	case c.Answers < 0:
		return c, fmt.Errorf("audit: Config.Answers is %d; it must be zero or more", c.Answers)
	case c.Items < 0 || c.Items > 0 && c.Writers == 0:
		return c, fmt.Errorf("audit: Config.Items is %d with %d writers; it must be zero or more, and zero without writers",
			c.Items, c.Writers)
	case !(c.Rate >= 0): // so that NaN fails
		return c, fmt.Errorf("audit: Config.Rate is %v; it must be zero or more", c.Rate)
	case c.Silence < 0:
		return c, fmt.Errorf("audit: Config.Silence is %v; it must be positive", c.Silence)
	case c.Settle < 0:
		return c, fmt.Errorf("audit: Config.Settle is %v; it must be positive", c.Settle)
	}
	seen := make(map[string]bool, len(c.Workflows))
	for _, workflow := range c.Workflows {
		switch {
		case workflow == "":
			return c, errors.New("audit: Config.Workflows has an empty id")
		case seen[workflow]:
			return c, fmt.Errorf("audit: Config.Workflows names %q twice; each may be named once", workflow)
		}
		seen[workflow] = true
	}
	return c, nil
}

// Audit is a running audit. Its methods may be called from any goroutine.
type Audit struct {
	cfg      Config
	sums     sums
	findings findings
	counts   counts
	writing  *writing

	ctx         context.Context // of the clients; ends with that of Start
	endClients  context.CancelFunc
	clients     [][]*client // by workflow
	running     sync.WaitGroup
	connections []*connections
}

// counts are the counters of [Progress].
type counts struct {
	written, delivered, streams, reconnects, gone, anew atomic.Int64
}

// Start starts writing and following and returns at once. The error names the invalid field of cfg. If it is nil, the caller
// must Finish the audit; ctx ends only the following and writing, not the comparison.
func Start(ctx context.Context, cfg Config) (*Audit, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	a := &Audit{cfg: cfg, sums: sums{maphash.MakeSeed()}, clients: make([][]*client, len(cfg.Workflows))}
	a.ctx, a.endClients = context.WithCancel(ctx)
	a.writing = newWriting(ctx, &a.cfg, a.sums, &a.counts)
	server, _ := url.Parse(cfg.Server) // withDefaults has checked it
	for _, transport := range cfg.Transports {
		pool := newConnections(server, transport.http2, cfg.Silence)
		a.connections = append(a.connections, pool)
		at := &endpoint{http: pool.client(), server: cfg.Server, sums: a.sums, wait: min(longestWait, cfg.Silence/2)}
		for i, workflow := range cfg.Workflows {
			for stream := range cfg.Streams {
				c := &client{
					transport: transport, number: i*cfg.Streams + stream, workflow: workflow,
					at: at, silence: cfg.Silence, counts: &a.counts, findings: &a.findings, log: cfg.Log,
				}
				c.fates = &a.writing.ledger
				a.clients[i] = append(a.clients[i], c)
				a.running.Go(func() { c.run(a.ctx) })
			}
		}
	}
	a.writing.start()
	return a, nil
}

// Progress is the progress of an audit.
type Progress struct {
	Written    int `json:"written"`    // items whose write has succeeded
	Delivered  int `json:"delivered"`  // items that clients have received
	Streams    int `json:"streams"`    // streams that are open and have delivered a frame
	Reconnects int `json:"reconnects"` // streams that were opened again
	// Items that clients had and were notified of as gone, and how often a client was told that a workflow begins anew.
	Gone int `json:"gone,omitempty"`
	Anew int `json:"anew,omitempty"`
}

// Progress returns the current counts.
func (a *Audit) Progress() Progress {
	return Progress{
		Written:    int(a.counts.written.Load()),
		Delivered:  int(a.counts.delivered.Load()),
		Streams:    int(a.counts.streams.Load()),
		Reconnects: int(a.counts.reconnects.Load()),
		Gone:       int(a.counts.gone.Load()),
		Anew:       int(a.counts.anew.Load()),
	}
}

// Written returns a channel that is closed when the writers have ended: they have written Config.Items, or there are none,
// or the audit is being finished.
func (a *Audit) Written() <-chan struct{} { return a.writing.ended }

// Meets announces what the caller is about to do to an item. It must be called before that commits.
func (a *Audit) Meets(fate Fate, workflow, kind, id string) {
	a.writing.ledger.setFate(fate, key{workflow, kind, id})
}

// CatchUp waits until every client of the workflows has received everything that is in the table now. Without workflows it
// waits for all.
func (a *Audit) CatchUp(ctx context.Context, workflows ...string) error {
	heads, err := a.heads(ctx)
	if err != nil {
		return err
	}
	return a.wait(ctx, func() bool { return a.caughtUp(heads, workflows) })
}

// wait waits until a condition holds. The error is that of the context.
func (a *Audit) wait(ctx context.Context, holds func() bool) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		case <-a.ctx.Done():
			return a.ctx.Err()
		}
	}
	return nil
}

// Finish ends the writing, waits until every client has what the table holds, ends the clients, and compares. Clients that
// have not caught up within Config.Settle are compared as they are; if the context of Start has ended, each client is
// compared up to its cursor. The error means that the table could not be read. Finish may be called once.
func (a *Audit) Finish(ctx context.Context) (*Report, error) {
	a.writing.finish(ctx)
	heads, err := a.settle(ctx)
	report := &Report{Progress: a.Progress()}
	a.endClients()
	a.running.Wait()
	for _, pool := range a.connections {
		pool.close()
	}
	if err != nil {
		return nil, err
	}
	rows := make(map[string]int, len(a.cfg.Workflows))
	for i, workflow := range a.cfg.Workflows {
		report.Clients += len(a.clients[i])
		items, err := a.compare(ctx, workflow, heads[workflow], a.clients[i])
		if err != nil {
			return nil, err
		}
		report.Items += items
		rows[workflow] = items
	}
	report.Replaced = a.writing.ledger.unwritten(&a.findings)
	a.cover(report, rows)
	report.Findings, report.More = a.findings.all()
	return report, nil
}

// settle waits until every client has received a frame and has reached the head of its workflow, and returns the heads. After
// reading them, it waits no longer than Config.Settle.
func (a *Audit) settle(ctx context.Context) (map[string]int64, error) {
	if a.ctx.Err() != nil {
		return nil, nil
	}
	heads, err := a.heads(ctx)
	if err != nil {
		return nil, err
	}
	waiting, cancel := context.WithTimeout(ctx, a.cfg.Settle)
	defer cancel()
	_ = a.wait(waiting, func() bool { return a.caughtUp(heads, nil) })
	if a.ctx.Err() != nil {
		return nil, nil
	}
	return heads, nil
}

func (a *Audit) caughtUp(heads map[string]int64, workflows []string) bool {
	for i, workflow := range a.cfg.Workflows {
		if len(workflows) > 0 && !slices.Contains(workflows, workflow) {
			continue
		}
		for _, c := range a.clients[i] {
			if !c.hasAll(heads[workflow]) {
				return false
			}
		}
	}
	return true
}
