package feed

import "time"

const (
	// patience is how long a lane waits for a read before it begins another beside it. What takes longer is slow.
	patience = 500 * time.Millisecond
	// sortingTime is what a read may take that finds out which members of a failed batch are at fault. What needs longer
	// is read alone, in the time that the source allows.
	sortingTime = time.Second
	// split is into how many parts a failed batch is cut. Two cuts find one workflow among 256.
	split = 16
	// forgiven is how long after its last failure a workflow is read together with others again.
	forgiven = time.Minute
	// recovery is how many reads in a row have to succeed before a workflow's window is doubled.
	recovery = 2
)

// trouble is what a lane remembers of a workflow whose reads fail or are slow. Such a workflow is read apart from all
// others until a read of it is quick.
type trouble struct {
	most     int  // with how many it may be read while its batch is sorted, itself included
	failures int  // in a row, all alone; zero while it may be the fault of another in the batch
	slow     bool // its last read has succeeded, but taken long
	halvings int  // how often its window has been halved
	good     int  // reads that have succeeded since the last halving or doubling
	since    time.Time
	until    time.Time // not to be read before
}

// accused reports whether the workflow itself is known to be at fault.
func (t *trouble) accused() bool { return t.failures > 0 || t.slow || t.halvings > 0 }

// company is with how many the workflow may be read, itself included. Without trouble it may not be read apart.
func (t *trouble) company() int {
	if t == nil || t.accused() {
		return 1
	}
	return t.most
}

// fail notes a read that has failed, of so many workflows together. Where others are read meanwhile, the window is halved;
// where none is, the source may be to blame, and it is halved now and then.
func (t *trouble) fail(together int, others bool, now time.Time) {
	t.good = 0
	if together > 1 {
		t.suspect(together, now)
		return
	}
	t.since = now
	t.failures++
	t.until = now.Add(pause(t.failures))
	if others || t.failures%4 == 0 {
		t.halvings = min(t.halvings+1, 30)
	}
}

// suspect notes that the workflow is one of so many, read together, of which one has failed or is slow.
func (t *trouble) suspect(together int, now time.Time) {
	t.since, t.most = now, (together+split-1)/split
}

// succeed notes a read that has succeeded, and reports whether all is well again.
func (t *trouble) succeed(slow bool, now time.Time) bool {
	t.failures, t.slow, t.until = 0, slow, time.Time{}
	if slow {
		t.since = now
	}
	if t.good++; t.good >= recovery && t.halvings > 0 {
		t.halvings, t.good = t.halvings-1, 0
	}
	return !slow && t.halvings == 0
}
