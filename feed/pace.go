package feed

import (
	"context"
	"math/rand/v2"
	"time"
)

// pause is the back-off after a number of failures in a row: 50 to 100 ms after the first, then doubled each time, up to 1
// to 2 s. Half of it is random, so that callers that failed together do not retry together.
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
	burstSize   = 4
	burstWindow = 20 * time.Millisecond
	burstDelay  = 5 * time.Millisecond
)

// burst detects many small queries in quick succession, which a short delay lets share one query.
type burst struct {
	began   time.Time
	queries int
}

// delay records a query and returns how long to wait for more jobs before the next.
func (b *burst) delay(now time.Time) time.Duration {
	if now.Sub(b.began) > burstWindow {
		b.began, b.queries = now, 0
	}
	if b.queries++; b.queries < burstSize {
		return 0
	}
	return burstDelay
}
