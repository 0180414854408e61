package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// limits is what kept watchers from watching, in words. Its methods may be called from any goroutine.
type limits struct {
	mu   sync.Mutex
	met  map[string]int
	hard bool
}

func newLimits() *limits { return &limits{met: make(map[string]int)} }

func (l *limits) meet(reason string, times int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.met[strings.TrimSpace(strings.ReplaceAll(reason, "|", "/"))] += times // a table is made of it
}

// end notes a limit behind which there is nothing to measure.
func (l *limits) end(format string, args ...any) {
	l.meet(fmt.Sprintf(format, args...), 1)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hard = true
}

// reached reports whether more watchers would only be refused more often: some have got nothing, the workflow has not ended well, or one
// call in twenty was refused.
func (l *limits) reached(calls int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	refused := 0
	for _, times := range l.met {
		refused += times
	}
	const most = 20
	return l.hard || refused*most > calls
}

// text is the two limits that were met most often, and how often; empty if none was.
func (l *limits) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	reasons := slices.SortedFunc(maps.Keys(l.met), func(a, b string) int {
		return cmp.Or(cmp.Compare(l.met[b], l.met[a]), cmp.Compare(a, b))
	})
	var parts []string
	for _, reason := range reasons[:min(len(reasons), 2)] {
		if times := l.met[reason]; times > 1 {
			reason += fmt.Sprintf(" (%d times)", times)
		}
		parts = append(parts, reason)
	}
	return strings.Join(parts, "; ")
}
