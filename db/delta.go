package db

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
)

// Delta is a piece of the message with the id MessageID, which is being written. It adds to the text of a part where it begins.
// Whatever ID it is given, its id is MessageID:Attempt:Part:At, so that a repeated write is the same item. A delta of a message
// that is there already is left out, and reported as written before.
type Delta struct {
	WorkflowID string          `json:"workflowId,omitempty"`
	MessageID  string          `json:"messageId"`         // 1 to 150 bytes
	Attempt    int64           `json:"attempt,omitempty"` // from 1, which 0 means; a higher one supersedes what lower ones have written
	Part       int64           `json:"part,omitempty"`    // the place of the part in the message, from 0
	Kind       string          `json:"kind,omitempty"`    // of the part: text, which empty means, reasoning, tool-input or another
	At         int64           `json:"at,omitempty"`      // where in the part it begins, in Unicode code points
	Delta      string          `json:"delta"`
	Metadata   json.RawMessage `json:"metadata,omitempty"`
}

var deltas = newKind[Delta]("delta", "deltas", "", []string{"delta"},
	required(limited("messageId", text2, maxReference, func(d Delta) string { return d.MessageID })),
	within("attempt", number1, 1, func(d Delta) int64 { return max(d.Attempt, 1) }),
	within("part", number2, 0, func(d Delta) int64 { return d.Part }),
	limited("kind", text3, maxLabel, func(d Delta) string { return cmp.Or(d.Kind, "text") }),
	within("at", number3, 0, func(d Delta) int64 { return d.At }),
	long("delta", text1, func(d Delta) string { return d.Delta }),
)

// maxReference is how long the id of a message with deltas, and that of a tool call, may be: theirs are made of it.
const maxReference = 150

func (Delta) kind() *Kind { return deltas }

func (d Delta) key() key {
	return key{d.WorkflowID, fmt.Sprintf("%s:%d:%d:%d", d.MessageID, max(d.Attempt, 1), d.Part, d.At), d.Metadata}
}

func (d Delta) with(workflowID, _ string) Item {
	d.WorkflowID = workflowID
	return d
}

// within is a whole number from the least to 2,147,483,647.
func within[T Item](field string, at slot, least float64, of func(T) int64) column {
	c := whole(field, at, of)
	accepted := fmt.Sprintf("a whole number from %v to %d", least, math.MaxInt32)
	c.constraint, c.bound = "delta_range", "accepted is "+accepted
	c.check = func(k *checker, item Item) { k.number(field, float64(of(item.(T))), least, math.MaxInt32, accepted) }
	return c
}
