package watcher

import (
	"slices"
	"strings"
	"time"
)

// Execution is what Temporal says of one run of a workflow.
type Execution struct {
	RunID      string
	FirstRunID string // of the chain: what a run is followed by when it continues as new, is retried, reset, or on a schedule
	Started    time.Time
	Status     Status
	Events     int64 // of its history; what a workflow answers to a query changes only with it
	Attempts   int   // of its pending workflow task, which is tried again as long as it fails; 0 if there is none
}

// Status is the status of a run, as items have it.
type Status string

// The statuses of runs. A run that has continued as new has not ended the workflow.
const (
	Running        Status = "running"
	Completed      Status = "completed"
	Failed         Status = "failed"
	Canceled       Status = "cancelled"
	Terminated     Status = "terminated"
	TimedOut       Status = "timed_out"
	ContinuedAsNew Status = "continued_as_new"
)

// What items say besides.
const (
	stalled Status = "stalled" // the run is there, but its worker cannot go on with it, or does not answer any more
	unknown Status = "unknown" // Temporal does not answer
)

// said is how workflows say themselves that they have ended so.
var said = map[Status][]string{
	Completed:  {"complete", "done", "finished", "succeeded", "success", "ok"},
	Failed:     {"failure", "error"},
	Canceled:   {"canceled", "stopped"},
	Terminated: {"killed"},
	TimedOut:   {"timeout", "expired"},
}

// ended reports whether the workflow has ended with a run of the status.
func (s Status) ended() bool { return said[s] != nil }

// saidBy reports whether a status that a workflow has recorded itself says that it has ended so.
func (s Status) saidBy(recorded string) bool {
	recorded = strings.NewReplacer(" ", "_", "-", "_").Replace(strings.ToLower(strings.TrimSpace(recorded)))
	return recorded == string(s) || slices.Contains(said[s], recorded)
}

// isFirst reports whether the run is the first of its chain.
func (e Execution) isFirst() bool { return e.FirstRunID == "" || e.FirstRunID == e.RunID }

// isStalled reports whether the run's workflow tasks fail again and again: its code panics, or does not fit its history.
func (e Execution) isStalled() bool { return e.Attempts >= stalledAttempts }

// stalledAttempts is how often a workflow task is tried until that is worth an item. A worker that is restarted with another
// version may fail a few.
const stalledAttempts = 5
