package program_test

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"chatfeed/db"
	"chatfeed/db/dbtest"
	"chatfeed/feed"
	v1 "chatfeed/rpc/chatfeedv1"
)

// BenchmarkLatency measures from the start of an insert to its item in a Connect client's hands on loopback. The floor is
// the least that PostgreSQL and pgx allow, measured in turns with it: insert, notification, the same catch-up query. One
// iteration is 500 inserts each.
func BenchmarkLatency(b *testing.B) {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	ctx := b.Context()
	url := dbtest.Server(b).URL()
	pool, err := db.Open(ctx, url)
	require.NoError(b, err)
	b.Cleanup(pool.Close)
	insert := func(workflow string) {
		_, err := pool.Exec(ctx, `insert into chatfeed.messages (workflow_id, message) values ($1, 'a word or two')`, workflow)
		require.NoError(b, err)
	}
	streamed := streamTimes(ctx, b, serve(b, url), "wf_streamed")
	floored := floorTimes(ctx, b, url, pool, "wf_floor")
	measure := func(workflow string, arrived <-chan time.Time) time.Duration {
		start := time.Now()
		insert(workflow)
		return (<-arrived).Sub(start)
	}
	for range 200 {
		measure("wf_streamed", streamed)
		measure("wf_floor", floored)
	}
	var stream, floor []time.Duration
	b.ResetTimer()
	for range b.N {
		for range 500 {
			stream = append(stream, measure("wf_streamed", streamed))
			floor = append(floor, measure("wf_floor", floored))
		}
	}
	b.StopTimer()
	slices.Sort(stream)
	slices.Sort(floor)
	ms := func(all []time.Duration, percent int) float64 {
		return float64(all[len(all)*percent/100]) / float64(time.Millisecond)
	}
	b.ReportMetric(ms(stream, 50), "p50_ms")
	b.ReportMetric(ms(stream, 99), "p99_ms")
	b.ReportMetric(ms(floor, 50), "floor_p50_ms")
	b.ReportMetric(ms(floor, 99), "floor_p99_ms")
	b.ReportMetric(ms(stream, 50)/ms(floor, 50), "p50_ratio")
	b.ReportMetric(ms(stream, 99)/ms(floor, 99), "p99_ratio")
	b.ReportMetric(0, "ns/op") // it would say nothing
}

// streamTimes says when each item of a workflow reaches a Connect client.
func streamTimes(ctx context.Context, b *testing.B, server, workflow string) <-chan time.Time {
	b.Helper()
	stream, err := newClient(b, server).Subscribe(ctx, &v1.SubscribeRequest{Cursors: []*v1.Cursor{{WorkflowId: workflow}}})
	require.NoError(b, err)
	require.True(b, stream.Receive(), "up to date")
	arrived := make(chan time.Time, 1)
	go func() {
		for stream.Receive() {
			now := time.Now()
			for range stream.Msg().GetItems() {
				arrived <- now
			}
		}
	}()
	return arrived
}

// floorTimes says when each item of a workflow has been read by whoever listens with pgx and nothing else.
func floorTimes(ctx context.Context, b *testing.B, url string, pool *pgxpool.Pool, workflow string) <-chan time.Time {
	b.Helper()
	conn, err := pgx.Connect(ctx, url)
	require.NoError(b, err)
	_, err = conn.Exec(ctx, "listen chatfeed")
	require.NoError(b, err)
	source, err := db.NewSource(pool, db.SourceConfig{})
	require.NoError(b, err)
	arrived := make(chan time.Time, 1)
	ended := make(chan struct{})
	b.Cleanup(func() { <-ended; _ = conn.Close(context.Background()) })
	go func() {
		defer close(ended)
		at := feed.Position{WorkflowID: workflow}
		for {
			heard, err := conn.WaitForNotification(ctx)
			if err != nil {
				return
			}
			if heard.Payload[len(heard.Payload)-len(workflow):] != workflow {
				continue
			}
			pages, err := source.After(ctx, []feed.Position{at}, feed.Window{Items: 256, Bytes: 256 << 10})
			if err != nil {
				return
			}
			now := time.Now()
			for _, item := range pages[0].Items {
				at.Cursor = item.CreatedAt
				arrived <- now
			}
		}
	}()
	return arrived
}
