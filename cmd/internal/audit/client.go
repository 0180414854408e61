package audit

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"sync/atomic"
	"time"

	"chatfeed/feed/fold"
)

const (
	// A client reconnects after this pause; half of it is random, so that not all clients reconnect together.
	shortestPause = 50 * time.Millisecond
	longestPause  = time.Second
	// warnAfter is after how many failures in a row a warning is logged.
	warnAfter = 8
)

var errSilent = errors.New("nothing was received, not even an empty frame")

// client follows one workflow on one transport and remembers what it receives. Only run changes it; fields that others read
// meanwhile are atomic.
type client struct {
	transport Transport
	number    int
	workflow  string
	at        *endpoint
	silence   time.Duration
	counts    *counts
	findings  *findings
	fates     *ledger
	log       *slog.Logger

	answered atomic.Bool  // has received a frame
	cursor   atomic.Int64 // of the newest item it has
	newest   atomic.Pointer[item]
	had      []record // in order, each item once
	names    []byte   // of all records

	fateCount int   // how many items had a fate when it last reconnected
	forfeited int64 // stamp of the newest item that it had and the database has lost

	delivered int  // items that it has received, with repetitions
	faulty    bool // there is a finding about it

	drafts drafts
	chat   fold.Chat // of what it shows

	compared int // records that have been compared with the table
	matched  int // of these, records that are in the table
	replaced int // deltas that it had, and whose message the table has
	missing  []missingDelta
	gaps     []gap
}

// record is what a client keeps of an item, without pointers, so that millions of them do not slow garbage collection.
type record struct {
	at   int64
	sum  uint64
	name uint32 // where it begins in names
	kind uint8  // length of the type, which the id follows
	gone bool   // the client was notified that the item was erased
	id   uint16 // length of the id
}

// run follows until ctx ends.
func (c *client) run(ctx context.Context) {
	pause := shortestPause
	for failures := 0; ; {
		received, err := c.stream(ctx)
		if ctx.Err() != nil {
			return
		}
		failures++
		if received {
			pause, failures = shortestPause, 0
		}
		level := slog.LevelDebug
		if failures == warnAfter {
			level = slog.LevelWarn
		}
		c.log.Log(ctx, level, "stream ended; retrying", "transport", c.transport.Name, "client", c.number,
			"workflow_id", c.workflow, "cursor", seconds(c.cursor.Load()), "error", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause/2 + rand.N(pause/2)):
		}
		pause = min(2*pause, longestPause)
		c.counts.reconnects.Add(1)
	}
}

// stream follows until the stream ends, or is silent for too long, and reports whether it has delivered a frame.
func (c *client) stream(ctx context.Context) (received bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watchdog := time.AfterFunc(c.silence, func() { cancel(errSilent) })
	defer watchdog.Stop()
	err = c.transport.follow(ctx, c.at, c.workflow, c.cursor.Load(), func(f frame) {
		watchdog.Reset(c.silence)
		if !received {
			received = true
			c.counts.streams.Add(1)
			c.returned()
		}
		c.forget(f.gone, f.anew)
		c.take(ctx, f.items)
		c.answered.Store(true)
	})
	if received {
		c.counts.streams.Add(-1)
	}
	if errors.Is(context.Cause(ctx), errSilent) {
		err = errSilent
	}
	return received, err
}

// take remembers items and reports findings that are visible already.
func (c *client) take(ctx context.Context, items []item) {
	for _, it := range items {
		if it.at <= c.cursor.Load() {
			c.rewind()
		}
		cursor := c.cursor.Load()
		switch {
		case it.workflow != c.workflow:
			c.findNow(ctx, Unknown, it, cursor)
		case it.at > cursor:
			c.had = append(c.had, c.record(it))
			c.cursor.Store(it.at)
			c.show(ctx, it, cursor)
		case c.has(it):
			c.findNow(ctx, Repeated, it, cursor)
		default:
			c.findNow(ctx, Disorder, it, cursor)
			c.had = slices.Insert(c.had, c.after(it.at), c.record(it))
			it.fold(&c.chat)
		}
	}
	if n := len(items); n > 0 {
		c.newest.Store(&item{workflow: c.workflow, kind: items[n-1].kind, id: strings.Clone(items[n-1].id)})
	}
	c.delivered += len(items)
	c.counts.delivered.Add(int64(len(items)))
}

func (c *client) record(it item) record {
	r := record{at: it.at, sum: it.sum, name: uint32(len(c.names))} //nolint:gosec // 4 GiB of names would not fit in memory
	kind, id := it.kind[:min(len(it.kind), 1<<8-1)], it.id[:min(len(it.id), 1<<16-1)]
	r.kind, r.id = uint8(len(kind)), uint16(len(id)) //nolint:gosec // bounded
	c.names = append(append(c.names, kind...), id...)
	return r
}

func (c *client) nameOf(r record) (kind, id []byte) {
	name := c.names[r.name:]
	return name[:r.kind], name[r.kind:][:r.id]
}

func (c *client) named(r record, it item) bool {
	kind, id := c.nameOf(r)
	return string(kind) == it.kind && string(id) == it.id
}

// after returns the index of the first record after a time.
func (c *client) after(at int64) int {
	return sort.Search(len(c.had), func(i int) bool { return c.had[i].at > at })
}

func (c *client) has(it item) bool {
	for i := c.after(it.at) - 1; i >= 0 && c.had[i].at == it.at; i-- {
		if c.named(c.had[i], it) {
			return true
		}
	}
	return false
}

// findNow adds a finding before the end, and logs it.
func (c *client) findNow(ctx context.Context, kind Kind, it item, cursor int64) {
	c.find(kind, it, cursor)
	c.log.WarnContext(ctx, "finding", "kind", kind, "transport", c.transport.Name, "client", c.number,
		"workflow_id", c.workflow, "type", it.kind, "id", it.id, "created_at", seconds(it.at), "cursor", seconds(cursor))
}

func (c *client) find(kind Kind, it item, cursor int64) {
	c.faulty = true
	c.findings.add(Finding{
		Kind: kind, Transport: c.transport.Name, Client: c.number, Workflow: c.workflow,
		Type: it.kind, ID: strings.Clone(it.id), CreatedAt: seconds(it.at), Cursor: seconds(cursor),
	})
}

// pass compares the client's records with the table's next row. The rows must come in order.
func (c *client) pass(row item, head int64) {
	c.passUnknown(row.at)
	for i := c.compared; i < len(c.had) && c.had[i].at == row.at; i++ {
		if !c.named(c.had[i], row) {
			continue
		}
		fate := c.fates.fate(row)
		switch {
		case c.had[i].gone:
			if fate != Changed {
				c.find(Gone, row, c.before())
			}
		case c.had[i].sum != row.sum && (fate != Changed || !c.transport.polls):
			c.find(Different, row, c.before())
		}
		c.matched++
		c.had[i], c.had[c.compared] = c.had[c.compared], c.had[i]
		c.compared++
		return
	}
	if row.at <= max(head, c.cursor.Load()) && !c.mayMiss(row) { // later rows were committed while the audit ended
		c.find(Lost, row, c.before())
	}
}

// passUnknown passes the records before a time, which are not in the table. That is expected if they were erased and the
// client was notified.
func (c *client) passUnknown(until int64) {
	for ; c.compared < len(c.had) && c.had[c.compared].at < until; c.compared++ {
		r := c.had[c.compared]
		fate := c.fateOf(r)
		if r.gone || fate == Forfeited || c.transport.polls && (fate == Erased || fate == Ended || fate == Replaced) {
			continue
		}
		kind, id := c.nameOf(r)
		it := item{workflow: c.workflow, kind: string(kind), id: string(id), at: r.at, sum: r.sum}
		if it.kind == "delta" { // its message may be among the rows that follow
			c.missing = append(c.missing, missingDelta{it, c.before()})
			continue
		}
		c.find(Unknown, it, c.before())
	}
}

// before is the client's cursor before the next record to compare.
func (c *client) before() int64 {
	if c.compared == 0 {
		return 0
	}
	return c.had[c.compared-1].at
}
