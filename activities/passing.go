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

// alarmInterval is how often the worker's log repeats what an operator has to mend, however many activities fail for it.
const alarmInterval = time.Minute

// passing makes the error of an attempt that failed for a reason that passes, or that an operator can mend. Temporal shows
// it with the activity, and tries again.
func (r *recorder) passing(ctx context.Context, items int, err error) error {
	words, mend := explain(err)
	if mend && r.alarms.due(words, time.Now()) {
		activity.GetLogger(ctx).Error("Items cannot be recorded until somebody mends it: "+words, "error", err)
	}
	return fmt.Errorf("record %d items: %s; it is tried again: %w", items, words, err)
}

// explain says what kind of error it is, and whether it lasts until somebody mends it.
func explain(err error) (words string, mend bool) {
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
		return "the database has not answered in time", false
	default:
		return "the connection to the database failed", false
	}
}

// explainState goes by the SQLSTATE, whose first two characters are its class. What can be done about it is in the error.
func explainState(pg *pgconn.PgError) (words string, mend bool) {
	class := pg.Code[:min(2, len(pg.Code))]
	switch {
	case pg.Code == "42501":
		words, mend = "the database refuses this role", true
	case class == "42" || class == "3F":
		words, mend = "the database has no schema for this program, or another one", true
	case class == "28" || class == "3D":
		words, mend = "the database does not let the worker in", true
	case pg.Code == "25006":
		words, mend = "the database is read-only", true
	case class == "53":
		words, mend = "the database has run out of space, memory or connections", true
	case class == "54":
		words, mend = "the database has reached a limit of its own", true
	case class == "P0":
		words, mend = "a function or trigger in the database has raised an error", true
	case class == "40" || pg.Code == "55P03":
		words = "others were writing to the same workflow"
	case class == "57":
		words = "the database is stopping or starting, or has cancelled the statement"
	default:
		words = "the database has failed"
	}
	return fmt.Sprintf("%s (SQLSTATE %s)", words, pg.Code), mend
}

// alarms remembers when each alarm was last given. There are as many as [explain] has words for.
type alarms struct {
	mu   sync.Mutex
	last map[string]time.Time
}

// due reports whether it is time to give an alarm, and takes it for given.
func (a *alarms) due(words string, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if last, ok := a.last[words]; ok && now.Sub(last) < alarmInterval {
		return false
	}
	if a.last == nil {
		a.last = make(map[string]time.Time)
	}
	a.last[words] = now
	return true
}
