package watcher

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"chatfeed/db"
	"chatfeed/feed"
)

// ErrNotFound is what [Temporal] returns of a workflow that it does not know.
var ErrNotFound = errors.New("there is no such workflow")

// Temporal is what the watcher asks. Its methods are called concurrently and end with ctx.
type Temporal interface {
	// Describe returns a run of a workflow; an empty run means the current one. The error is [ErrNotFound] if there is none.
	Describe(ctx context.Context, workflowID, runID string) (Execution, error)
	// Query returns what a query of a running workflow answers, as JSON.
	Query(ctx context.Context, workflowID, runID, name string) (json.RawMessage, error)
}

// Locks decide which of several servers watches a workflow. Its methods are called one at a time and end with ctx. After an
// error all locks are lost, and the next call begins anew.
type Locks interface {
	// Lock takes those locks of workflows that are free, without waiting, and returns their workflows.
	Lock(ctx context.Context, workflowIDs []string) ([]string, error)
	// Unlock releases locks.
	Unlock(ctx context.Context, workflowIDs []string) error
	// Check returns an error if the locks are lost.
	Check(ctx context.Context) error
	// Close releases all locks.
	Close()
}

// History reads the items of workflows: see [feed.Reader].
type History interface {
	Before(ctx context.Context, at []feed.Position, window feed.Window) ([]feed.Page, error)
}

// Writer writes items: see [db.Writer].
type Writer interface {
	Write(ctx context.Context, items ...db.Item) ([]db.Written, error)
}

// Config is what a watcher works with. All fields but Query are required.
type Config struct {
	Followed func() []string // the workflows that someone follows now; it is called a few times a second
	Locks    Locks
	Temporal Temporal
	History  History
	Writer   Writer
	Query    string // the query that workflows answer with their progress; empty means none
	Log      *slog.Logger
}

const (
	// refresh is how often the watcher looks at who is followed.
	refresh = 250 * time.Millisecond
	// relock is how often it tries the locks that others have.
	relock = 2 * time.Second
	// recheck is how often it makes sure that it still has its own.
	recheck = time.Second
	// maxWorkflowID is how long an id may be, in bytes. The feed follows longer ones in place of workflows that may not be read.
	maxWorkflowID = 1000
)

// The most that is asked of Temporal, and of PostgreSQL, at a time.
const (
	callsPerSecond = 200
	callsAtOnce    = 16
	queriesAtOnce  = 8 // of workflows that have answered, and as many of those that are asked for the first time
	doubtfulAtOnce = 4 // calls for workflows whose last one has failed, so that they do not delay the others
	readsAtOnce    = 2
)

// Watcher watches workflows. Its methods may be called from any goroutine.
type Watcher struct {
	cfg    Config
	rate   *rate.Limiter
	limits limits
	outage outage
	stats  counters

	unwritten atomic.Bool // the last write has failed, and a warning is logged
}

// limits are how many calls of each kind may run at a time.
type limits struct{ calls, queries, firstQueries, doubtful, reads slots }

// New makes a watcher. It does nothing until [Watcher.Run].
func New(cfg Config) *Watcher {
	return &Watcher{
		cfg:  cfg,
		rate: rate.NewLimiter(callsPerSecond, callsAtOnce),
		limits: limits{
			calls: make(slots, callsAtOnce), queries: make(slots, queriesAtOnce), firstQueries: make(slots, queriesAtOnce),
			doubtful: make(slots, doubtfulAtOnce), reads: make(slots, readsAtOnce),
		},
	}
}

// Stats counts what a watcher has done since it was made.
type Stats struct {
	Watched       int    // workflows that it watches now
	Describes     uint64 // calls
	Queries       uint64 // calls
	Items         uint64 // that it has written
	Failures      uint64 // describes that have failed, other than for workflows that do not exist
	QueryFailures uint64 // queries without an answer that can be used
}

type counters struct {
	watched                                            atomic.Int64
	describes, queries, items, failures, queryFailures atomic.Uint64
}

// Stats returns the counts.
func (w *Watcher) Stats() Stats {
	return Stats{
		Watched:       int(w.stats.watched.Load()),
		Describes:     w.stats.describes.Load(),
		Queries:       w.stats.queries.Load(),
		Items:         w.stats.items.Load(),
		Failures:      w.stats.failures.Load(),
		QueryFailures: w.stats.queryFailures.Load(),
	}
}

// Run watches until ctx ends. It returns when all goroutines that it has started have ended and no lock is held.
func (w *Watcher) Run(ctx context.Context) {
	s := &session{w: w, held: make(map[string]*running), tried: make(map[string]time.Time)}
	tick := time.NewTicker(refresh)
	defer tick.Stop()
	defer func() {
		s.drop()
		stats := w.Stats()
		w.cfg.Log.InfoContext(ctx, "stopped watching", "describes", stats.Describes, "queries", stats.Queries, "items", stats.Items,
			"failures", stats.Failures, "query_failures", stats.QueryFailures)
	}()
	for ctx.Err() == nil {
		if err := s.turn(ctx); err != nil && ctx.Err() == nil {
			s.lose(ctx, err)
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}
