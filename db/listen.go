package db

import (
	"context"
	"crypto/rand"
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
	channel = "chatfeed" // the triggers notify it
	// canaryPrefix begins the name of the channel on which a listener sends canaries to itself. Each listener has a channel
	// of its own: the canary of another server, or a forged one, does not prove that this listener works.
	canaryPrefix = "chatfeed_canary_"
	// maxMissedCanaries is how many canaries in a row must be missed before a listener is considered dead.
	maxMissedCanaries = 3
)

var (
	errUnanswered = errors.New("LISTEN is not answered")
	errSilent     = errors.New("no notification was received, not even our own")
)

// Listen implements [feed.Source] on a connection of its own. It returns when the connection is lost, or when canaries show
// that it is dead.
//
// Every step has a limit: connecting, LISTEN, each canary, and the number of missed canaries. It does not use the wall
// clock, so setting the clock has no effect.
func (s *Source) Listen(ctx context.Context, connected func(), wake func(string, feed.Cursor)) error {
	conn, err := s.connectListener(ctx)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	unanswered := time.AfterFunc(s.listenTimeout(), func() { fail(errUnanswered) })
	defer unanswered.Stop()
	listener := pgxlisten.Listener{
		Connect: func(context.Context) (*pgx.Conn, error) { return conn, nil },
		// The feed decides when to retry, so this listener ends with its first error.
		LogError: func(_ context.Context, err error) { fail(err) },
	}
	var heard atomic.Bool
	var watching sync.WaitGroup
	canary := canaryPrefix + rand.Text()
	listener.Handle(channel, &wakes{
		connected: func() {
			unanswered.Stop() // if the canary's own LISTEN is not answered, the canaries are missed
			watching.Go(func() {
				if watch(ctx, s.canary, &heard, func(ctx context.Context) error { return s.notify(ctx, canary) }) != nil {
					fail(errSilent)
				}
			})
			connected()
		},
		wake: wake,
	})
	listener.Handle(canary, pgxlisten.HandlerFunc(func(context.Context, *pgconn.Notification, *pgx.Conn) error {
		heard.Store(true)
		return nil
	}))
	_ = listener.Listen(ctx) // always the error of ctx; its cause says more
	fail(nil)
	watching.Wait()
	return fmt.Errorf("listen: %w", context.Cause(ctx))
}

// connectListener connects within the connect timeout for each address. A host name may have two, and pgx's timeout does not
// cover the name lookup.
func (s *Source) connectListener(ctx context.Context) (*pgx.Conn, error) {
	most := 2 * s.listen.ConnectTimeout * time.Duration(1+len(s.listen.Fallbacks))
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, s.listen)
	if err != nil {
		return nil, err
	}
	// The session may be idle for long. A setting of the role or the database must not end it for that.
	if _, err := conn.Exec(ctx, "set idle_session_timeout = 0"); err != nil {
		return nil, errors.Join(err, conn.Close(context.WithoutCancel(ctx)))
	}
	return conn, nil
}

// listenTimeout is how long the first LISTEN may take. If no other session of the database listens,
// PostgreSQL reads the whole notification queue for it, so it may take more than a round trip.
func (s *Source) listenTimeout() time.Duration {
	return max(s.listen.ConnectTimeout, maxMissedCanaries*s.canary)
}

// watch sends a canary at every interval until ctx ends, or until so many in a row were missed that the listener is dead. It
// counts canaries and not time: after a pause of the process, one interval has passed and not many.
//
// A canary that could not be sent because no connection was free, or that PostgreSQL refused with an error, says nothing
// about the listener and is not counted. One that is not answered is counted: the network may be down.
func watch(ctx context.Context, interval time.Duration, heard *atomic.Bool, send func(context.Context) error) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for missed := 0; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if heard.Swap(false) {
			missed = 0
		}
		if missed == maxMissedCanaries {
			return errSilent
		}
		one, cancel := context.WithTimeout(ctx, interval)
		err := send(one)
		cancel()
		if !errors.Is(err, errBusy) && sqlState(err) == "" {
			missed++
		}
	}
}

// errBusy says that all connections of the pool were in use all the time.
var errBusy = errors.New("every connection is in use")

// notify sends a canary through the pool, so that a listener on a database other than the one that is read is detected.
func (s *Source) notify(ctx context.Context, canary string) error {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		if now := s.pool.Stat(); now.AcquiredConns() == now.MaxConns() {
			return errBusy
		}
		return err
	}
	defer conn.Release()
	return dbsqlc.New(conn).Notify(ctx, dbsqlc.NotifyParams{Channel: canary})
}

// wakes passes notifications on. Its methods must not block, because the connection waits for them.
type wakes struct {
	connected func()
	wake      func(workflowID string, head feed.Cursor)
}

// HandleBacklog is called when the connection listens, before the first notification.
func (w *wakes) HandleBacklog(context.Context, string, *pgx.Conn) error {
	w.connected()
	return nil
}

// HandleNotification parses a payload of the triggers: the head in microseconds, a space, the workflow id. A head of zero
// means that items were erased. Anyone may notify the channel, so other payloads are ignored, and a valid one may be false:
// it only makes the feed read.
func (w *wakes) HandleNotification(_ context.Context, n *pgconn.Notification, _ *pgx.Conn) error {
	micros, workflowID, ok := strings.Cut(n.Payload, " ")
	head, err := strconv.ParseUint(micros, 10, 63) // accepts digits only, no sign
	if ok && err == nil && workflowID != "" {
		w.wake(workflowID, feed.Cursor(head))
	}
	return nil
}
