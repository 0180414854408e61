package activities

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"go.temporal.io/sdk/activity"

	"chatfeed/db"
)

// logInterval is how often the worker's log repeats a problem that an operator has to fix, however many activities fail.
const logInterval = time.Minute

// retryable makes the error of an attempt that failed for a transient reason or for one that an operator can fix. Temporal
// shows it with the activity, and retries.
func (r *recorder) retryable(ctx context.Context, items int, err error) error {
	message, persistent := explain(err)
	if persistent && r.problems.due(message, time.Now()) {
		activity.GetLogger(ctx).Error("Items cannot be recorded until an operator fixes this: "+message, "error", err)
	}
	return fmt.Errorf("record %d items: %s; it will be retried: %w", items, message, err)
}

// explain describes an error, and reports whether it persists until an operator fixes it.
func explain(err error) (message string, persistent bool) {
	var pg *pgconn.PgError
	var connect *pgconn.ConnectError
	switch {
	case errors.As(err, &pg):
		return explainState(pg)
	case errors.Is(err, db.ErrWriterClosed):
		return "the worker is stopping", false
	case errors.Is(err, context.Canceled):
		return "the activity was cancelled", false
	case errors.As(err, &connect):
		return "the database cannot be reached", false
	case errors.Is(err, context.DeadlineExceeded):
		return "the database did not answer in time", false
	default:
		return "the connection to the database failed", false
	}
}

// explainState describes an error by its SQLSTATE, whose first two characters are its class. The error itself says what can
// be done about it.
func explainState(pg *pgconn.PgError) (message string, persistent bool) {
	class := pg.Code[:min(2, len(pg.Code))]
	switch {
	case pg.Code == "42501":
		message, persistent = "the database refuses this role", true
	case class == "42" || class == "3F":
		message, persistent = "the database has no schema for this program, or a different version of it", true
	case class == "28" || class == "3D":
		message, persistent = "the database refuses the worker's login", true
	case pg.Code == "25006":
		message, persistent = "the database is read-only", true
	case class == "53":
		message, persistent = "the database has run out of space, memory or connections", true
	case class == "54":
		message, persistent = "the database has reached a limit of its own", true
	case class == "P0":
		message, persistent = "a function or trigger in the database has raised an error", true
	case class == "40" || pg.Code == "55P03":
		message = "other transactions were writing to the same workflow"
	case class == "57":
		message = "the database is stopping or starting, or has cancelled the statement"
	default:
		message = "the database has failed"
	}
	return fmt.Sprintf("%s (SQLSTATE %s)", message, pg.Code), persistent
}

// logLimiter remembers when each problem was last logged. The number of problems is bounded by the texts of [explain].
type logLimiter struct {
	mu   sync.Mutex
	last map[string]time.Time
}

// due reports whether a problem should be logged now, and if so records that it is.
func (l *logLimiter) due(message string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if last, ok := l.last[message]; ok && now.Sub(last) < logInterval {
		return false
	}
	if l.last == nil {
		l.last = make(map[string]time.Time)
	}
	l.last[message] = now
	return true
}
