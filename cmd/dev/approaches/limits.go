package main

import (
	"fmt"
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

// text is the limit that was met most often, and how often any was; empty if none was.
func (l *limits) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	most, all := "", 0
	for reason, times := range l.met {
		all += times
		if times > l.met[most] || times == l.met[most] && reason < most {
			most = reason
		}
	}
	switch {
	case all == 0:
		return ""
	case all == l.met[most] && all > 1:
		return fmt.Sprintf("%s (%d times)", most, all)
	case all > 1:
		return fmt.Sprintf("%s (%d times, and %d of other kinds)", most, l.met[most], all-l.met[most])
	}
	return most
}
