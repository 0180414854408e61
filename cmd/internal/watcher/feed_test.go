package watcher_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"chatfeed/cmd/internal/watcher"
	"chatfeed/db"
	"chatfeed/feed"
	"chatfeed/internal/dbtest"
)

// TestWhoFollowsSeesTheEndWhileTemporalIsSlow has a real database and feed.
func TestWhoFollowsSeesTheEndWhileTemporalIsSlow(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	source, err := db.NewSource(pool, db.SourceConfig{})
	require.NoError(t, err)
	log := slog.New(slog.DiscardHandler)
	items, err := feed.New(source, source, feed.Config{Log: log})
	require.NoError(t, err)
	writer := db.NewWriter(pool)
	t.Cleanup(writer.Close)
	w := newWorld()
	w.run("wf", "r")
	w.answer(`{"progress": 40, "status": "reading"}`)
	made := watcher.New(watcher.Config{
		Followed: items.Followed, Locks: newLocks(t, pool.Config().ConnString(), "a"), Temporal: &temporal{w, "a"},
		History: source, Writer: writer, Query: "progress", Log: log,
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{}, 2)
	go func() { _ = items.Run(ctx); ended <- struct{}{} }()
	go func() { made.Run(ctx); ended <- struct{}{} }()
	t.Cleanup(func() { cancel(); <-ended; <-ended })

	within, stop := context.WithTimeout(ctx, time.Minute)
	defer stop()
	slow := many(30)
	w.set(func() { w.hangs = func(id string, _ bool) bool { return id != "wf" } })
	others, err := items.Subscribe(within, feed.Options{From: func() (from []feed.Start) {
		for _, id := range slow {
			from = append(from, feed.After(id, 0))
		}
		return from
	}()})
	require.NoError(t, err)
	defer others.Close()
	s, err := items.Subscribe(within, feed.Options{From: []feed.Start{feed.After("wf", 0)}, Types: []string{"progress"}})
	require.NoError(t, err)
	defer s.Close()
	next := func() (p db.Progress) {
		for batch, err := range s.All() {
			require.NoError(t, err)
			if len(batch.Items) > 0 {
				require.NoError(t, json.Unmarshal(batch.Items[0].Body, &p))
				return p
			}
		}
		return p
	}
	first := next()
	require.Equal(t, db.Progress{Progress: 40, Status: "reading"}, db.Progress{Progress: first.Progress, Status: first.Status})
	w.end("wf", watcher.Terminated)
	last := next()
	require.Equal(t, db.Progress{Progress: 40, Status: "terminated"}, db.Progress{Progress: last.Progress, Status: last.Status})

	// Another server reads what has been said from the database.
	again := watcher.New(watcher.Config{
		Followed: items.Followed, Locks: &locks{world: w, name: "b"}, Temporal: &temporal{w, "b"},
		History: source, Writer: writer, Log: log,
	})
	calls := len(w.describes("wf", time.Time{}))
	go func() { again.Run(ctx); ended <- struct{}{} }()
	t.Cleanup(func() { <-ended })
	require.Eventually(t, func() bool { return len(w.describes("wf", time.Time{})) >= calls+1 }, time.Minute, 10*time.Millisecond)
	require.Eventually(t, func() bool { return again.Stats().Watched == 31 }, time.Minute, 10*time.Millisecond)
	var n int
	require.NoError(t, pool.QueryRow(ctx, "select count(*) from chatfeed.progress where workflow_id = 'wf'").Scan(&n))
	require.Equal(t, 2, n)
}
