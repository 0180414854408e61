package db

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgxlisten"

	"chatfeed/db/internal/dbsqlc"
	"chatfeed/feed"
)

const (
	channel       = "chatfeed"        // what the insert triggers notify
	canaryChannel = "chatfeed_canary" // what listeners notify to hear themselves
)

var errDeaf = errors.New("nothing was heard, not even our own notifications")

// Listen implements [feed.Source] on a connection of its own. It returns when the connection is lost, or when it is
// silent for so long that it must be dead.
func (s *Source) Listen(ctx context.Context, connected func(), wake func(string, feed.Cursor)) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var heard atomic.Int64 // when, in nanoseconds of the Unix epoch
	listener := pgxlisten.Listener{
		Connect: func(ctx context.Context) (*pgx.Conn, error) { return pgx.ConnectConfig(ctx, s.listen) },
		// The feed decides when to try again, so the first error is the last of this listener.
		LogError: func(_ context.Context, err error) { fail(err) },
	}
	var canary sync.WaitGroup
	listener.Handle(channel, &wakes{
		connected: func() {
			heard.Store(time.Now().UnixNano())
			canary.Go(func() { s.sing(ctx, &heard, fail) })
			connected()
		},
		wake: func(workflowID string, head feed.Cursor) {
			heard.Store(time.Now().UnixNano())
			wake(workflowID, head)
		},
	})
	listener.Handle(canaryChannel, pgxlisten.HandlerFunc(func(context.Context, *pgconn.Notification, *pgx.Conn) error {
		heard.Store(time.Now().UnixNano())
		return nil
	}))
	_ = listener.Listen(ctx) // only ever that ctx has ended; its cause says more
	fail(nil)
	canary.Wait()
	return fmt.Errorf("listen: %w", context.Cause(ctx))
}

// sing sends a notification whenever the listener has heard nothing for an interval, and gives it up after three.
func (s *Source) sing(ctx context.Context, heard *atomic.Int64, fail func(error)) {
	tick := time.NewTicker(s.canary)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		silence := time.Since(time.Unix(0, heard.Load()))
		if silence >= 3*s.canary {
			fail(errDeaf)
			return
		}
		if silence >= s.canary*9/10 { // the ticks are not exact
			s.notify(ctx)
		}
	}
}

// notify sends a canary. That it fails is no news: then nothing is heard.
func (s *Source) notify(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, s.canary)
	defer cancel()
	_ = s.q.Notify(ctx, dbsqlc.NotifyParams{Channel: canaryChannel})
}

// wakes hands notifications on. Its methods only record, as the connection waits for them.
type wakes struct {
	connected func()
	wake      func(workflowID string, head feed.Cursor)
}

// HandleBacklog is called when the connection listens, before anything is heard.
func (w *wakes) HandleBacklog(context.Context, string, *pgx.Conn) error {
	w.connected()
	return nil
}

// HandleNotification takes a payload of the insert triggers: the head in microseconds, a space, the workflow id. Anyone
// may notify the channel, so what is not of that form is passed over.
func (w *wakes) HandleNotification(_ context.Context, n *pgconn.Notification, _ *pgx.Conn) error {
	micros, workflowID, ok := strings.Cut(n.Payload, " ")
	head, err := strconv.ParseInt(micros, 10, 64)
	if ok && err == nil && workflowID != "" {
		w.wake(workflowID, feed.Cursor(head))
	}
	return nil
}
