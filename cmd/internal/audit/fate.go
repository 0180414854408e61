package audit

import (
	"chatfeed/feed"
	"chatfeed/feed/fold"
)

// Fate is what a test does to an item, and so what is expected of the table and of clients.
type Fate uint8

const (
	// Erased is an item that is deleted while its workflow stays. The table must not have it, and streaming clients that
	// have it must be told that it is gone.
	Erased Fate = iota + 1
	// Ended is an item that is deleted with its whole workflow. The table must not have it, and streaming clients that
	// have it must be told that the workflow begins anew.
	Ended
	// Changed is an item that is redacted in place. Streaming clients that have the old version must be told that it is
	// gone; clients that do not have it must receive the new one.
	Changed
	// Forfeited is an item that the database has lost, for example in a failover to a standby that was behind. Clients are
	// not notified, and may or may not have it. Later items may have earlier stamps and must be delivered, except to polls,
	// whose cursors may be beyond them.
	Forfeited
	// Replaced is an item that is deleted, and written again under the same name. Streaming clients that have it must be told
	// that it is gone, and all clients must receive the new one.
	Replaced
)

// setFate records the fate of an item.
func (l *ledger) setFate(fate Fate, name key) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fates == nil {
		l.fates = make(map[key]Fate)
	}
	l.fates[name] = fate
	if number := l.number(name.id); number >= 0 && l.entries[number].outcome == outcomeUnknown {
		l.entries[number].uncertain = true
	}
}

// fate returns the fate of an item, zero if it has none.
func (l *ledger) fate(it item) Fate {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fates[key{it.workflow, it.kind, it.id}]
}

// fateCount returns how many items have a fate.
func (l *ledger) fateCount() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.fates)
}

// mayBeWrittenAgain reports whether an item may have been written again after its fate was set. The writers must have ended.
func (l *ledger) mayBeWrittenAgain(it item) bool {
	number := l.number(it.id)
	return number >= 0 && l.entries[number].uncertain
}

// fateOf is the fate of an item that the client has. A delta that its message had replaced is lost with the message.
func (c *client) fateOf(r record) Fate {
	kind, id := c.nameOf(r)
	it := item{workflow: c.workflow, kind: string(kind), id: string(id)}
	fate := c.fates.fate(it)
	if fate == 0 && it.kind == "delta" && c.fates.fate(item{workflow: c.workflow, kind: "message", id: messageOf(it.id)}) == Forfeited {
		return Forfeited
	}
	return fate
}

// forget records what the client was told is gone. An item of the same name that it receives later is new.
func (c *client) forget(gone []item, anew []string) {
	for _, it := range gone {
		if it.workflow == c.workflow {
			c.chat.Remove(feed.Gone{WorkflowID: it.workflow, Type: it.kind, ID: it.id, CreatedAt: feed.Cursor(it.at)})
		}
		for i := range c.had {
			if it.workflow == c.workflow && !c.had[i].gone && c.had[i].at <= it.at && c.named(c.had[i], it) {
				c.had[i].gone = true
				c.counts.gone.Add(1)
			}
		}
	}
	for _, workflow := range anew {
		if workflow == c.workflow {
			c.had, c.names = c.had[:0], c.names[:0]
			c.chat, c.drafts = fold.Chat{}, nil
			c.cursor.Store(0)
			c.counts.anew.Add(1)
		}
	}
}

// returned is called when a stream has been opened again. The client is not notified of items that were erased meanwhile.
func (c *client) returned() {
	count := c.fates.fateCount()
	if c.fateCount == count {
		return
	}
	c.fateCount = count
	for i, r := range c.had {
		if fate := c.fateOf(r); fate == Erased || fate == Changed || fate == Replaced {
			c.had[i].gone = true
		}
	}
}

// rewind drops the newest items that the database has lost: items with earlier stamps may be new.
func (c *client) rewind() {
	n := len(c.had)
	for n > 0 && c.fateOf(c.had[n-1]) == Forfeited {
		n--
		c.forfeited = max(c.forfeited, c.had[n].at)
	}
	if n == len(c.had) {
		return
	}
	c.had = c.had[:n]
	c.cursor.Store(0)
	if n > 0 {
		c.cursor.Store(c.had[n-1].at)
	}
}

// hasAll reports whether the client has everything up to a head. If its newest item is one that the database has lost, it
// must receive another first. It may be called from any goroutine.
func (c *client) hasAll(head int64) bool {
	newest := c.newest.Load()
	return c.answered.Load() && c.cursor.Load() >= head && (newest == nil || c.fates.fate(*newest) != Forfeited)
}

// mayMissAny reports whether there may be a row that the client may miss.
func (c *client) mayMissAny() bool {
	if !c.transport.polls {
		return false
	}
	c.fates.mu.Lock()
	defer c.fates.mu.Unlock()
	for name, fate := range c.fates.fates {
		if name.workflow == c.workflow && fate == Forfeited {
			return true
		}
	}
	return false
}

// mayMiss reports whether a polling client may miss a row, because the client had a later one that the database has lost.
func (c *client) mayMiss(row item) bool {
	if !c.transport.polls {
		return false
	}
	for i := len(c.had) - 1; i >= c.compared && c.had[i].at > row.at && c.forfeited < row.at; i-- {
		if c.fateOf(c.had[i]) == Forfeited {
			c.forfeited = c.had[i].at
		}
	}
	return row.at <= c.forfeited
}
