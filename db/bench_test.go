package db_test

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"chatfeed/db"
	"chatfeed/db/dbtest"
)

// BenchmarkWriter compares how many rows per second become durable when many callers write one row at a time: through one
// db.Writer, and each with a connection and a commit of its own, which is what the Writer is instead of. They take turns of
// one second each; one iteration is one turn each. Every caller has a workflow of its own.
func BenchmarkWriter(b *testing.B) {
	url := dbtest.Server(b).URL()
	for _, callers := range []int{1, 8, 32, 128} {
		b.Run("callers="+strconv.Itoa(callers), func(b *testing.B) {
			ctx := b.Context()
			pool, err := db.Open(ctx, url+"&pool_max_conns="+strconv.Itoa(min(callers, 90)))
			require.NoError(b, err)
			b.Cleanup(pool.Close)
			writer := newWriter(b, pool)
			grouped := func(ctx context.Context, item db.Item) error { return writer.Write(ctx, item) }
			single := func(ctx context.Context, item db.Item) error {
				m := item.(db.Message)
				_, err := pool.Exec(ctx, `insert into chatfeed.messages (workflow_id, message) values ($1, $2)`,
					m.WorkflowID, m.Message)
				return err
			}
			turn := func(write func(context.Context, db.Item) error) float64 {
				var rows atomic.Int64
				var calling sync.WaitGroup
				start := time.Now()
				for c := range callers {
					item := db.Message{WorkflowID: "wf_" + strconv.Itoa(c), Message: "a word or two"}
					calling.Go(func() {
						for time.Since(start) < time.Second {
							if err := write(ctx, item); err != nil {
								b.Errorf("a write failed: %v", err)
								return
							}
							rows.Add(1)
						}
					})
				}
				calling.Wait()
				return float64(rows.Load()) / time.Since(start).Seconds()
			}
			turn(grouped)
			turn(single)
			var writerRows, singleRows float64
			b.ResetTimer()
			for range b.N {
				writerRows += turn(grouped)
				singleRows += turn(single)
			}
			b.StopTimer()
			b.ReportMetric(writerRows/float64(b.N), "writer_rows/s")
			b.ReportMetric(singleRows/float64(b.N), "single_rows/s")
			b.ReportMetric(writerRows/singleRows, "ratio")
			b.ReportMetric(0, "ns/op") // it would say nothing
		})
	}
}
