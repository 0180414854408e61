package activities

import (
	"context"
	"errors"
	"fmt"
	"strings"
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

// explainState goes by the SQLSTATE, whose first two characters are its class.
func explainState(pg *pgconn.PgError) (words string, mend bool) {
	switch {
	case pg.Code == "42501":
		return "the database refuses this role (SQLSTATE 42501): grant the worker's role what it lacks", true
	case pg.Code == "42P01" || pg.Code == "3F000" || pg.Code == "42703" || pg.Code == "42883":
		return fmt.Sprintf("the database has no schema for this program, or an older one (SQLSTATE %s): "+
			"run chatfeed migrate up, and see that the worker has the right database", pg.Code), true
	case strings.HasPrefix(pg.Code, "28"):
		return fmt.Sprintf("the database does not let this role in (SQLSTATE %s): "+
			"check the user, the password and pg_hba.conf", pg.Code), true
	case pg.Code == "3D000":
		return "there is no such database (SQLSTATE 3D000): check the database URL", true
	case pg.Code == "25006":
		return "the database is read-only (SQLSTATE 25006): the worker has to reach the primary", true
	case strings.HasPrefix(pg.Code, "53"):
		return fmt.Sprintf("the database has run out of space, memory or connections (SQLSTATE %s)", pg.Code), true
	case strings.HasPrefix(pg.Code, "54"):
		return fmt.Sprintf("the database has reached a limit of its own (SQLSTATE %s): where it is the queue of notifications, "+
			"end the sessions that listen and stay in a transaction", pg.Code), true
	case strings.HasPrefix(pg.Code, "40") || pg.Code == "55P03":
		return fmt.Sprintf("others were writing the same (SQLSTATE %s)", pg.Code), false
	case strings.HasPrefix(pg.Code, "57"):
		return fmt.Sprintf("the database is shutting down, starting, or has cancelled the statement (SQLSTATE %s)", pg.Code), false
	case strings.HasPrefix(pg.Code, "P0"):
		return fmt.Sprintf("a function or trigger in the database has raised an error (SQLSTATE %s)", pg.Code), true
	default:
		return fmt.Sprintf("the database has failed (SQLSTATE %s)", pg.Code), false
	}
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
