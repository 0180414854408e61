package watcher

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// maxStatus is how long a status may be, in bytes.
const maxStatus = 1000

// answer is what a workflow has answered to the query.
type answer struct {
	progress float64
	status   string
	events   int64 // of the history when it was asked
	overdue  bool  // further queries have not been answered
}

// errAnswer says that an answer is not one of progress; further text says why and what is accepted.
var errAnswer = errors.New("the query's answer is not used")

// parseAnswer reads an answer: a number, or an object with the fields progress and, if there is a status, status. Other fields are
// ignored.
func parseAnswer(text json.RawMessage) (answer, error) {
	text = bytes.TrimSpace(text)
	var read struct {
		Progress *float64 `json:"progress"`
		Status   string   `json:"status"`
	}
	into := any(&read)
	if !bytes.HasPrefix(text, []byte("{")) {
		into = &read.Progress
	}
	err := json.Unmarshal(text, into)
	switch {
	case err != nil || read.Progress == nil:
		return answer{}, fmt.Errorf("%w: it is neither a number nor {\"progress\": number, \"status\": text}", errAnswer)
	case *read.Progress < 0 || *read.Progress > 100:
		return answer{}, fmt.Errorf("%w: the progress is %v; a number from 0 to 100 is accepted", errAnswer, *read.Progress)
	case len(read.Status) > maxStatus || strings.ContainsRune(read.Status, 0):
		return answer{}, fmt.Errorf("%w: at most %d bytes without NUL are accepted as status", errAnswer, maxStatus)
	}
	return answer{progress: *read.Progress, status: cmp.Or(read.Status, string(Running))}, nil
}
