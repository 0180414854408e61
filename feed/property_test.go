package feed_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"chatfeed/feed"
)

func TestEverySubscriptionSeesExactlyTheItemsAfterItsCursorOnceInOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		s := scripts().Draw(rt, "script")
		var faults []string
		synctest.Test(t, func(t *testing.T) { faults = play(t, s) })
		if len(faults) > 0 {
			rt.Fatalf("%d faults, the first: %s", len(faults), faults[0])
		}
	})
}

// play runs a script and returns what went wrong.
func play(t *testing.T, s script) []string {
	t.Helper()
	src := newSource()
	src.bodySize = 10
	var noFaults atomic.Bool // at the end no faults are injected any more
	var turn atomic.Int64
	src.before = func(ctx context.Context, _ query) error {
		n := int(turn.Add(1))
		pass(ctx, s.Early[n%len(s.Early)])
		if s.Fails[n%len(s.Fails)] && !noFaults.Load() {
			return errUnavailable
		}
		return nil
	}
	src.after = func(ctx context.Context, _ query) error {
		pass(ctx, s.Late[int(turn.Load())%len(s.Late)])
		return ctx.Err()
	}
	f, err := feed.New(src, src, feed.Config{
		Window: s.Window, Sweep: s.Sweep, Linger: s.Linger, Log: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	var running, delivering sync.WaitGroup
	running.Go(func() { _ = f.Run(ctx) })
	readers := make([]*reader, readerCount)
	for n := range readers {
		readers[n] = &reader{feed: f, src: src}
	}

	notify := func(workflowID string, head feed.Cursor, copies []time.Duration) {
		for _, late := range copies {
			if late == 0 {
				src.notify(workflowID, head)
				continue
			}
			delivering.Go(func() {
				pass(ctx, late)
				src.notify(workflowID, head)
			})
		}
	}
	for _, step := range s.Steps {
		workflowID := fmt.Sprintf("w%d", step.Workflow)
		switch step.Kind {
		case commits:
			notify(workflowID, src.add(workflowID, step.Types...), step.Notified)
		case touches:
			src.touch(workflowID)
		case forges:
			src.notify(workflowID, feed.Cursor(time.Now().Add(time.Hour).UnixMicro()))
		case erases:
			src.eraseSome(workflowID, step.Items)
			notify(workflowID, 0, step.Notified)
			pass(ctx, time.Millisecond) // no stamp is given out twice
		case eraseAll:
			src.erase(workflowID)
			notify(workflowID, 0, step.Notified)
			pass(ctx, time.Millisecond)
		case goesBack:
			src.reconnect()
			if stamps := src.loseSome(workflowID, step.Items[0]); len(stamps) > 0 {
				pass(ctx, time.Minute) // the loss must be found before the head is back where it was
				for _, at := range stamps {
					src.addAt(workflowID, at)
				}
				notify(workflowID, stamps[len(stamps)-1], step.Notified)
			}
		case opens:
			readers[step.Reader].open(step)
		case resumes:
			readers[step.Reader].resume()
		case adds:
			readers[step.Reader].add(step.From[0])
		case drops:
			readers[step.Reader].drop(step.Workflow)
		case hangsUp:
			src.dropListener(false)
		case deafens:
			src.dropListener(true)
		case goesAway:
			src.disconnect()
		case isBack:
			src.reconnect()
		case elapses:
			pass(ctx, step.For)
		}
		if step.Settled {
			synctest.Wait()
		}
	}

	delivering.Wait()
	noFaults.Store(true)
	src.reconnect()
	elapse(20 * time.Minute) // enough for the slowest reader
	reads := src.reads()
	elapse(time.Hour)
	faults := src.broken()
	if more := src.reads() - reads; more > 0 {
		faults = append(faults, fmt.Sprintf("%d reads within an idle hour", more))
	}
	for n, r := range readers {
		r.close()
		for _, fault := range append(r.faults, r.missing()...) {
			faults = append(faults, fmt.Sprintf("reader %d: %s", n, fault))
		}
	}
	elapse(s.Linger + 2*s.Sweep)
	if stats := f.Stats(); stats.Topics+stats.Subscriptions > 0 {
		faults = append(faults, fmt.Sprintf("%d topics of %d subscriptions are kept when all are closed", stats.Topics, stats.Subscriptions))
	}
	cancel()
	running.Wait()
	return faults
}
