package audit

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"strconv"
	"strings"
	"sync"
)

// kinds are the types of items that writers write and clients ask for.
func kinds() []string { return []string{"message", "log", "stat", "progress", "delta", "tool"} }

// ledger is the outcome of each item that writers began to write. An item's number is in its id, and its contents contain the
// id, so that a copy of it is recognised whatever its id.
type ledger struct {
	run       string // prefix of all ids, unique to this audit
	workflows []string

	mu      sync.Mutex
	entries []entry        // by number
	deltas  map[string]int // numbers of deltas, by id
	fates   map[key]Fate
}

// key names an item.
type key struct{ workflow, kind, id string }

type entry struct {
	sum       uint64
	workflow  int32
	kind      uint8
	outcome   outcome
	answer    int32 // of a delta, the number of its message
	found     bool  // the table has it
	uncertain bool  // its outcome was unknown when its fate was set, so it may have been written again since
}

type outcome uint8

const (
	outcomeUnknown outcome = iota // it may or may not be in the table
	outcomeWritten
	outcomeRolledBack
)

func newRun() string {
	var random [5]byte
	_, _ = rand.Read(random[:]) // it never fails: see crypto/rand
	return "audit_" + hex.EncodeToString(random[:]) + "_"
}

func (l *ledger) id(number int) string { return l.run + strconv.Itoa(number) }

// number returns the number of an item with this id, or -1.
func (l *ledger) number(id string) int {
	digits, ok := strings.CutPrefix(id, l.run)
	if !ok {
		return -1
	}
	if number, ok := l.deltas[id]; ok {
		return number
	}
	number, err := strconv.Atoi(digits)
	if err != nil || number < 0 || number >= len(l.entries) {
		return -1
	}
	return number
}

// copied returns the number of the item whose id is in the contents, or -1.
func (l *ledger) copied(contents ...[]byte) int {
	for _, text := range contents {
		if i := bytes.Index(text, []byte(l.run)); i >= 0 {
			id := text[i:]
			end := len(l.run)
			for end < len(id) && '0' <= id[end] && id[end] <= '9' {
				end++
			}
			return l.number(string(id[:end]))
		}
	}
	return -1
}

// begin returns the number of a new item; set then describes it.
func (l *ledger) begin() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = append(l.entries, entry{})
	return len(l.entries) - 1
}

// beginDelta is begin for an item whose id is not made of its number.
func (l *ledger) beginDelta(id string) int {
	number := l.begin()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.deltas == nil {
		l.deltas = make(map[string]int)
	}
	l.deltas[id] = number
	return number
}

func (l *ledger) set(number int, e entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries[number] = e
}

func (l *ledger) setOutcome(numbers []int, o outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, number := range numbers {
		l.entries[number].outcome = o
	}
}

// rolledBack reports whether a row was rolled back, and adds a finding if so.
func (l *ledger) rolledBack(row item, found *findings) bool {
	number := l.number(row.id)
	if number < 0 || l.entries[number].outcome != outcomeRolledBack {
		return false
	}
	found.add(about(Unknown, row))
	return true
}

// pass compares a row with what was written.
func (l *ledger) pass(row item, body, metadata []byte, found *findings) {
	fate := l.fate(row)
	if fate != 0 && fate != Changed && fate != Replaced && !l.mayBeWrittenAgain(row) {
		found.add(about(Unknown, row))
	}
	number := l.number(row.id)
	if number < 0 {
		if number = l.copied(body, metadata); number >= 0 && l.entries[number].sum == row.sum {
			found.add(about(Twice, row))
		}
		return
	}
	e := &l.entries[number]
	switch {
	case l.workflows[e.workflow] != row.workflow || kinds()[e.kind] != row.kind:
		found.add(about(Twice, row))
	case e.sum != row.sum && fate != Changed:
		found.add(about(Different, row))
		e.found = true
	default:
		e.found = true
	}
}

// wrote reports whether the audit has written a delta with these contents, or it may be another program's. The writers must have
// ended.
func (l *ledger) wrote(delta item) bool {
	if !strings.HasPrefix(delta.id, l.run) {
		return true
	}
	number, exists := l.deltas[delta.id]
	return exists && l.entries[number].sum == delta.sum
}

// unwritten adds findings for written items without a row, and returns how many deltas have none because their messages have
// replaced them.
func (l *ledger) unwritten(found *findings) (replaced int) {
	ids := make(map[int]string, len(l.deltas))
	for id, number := range l.deltas {
		ids[number] = id
	}
	for number, e := range l.entries {
		name := key{l.workflows[e.workflow], kinds()[e.kind], cmp.Or(ids[number], l.id(number))}
		if e.outcome == outcomeWritten && !e.found && (l.fates[name] == 0 || l.fates[name] == Changed) {
			if name.kind == "delta" && (l.entries[e.answer].found || l.fates[key{name.workflow, "message", l.id(int(e.answer))}] != 0) {
				replaced++
				continue
			}
			found.add(Finding{Kind: Unwritten, Workflow: name.workflow, Type: name.kind, ID: name.id})
		}
	}
	return replaced
}

func about(kind Kind, row item) Finding {
	return Finding{Kind: kind, Workflow: row.workflow, Type: row.kind, ID: row.id, CreatedAt: seconds(row.at)}
}
