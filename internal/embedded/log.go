package embedded

import (
	"io"
	"slices"
	"strings"
	"sync"
)

// tailLines is how much of the log the error of a failed start quotes.
const tailLines = 12

// tail passes the log on and keeps its last lines. It never fails: errors of the next writer are ignored, because the
// server would block if its log were not read.
type tail struct {
	mu    sync.Mutex
	next  io.Writer // nil discards
	lines []string
}

func newTail(next io.Writer) *tail { return &tail{next: next} }

// add takes the next line of the log, with its end.
func (t *tail) add(line string) {
	if line == "" {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.next != nil {
		_, _ = io.WriteString(t.next, line)
	}
	t.lines = append(t.lines, line)
	if excess := len(t.lines) - tailLines; excess > 0 {
		t.lines = slices.Delete(t.lines, 0, excess)
	}
}

// String returns the last lines.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(strings.Join(t.lines, ""))
}

// forget drops the kept lines, so that a later error does not quote an earlier process.
func (t *tail) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines = nil
}
