package program

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.temporal.io/sdk/client"

	"chatfeed/cmd/internal/watcher"
	"chatfeed/db"
	"chatfeed/feed"
)

// watch returns a function that watches the workflows that someone follows until its context ends, and one that releases what it
// needs. Without --watch-temporal they do nothing.
func (c *Serve) watch(pool *pgxpool.Pool, writer *db.Writer, items *feed.Feed, log *slog.Logger) (run func(context.Context), release func(), err error) {
	if !c.WatchTemporal {
		if c.WatchQuery != "" {
			return nil, nil, usagef("--watch-query: it is given without --watch-temporal; both or none are accepted")
		}
		return func(context.Context) {}, func() {}, nil
	}
	session := pool.Config().ConnConfig
	if c.ListenDatabaseURL != "" {
		if session, err = pgx.ParseConfig(c.ListenDatabaseURL); err != nil {
			return nil, nil, usagef("--listen-database-url: %v", err)
		}
	}
	source, err := db.NewSource(pool, db.SourceConfig{})
	if err != nil {
		return nil, nil, err
	}
	options, err := c.ClientOptions(log)
	if err != nil {
		return nil, nil, err
	}
	temporal, err := client.NewLazyClient(options) // not that of the chat, so that neither waits for the other
	if err != nil {
		return nil, nil, usagef("--temporal-address %s: %v", options.HostPort, err)
	}
	w := watcher.New(watcher.Config{
		Followed: items.Followed,
		Locks:    watcher.NewAdvisoryLocks(session, log),
		Temporal: &watcher.Client{Service: temporal.WorkflowService(), Namespace: options.Namespace, Converter: options.DataConverter},
		History:  source,
		Writer:   writer,
		Query:    c.WatchQuery,
		Log:      log,
	})
	return func(ctx context.Context) {
		if awaitDatabase(ctx, pool, log, checkWatcher) == nil && ctx.Err() == nil {
			w.Run(ctx)
		}
	}, temporal.Close, nil
}

// checkWatcher is [db.CheckWriter], with an error that names the flag.
func checkWatcher(ctx context.Context, pool *pgxpool.Pool) error {
	if err := db.CheckWriter(ctx, pool); err != nil {
		return fmt.Errorf("--watch-temporal: no workflow is watched, because nothing can be recorded: %w", err)
	}
	return nil
}
