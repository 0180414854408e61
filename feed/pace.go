package feed

import (
	"context"
	"math/rand/v2"
	"time"
)

// readBatches reads whenever there is something to read, until ctx ends: all that there is at a time, so that load makes
// the batches larger and not the queue longer. read returns how many topics or pages it has taken, up to limit. After a
// read that failed there is a pause, and then half as much in one query, so that what is too much for a slow source in the
// time that it has is read in the end.
func (f *Feed) readBatches(
	ctx context.Context, what string, some <-chan struct{}, read func(ctx context.Context, limit int) (n int, err error),
) {
	pause, limit := backoff{}, batchSize
	for {
		select {
		case <-ctx.Done():
			return
		case <-some:
		}
		for n := 1; n > 0; {
			var err error
			n, err = read(ctx, limit)
			switch {
			case ctx.Err() != nil:
				return
			case err != nil:
				f.log.WarnContext(ctx, "a read failed", "reading", what, "count", n, "error", err)
				if n > 1 {
					limit = n / 2
				}
				pause.wait(ctx)
			case n > 0:
				limit = min(limit+1+limit/8, batchSize) // slowly, as what is too much costs the time of a read
				pause.reset()
			}
		}
	}
}

// backoff makes the pauses between tries of what may be away: 50 to 100 ms at first, then twice as long each time, up to
// 1 to 2 s. Half of each is chance, so that those who failed together do not return together.
type backoff struct{ tries int }

func (b *backoff) wait(ctx context.Context) {
	full := min(100*time.Millisecond<<min(b.tries, 10), 2*time.Second)
	b.tries++
	timer := time.NewTimer(full/2 + rand.N(full/2))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

func (b *backoff) reset() { b.tries = 0 }
