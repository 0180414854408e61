package faults_test

import (
	"strings"
	"sync"
)

// journalLines is how much of its end a journal keeps.
const journalLines = 20_000

// journal keeps what a program logs. Its methods may be called from any goroutine.
type journal struct {
	mu    sync.Mutex
	part  string // of a line that has not ended
	lines []string
}

// Write implements [io.Writer].
func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	lines := strings.SplitAfter(j.part+string(b), "\n")
	j.part = lines[len(lines)-1]
	j.lines = append(j.lines, lines[:len(lines)-1]...)
	if len(j.lines) > 2*journalLines {
		j.lines = append([]string(nil), j.lines[journalLines:]...)
	}
	return len(b), nil
}

// count returns how many of the lines that are kept have the text.
func (j *journal) count(text string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	n := 0
	for _, line := range j.lines {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

// end returns the last lines.
func (j *journal) end(lines int) string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Join(j.lines[max(0, len(j.lines)-lines):], "") + j.part
}
