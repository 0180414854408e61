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
	mu  sync.Mutex
	met map[string]int
}

func newLimits() *limits { return &limits{met: make(map[string]int)} }

func (l *limits) meet(reason string, times int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.met[strings.TrimSpace(strings.ReplaceAll(reason, "|", "/"))] += times // a table is made of it
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
