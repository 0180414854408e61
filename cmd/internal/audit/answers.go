package audit

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"

	"chatfeed/db"
)

// answer is a message that is being written in pieces.
type answer struct {
	*writing
	workflow int
	number   int // of the message
	id       string
	text     []rune
}

// runAnswers writes one answer after the other.
func (w *writing) runAnswers() {
	for {
		number := w.ledger.begin()
		id := w.ledger.id(number)
		a := &answer{writing: w, workflow: rand.N(len(w.cfg.Workflows)), number: number, id: id, text: []rune(randomText(id))}
		if !a.write() {
			return
		}
	}
}

// write writes the answer, as an activity that is tried again does. It reports false when no more may be written; the answer
// then stays as it is.
func (a *answer) write() bool {
	attempts := 1
	for rand.N(3) == 0 && attempts < 3 {
		attempts++
	}
	late := -1 // where the text of the first attempt ends
	for attempt := 1; attempt <= attempts; attempt++ {
		end := len(a.text)
		if attempt < attempts { // it dies
			end = rand.N(end)
		}
		if !a.attempt(attempt, end) {
			return false
		}
		if attempt == 1 && attempts > 1 {
			late = end
		}
	}
	if rand.N(10) == 0 {
		return true // nobody finishes it
	}
	if rand.N(4) == 0 { // a transaction with the message that rolls back
		a.rollBack([]db.Item{a.message("")})
	}
	// An attempt that still runs though another has finished.
	var straggling sync.WaitGroup
	straggles := true
	if late >= 0 {
		straggling.Go(func() { straggles = a.delta(1, 1, late, len(a.text)) })
	}
	written := a.put(oneOf("complete", "failed", "cancelled"), "")
	straggling.Wait()
	if written && straggles && late >= 0 {
		straggles = a.delta(1, 2, 0, 1) // this one surely comes after the message
	}
	for written && straggles && rand.N(4) == 0 {
		written = a.put(oneOf("complete", "deleted"), a.id)
	}
	return written && straggles
}

// attempt writes the text up to an end.
func (a *answer) attempt(attempt, end int) bool {
	if rand.N(3) == 0 && !a.delta(attempt, 0, 0, min(4, end)) {
		return false
	}
	for at := 0; at < end; {
		next := min(end, at+1+rand.N(max(1, len(a.text)/3)))
		if !a.delta(attempt, 1, at, next) || rand.N(8) == 0 && !a.tool() {
			return false
		}
		at = next
	}
	return true
}

// delta writes a piece of the text. Part 0 is the reasoning.
func (a *answer) delta(attempt, part, at, end int) bool {
	if at >= end {
		return true
	}
	kind := "text"
	if part == 0 {
		kind = "reasoning"
	}
	made := db.Delta{
		WorkflowID: a.cfg.Workflows[a.workflow], MessageID: a.id, Attempt: int64(attempt), Part: int64(part), Kind: kind, At: int64(at),
		Delta: string(a.text[at:end]), Metadata: randomMetadata(a.id),
	}
	number := a.ledger.beginDelta(fmt.Sprintf("%s:%d:%d:%d", a.id, attempt, part, at))
	return a.writeOne(number, made, "delta")
}

// tool writes two states of a call.
func (a *answer) tool() bool {
	call := db.Tool{
		WorkflowID: a.cfg.Workflows[a.workflow], MessageID: a.id, Name: oneOf("search", `"ô\`), State: db.InputAvailable,
	}
	number := a.ledger.begin()
	call.ID, call.CallID = a.ledger.id(number), "call_"+a.ledger.id(number)
	call.Input, _ = json.Marshal(map[string]any{"id": call.ID, "n": 1.5, "deep": []any{nil, true, randomText(call.ID)}})
	if !a.writeOne(number, call, "tool") {
		return false
	}
	number = a.ledger.begin()
	call.ID, call.Input = a.ledger.id(number), nil
	switch rand.N(3) {
	case 0:
		call.State, call.Output = db.OutputAvailable, json.RawMessage(`["`+call.ID+`"]`)
	case 1:
		call.State, call.Error = db.OutputError, randomText(call.ID)
	case 2:
		call.State, call.Output = db.OutputAvailable, json.RawMessage(`"`+call.ID+`"`)
	}
	return a.writeOne(number, call, "tool")
}

// message is the whole message. It is a version of another if it replaces one.
func (a *answer) message(replaces string) db.Message {
	return db.Message{
		WorkflowID: a.cfg.Workflows[a.workflow], ID: a.id, Role: "assistant", Message: string(a.text), Replaces: replaces,
	}
}

// put writes the message, or another version of it.
func (a *answer) put(status, replaces string) bool {
	number, made := a.number, a.message(replaces)
	made.Status = status
	if replaces != "" {
		number = a.ledger.begin()
		made.ID = a.ledger.id(number)
		made.Message = randomText(made.ID)
	}
	return a.writeOne(number, made, "message")
}

// writeOne writes an item, and reports whether more may be written.
func (a *answer) writeOne(number int, made db.Item, kind string) bool {
	if a.reserve(1) == 0 || a.limit.Wait(a.stop) != nil {
		return false
	}
	e := entry{sum: a.sums.written(kind, made), workflow: int32(a.workflow), kind: uint8(slices.Index(kinds(), kind)), answer: int32(a.number)} //nolint:gosec // bounded
	a.ledger.set(number, e)
	way := a.writer.Write
	if rand.N(4) == 0 {
		way = a.transact
	}
	a.writing.write([]int{number}, []db.Item{made}, way)
	return a.stop.Err() == nil
}
