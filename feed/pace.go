package feed

import (
	"context"
	"math/rand/v2"
	"time"
)

// pause is how long to wait after a number of failures in a row: 50 to 100 ms after the first, then twice as long each
// time, up to 1 to 2 s. Half of it is chance, so that those who failed together do not return together.
func pause(failures int) time.Duration {
	if failures < 1 {
		return 0
	}
	full := min(100*time.Millisecond<<min(failures-1, 10), 2*time.Second)
	return full/2 + rand.N(full/2)
}

// wait waits until the time has passed or ctx ends.
func wait(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

const (
	herdSize  = 4
	herdTime  = 20 * time.Millisecond
	herdPause = 5 * time.Millisecond
)

// herd notices when many come in short order, a few in each query, so that they are better served together.
type herd struct {
	began   time.Time
	queries int
}

// rest notes a query and says how long to let more come before the next.
func (h *herd) rest(now time.Time) time.Duration {
	if now.Sub(h.began) > herdTime {
		h.began, h.queries = now, 0
	}
	if h.queries++; h.queries < herdSize {
		return 0
	}
	return herdPause
}
