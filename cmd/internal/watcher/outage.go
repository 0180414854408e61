package watcher

import (
	"sync"
	"time"
)

const (
	// The trouble of one workflow is worth an item after this many failures in a row and this long after the first.
	patience     = 3
	patienceTime = 5 * time.Second
	// outageTime is how long nothing must have succeeded for an outage: longer than the longest interval between two calls, so
	// that one workflow that fails among others that do not makes none.
	outageTime = 2 * most
	probeEvery = time.Second
)

// failures counts what has failed in a row. The zero value is that of none.
type failures struct {
	n     int
	since time.Time // the first
}

func (f *failures) add(now time.Time) {
	if f.n == 0 {
		f.since = now
	}
	f.n++
}

func (f *failures) isLasting(now time.Time) bool { return f.last(now, patienceTime) }

// last reports whether there have been some failures for so long.
func (f *failures) last(now time.Time, d time.Duration) bool {
	return f.n >= patience && now.Sub(f.since) >= d
}

// outage notices when Temporal fails for all workflows. Then one call a second, for any of those whose last one has failed, finds
// out when it is back. A workflow whose last call has not failed may be called about: it may be one of a few that still can.
type outage struct {
	mu sync.Mutex
	failures
	away   bool
	probed time.Time
}

// admit reports whether Temporal may be called about a workflow whose last call has failed.
func (o *outage) admit(now time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.away {
		return true
	}
	if now.Sub(o.probed) < probeEvery {
		return false
	}
	o.probed = now
	return true
}

// note records the result of a call, and reports whether an outage has begun or ended with it.
func (o *outage) note(failed bool, now time.Time) (turned bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if failed {
		o.add(now)
	} else {
		o.failures = failures{}
	}
	was := o.away
	o.away = failed && (was || o.last(now, outageTime))
	if o.away && !was {
		o.probed = now
	}
	return o.away != was
}

// lasts reports whether there is an outage.
func (o *outage) lasts() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.away
}
