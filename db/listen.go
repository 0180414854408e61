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
	channel = "chatfeed" // what the triggers notify
	// canaryPrefix begins the channel that a listener notifies to hear itself. Each has a channel of its own: the canary of
	// another server, or a forged one, does not prove that this listener hears what is written to its database.
	canaryPrefix = "chatfeed_canary_"
	// unheardCanaries is how many canaries in a row must stay unheard until a listener is taken for dead.
	unheardCanaries = 3
)

var (
	errUnanswered = errors.New("LISTEN is not answered")
	errDeaf       = errors.New("nothing was heard, not even our own notifications")
)

// Listen implements [feed.Source] on a connection of its own. It returns when the connection is lost, or when it is
// silent for so long that it must be dead.
//
// Every step is bounded: connecting, LISTEN, each canary, and how many canaries may stay unheard. No wall clock is read, so
// a clock that is set neither ends a listener nor keeps one.
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
		// The feed decides when to try again, so the first error is the last of this listener.
		LogError: func(_ context.Context, err error) { fail(err) },
	}
	var heard atomic.Bool
	var watching sync.WaitGroup
	canary := canaryPrefix + rand.Text()
	listener.Handle(channel, &wakes{
		connected: func() {
			unanswered.Stop() // where the canary's LISTEN is not answered, no canary is heard
			watching.Go(func() {
				if watch(ctx, s.canary, &heard, func(ctx context.Context) error { return s.notify(ctx, canary) }) != nil {
					fail(errDeaf)
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
	_ = listener.Listen(ctx) // only ever that ctx has ended; its cause says more
	fail(nil)
	watching.Wait()
	return fmt.Errorf("listen: %w", context.Cause(ctx))
}

// connectListener connects within the time that the connection's config gives each address. A host name may have two, and
// pgx does not count the time that finding them takes.
func (s *Source) connectListener(ctx context.Context) (*pgx.Conn, error) {
	most := 2 * s.listen.ConnectTimeout * time.Duration(1+len(s.listen.Fallbacks))
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, s.listen)
	if err != nil {
		return nil, err
	}
	// It is idle where nothing is written, which a setting of the role or the database must not end it for.
	if _, err := conn.Exec(ctx, "set idle_session_timeout = 0"); err != nil {
		return nil, errors.Join(err, conn.Close(context.WithoutCancel(ctx)))
	}
	return conn, nil
}

// listenTimeout is how long the first LISTEN may take. PostgreSQL reads the whole queue of notifications for it where
// nobody else in the database listens, so it is more than a round trip.
func (s *Source) listenTimeout() time.Duration {
	return max(s.listen.ConnectTimeout, unheardCanaries*s.canary)
}

// watch sends a canary at every interval until ctx ends, or until so many in a row were not heard that the listener is
// dead. It counts canaries rather than time: a process that was stopped for a while finds one interval over, not many.
//
// A canary that could not be sent for want of a free connection, or that PostgreSQL refused with an error of its own, says
// nothing about the listener and is not counted. One that is not answered is: perhaps nothing comes through at all.
func watch(ctx context.Context, interval time.Duration, heard *atomic.Bool, sing func(context.Context) error) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for unheard := 0; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if heard.Swap(false) {
			unheard = 0
		}
		if unheard == unheardCanaries {
			return errDeaf
		}
		one, cancel := context.WithTimeout(ctx, interval)
		err := sing(one)
		cancel()
		if !errors.Is(err, errBusy) && sqlState(err) == "" {
			unheard++
		}
	}
}

// errBusy says that all connections of the pool were in use for the whole time.
var errBusy = errors.New("every connection is in use")

// notify sends a canary through the pool, so that a listener on another database than the one that is read is found out.
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

// HandleNotification takes a payload of the triggers: the head in microseconds, a space, the workflow id. A head of zero
// says that items were erased. Anyone may notify the channel, so what is not of that form is passed over, and what is may
// be a lie: it only makes the feed look.
func (w *wakes) HandleNotification(_ context.Context, n *pgconn.Notification, _ *pgx.Conn) error {
	micros, workflowID, ok := strings.Cut(n.Payload, " ")
	head, err := strconv.ParseUint(micros, 10, 63) // takes digits only, so no sign
	if ok && err == nil && workflowID != "" {
		w.wake(workflowID, feed.Cursor(head))
	}
	return nil
}
