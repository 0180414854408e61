package feed

import "time"

const (
	// slowAfter is how long a lane waits for a read before it starts another concurrently. A longer read is slow.
	slowAfter = 500 * time.Millisecond
	// splittingTime is the timeout of a read that finds out which members of a failed batch are at fault. A workflow that
	// needs longer is read alone, within the source's own timeout.
	splittingTime = time.Second
	// split is the number of parts that a failed batch is split into. Two splits find one workflow among 256.
	split = 16
	// troubleExpiry is how long after its last failure a workflow is no longer read separately.
	troubleExpiry = time.Minute
	// recovery is the number of successful reads in a row after which a workflow's window is doubled.
	recovery = 2
)

// trouble is what a lane records about a workflow whose reads fail or are slow. Such a workflow is read separately from
// all others until a read of it is fast.
type trouble struct {
	splitLimit int  // the most workflows in a read with it, itself included, while its batch is being split
	failures   int  // in a row, when read alone; zero while another workflow of the batch may be at fault
	slow       bool // its last read succeeded, but took long
	halvings   int  // how often its window has been halved
	successes  int  // successful reads since the last halving or doubling
	lastFault  time.Time
	notBefore  time.Time // when it may be read again
}

// atFault reports whether the workflow itself is known to be at fault.
func (t *trouble) atFault() bool { return t.failures > 0 || t.slow || t.halvings > 0 }

// batchLimit is the most workflows in a read with this one, itself included. It is 1 for a nil trouble.
func (t *trouble) batchLimit() int {
	if t == nil || t.atFault() {
		return 1
	}
	return t.splitLimit
}

// fail records a failed read of the given number of workflows together. While others are read successfully, the window is
// halved each time; otherwise the source may be at fault, and it is halved only after every fourth failure.
func (t *trouble) fail(together int, others bool, now time.Time) {
	t.successes = 0
	if together > 1 {
		t.mayBeAtFault(together, now)
		return
	}
	t.lastFault = now
	t.failures++
	t.notBefore = now.Add(pause(t.failures))
	if others || t.failures%4 == 0 {
		t.halvings = min(t.halvings+1, 30)
	}
}

// mayBeAtFault records that one of the given number of workflows, read together, has failed or is slow.
func (t *trouble) mayBeAtFault(together int, now time.Time) {
	t.lastFault, t.splitLimit = now, (together+split-1)/split
}

// succeed records a successful read, and reports whether the trouble is over.
func (t *trouble) succeed(slow bool, now time.Time) bool {
	t.failures, t.slow, t.notBefore = 0, slow, time.Time{}
	if slow {
		t.lastFault = now
	}
	if t.successes++; t.successes >= recovery && t.halvings > 0 {
		t.halvings, t.successes = t.halvings-1, 0
	}
	return !slow && t.halvings == 0
}
