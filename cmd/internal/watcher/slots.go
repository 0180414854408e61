package watcher

import "context"

// slots limits how many goroutines do something at a time.
type slots chan struct{}

// take waits for a slot; it reports false if ctx ends before.
func (s slots) take(ctx context.Context) bool {
	select {
	case s <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// try takes a slot if one is free.
func (s slots) try() bool {
	select {
	case s <- struct{}{}:
		return true
	default:
		return false
	}
}

func (s slots) give() { <-s }
