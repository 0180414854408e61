package program

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"chatfeed/db"
	"chatfeed/rpc"
)

// Database is the flag of the commands that connect to PostgreSQL.
type Database struct {
	DatabaseURL string `help:"PostgreSQL, as a URL." env:"DATABASE_URL,CHATFEED_DATABASE_URL" required:"" placeholder:"URL"`
}

// The connections of serve, unless the URL has pool_max_conns: as many as the feed reads with concurrently, see
// [feed.Source], and some for everything else, which then does not wait for reads of the feed: four for lists and readiness, and
// four that a [db.Writer] may occupy. With a low pool_max_conns these share four.
const (
	feedConnections       = 16
	otherConnections      = 8
	leastOtherConnections = 4
)

// open makes a pool with a fixed search path; no statement needs another. Sequential scans are disabled: PostgreSQL keeps a
// plan as long as the connection lives, also one from when the tables were so small that scanning them was cheapest. Through
// a pooler these parameters are not sent, and no plans are kept.
func (d Database) open(ctx context.Context, connections int32) (*pgxpool.Pool, error) {
	pool, err := db.Open(ctx, d.DatabaseURL)
	if err != nil {
		return nil, usagef("--database-url: %v", err)
	}
	cfg := pool.Config()
	pool.Close()
	cfg.ConnConfig.RuntimeParams["search_path"] = "pg_catalog, pg_temp"
	cfg.ConnConfig.RuntimeParams["enable_seqscan"] = "off"
	if connections > 0 {
		cfg.MaxConns = connections
	}
	return pgxpool.NewWithConfig(ctx, cfg)
}

// openForServing makes the pool for the feed's reads and the one for everything else.
func (d Database) openForServing(ctx context.Context, log *slog.Logger) (reads, beside *pgxpool.Pool, err error) {
	most, others := int32(feedConnections), int32(otherConnections)
	if strings.Contains(d.DatabaseURL, "pool_max_conns") {
		given, err := db.Open(ctx, d.DatabaseURL)
		if err != nil {
			return nil, nil, usagef("--database-url: %v", err)
		}
		all := given.Config().MaxConns
		given.Close()
		others = min(max(all-feedConnections, leastOtherConnections), otherConnections)
		most = max(1, all-others)
		if most < feedConnections {
			log.WarnContext(ctx, "pool_max_conns is low: workflows that are slow to read may delay others",
				"pool_max_conns", all, "enough", feedConnections+leastOtherConnections)
		}
	}
	if reads, err = d.open(ctx, most); err != nil {
		return nil, nil, err
	}
	if beside, err = d.open(ctx, others); err != nil {
		reads.Close()
		return nil, nil, err
	}
	return reads, beside, nil
}

// readiness checks the database at most every half second, whatever the number of requests.
type readiness struct {
	pool *pgxpool.Pool

	mu    sync.Mutex
	asked time.Time
	err   error
}

func (r *readiness) check(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.asked.IsZero() || time.Since(r.asked) > 500*time.Millisecond {
		r.err = db.CheckReader(context.WithoutCancel(ctx), r.pool) // for all waiting requests
		if errors.Is(r.err, db.ErrUnprepared) {
			r.err = &rpc.AwayError{Reason: "the database is not prepared for this server: a migration or a grant is missing; the server's log says which"}
		}
		r.asked = time.Now()
	}
	return r.err
}

// awaitDatabase waits until the database can be used. It returns an error only if that will never be the case. A problem that
// an operator can fix is logged if it persists, because a migration may just be running; so is its end.
func awaitDatabase(ctx context.Context, pool *pgxpool.Pool, log *slog.Logger, check func(context.Context, *pgxpool.Pool) error) error {
	last, said := "", ""
	for {
		err := check(ctx, pool)
		switch {
		case err == nil && said != "":
			log.InfoContext(ctx, "the database can be used now")
			return nil
		case err == nil || ctx.Err() != nil:
			return nil
		case errors.Is(err, db.ErrUnfit):
			return err
		case err.Error() != last:
			last = err.Error()
		case last != said:
			said = last
			log.WarnContext(ctx, "the database cannot be used yet; retrying", "error", err)
		}
		pause(ctx, time.Second)
	}
}

// queueWarning is the usage of the NOTIFY queue from which a warning is logged.
const queueWarning = 0.1

// watchQueue logs a warning while PostgreSQL's NOTIFY queue is filling up, until ctx ends.
func watchQueue(ctx context.Context, pool *pgxpool.Pool, log *slog.Logger) {
	for ctx.Err() == nil {
		usage, since, err := db.QueueUsage(ctx, pool)
		if err == nil && usage >= queueWarning {
			log.WarnContext(ctx, "PostgreSQL's NOTIFY queue is filling up; when it is full, nothing can be recorded. Perhaps a session "+
				"that listens is idle in a transaction", "full", usage, "oldest_transaction_since", since)
		}
		pause(ctx, 30*time.Second)
	}
}

// pause waits for the given time, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
