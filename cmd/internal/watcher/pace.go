package watcher

import "time"

// The intervals between two calls about a workflow.
const (
	least  = 100 * time.Millisecond
	most   = 5 * time.Second
	growth = 1.5
)

// outcome is what a poll has found.
type outcome int

const (
	same    outcome = iota // nothing new: the next interval is longer
	changed                // something new: the next interval is the least
	settled                // nothing new is to be expected soon: the next interval is the longest
)

// next returns the interval after one, given what the poll has found. The first interval follows zero.
func next(interval time.Duration, found outcome) time.Duration {
	switch {
	case found == settled:
		return most
	case found == changed || interval == 0:
		return least
	}
	return min(most, time.Duration(float64(interval)*growth))
}
