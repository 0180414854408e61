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
