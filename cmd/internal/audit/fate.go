package audit

// Fate is what an item meets with on purpose, and what is then expected of the table and of clients.
type Fate uint8

const (
	// Erased is an item that is deleted while its workflow stays. The table must not have it, and who has it and follows by
	// a stream must be told that it is gone.
	Erased Fate = iota + 1
	// Ended is an item that is deleted with its whole workflow. The table must not have it, and who has it and follows by a
	// stream must be told that the workflow begins anew.
	Ended
	// Changed is an item that is redacted in place. Who has it as it was and follows by a stream must be told that it is
	// gone; who has it not must be given it as it is then.
	Changed
	// Forfeited is an item that the database has lost, as at a failover to a standby that was behind. Clients are not told,
	// and may have it or not. Later items may be stamped before it and must be given all the same, but to polls, whose
	// cursors may be beyond them.
	Forfeited
	// Replaced is an item that is deleted, and written anew under its name. Who has it and follows by a stream must be told
	// that it is gone, and everyone must be given the new one.
	Replaced
)

// meets notes what an item meets with.
func (l *ledger) meets(fate Fate, name key) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fates == nil {
		l.fates = make(map[key]Fate)
	}
	l.fates[name] = fate
	if number := l.number(name.id); number >= 0 && l.entries[number].outcome == outcomeUnknown {
		l.entries[number].unsure = true
	}
}

// fate returns what an item has met with, zero for nothing.
func (l *ledger) fate(it item) Fate {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fates[key{it.workflow, it.kind, it.id}]
}

// met returns how many items have met with something.
func (l *ledger) met() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.fates)
}

// again reports whether an item may have been written once more after it met its fate. The writers must have ended.
func (l *ledger) again(it item) bool {
	number := l.number(it.id)
	return number >= 0 && l.entries[number].unsure
}

// fateOf is the fate of an item that the client has.
func (c *client) fateOf(r record) Fate {
	kind, id := c.nameOf(r)
	return c.fates.fate(item{workflow: c.workflow, kind: string(kind), id: string(id)})
}

// forget takes note of what the client was told is gone. What it is given of the same name after that is new.
func (c *client) forget(gone []item, anew []string) {
	for _, it := range gone {
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
			c.cursor.Store(0)
			c.counts.anew.Add(1)
		}
	}
}

// returned is called when a stream has been opened again. Nobody is told of items that were erased while he was away.
func (c *client) returned() {
	met := c.fates.met()
	if c.met == met {
		return
	}
	c.met = met
	for i, r := range c.had {
		if fate := c.fateOf(r); fate == Erased || fate == Changed || fate == Replaced {
			c.had[i].gone = true
		}
	}
}

// goBack gives up the newest items as long as the database has lost them: what is stamped before them may be new.
func (c *client) goBack() {
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

// hasAll reports whether the client has everything up to a head. While the newest item it has is one that the database has
// lost, something else must come. It may be called from any goroutine.
func (c *client) hasAll(head int64) bool {
	newest := c.newest.Load()
	return c.answered.Load() && c.cursor.Load() >= head && (newest == nil || c.fates.fate(*newest) != Forfeited)
}

// mayMiss reports whether a client that polls may lack a row, because the database has lost a later one that the client
// has had.
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
