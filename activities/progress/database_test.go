package progress_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/workflow"

	"chatfeed/activities"
	"chatfeed/activities/progress"
	"chatfeed/activities/webhook"
	"chatfeed/db"
	"chatfeed/internal/dbtest"
)

// TestTheFeedAndAWebhookHaveTheSameItems runs a workflow with the activities as they are, a database and a receiver.
func TestTheFeedAndAWebhookHaveTheSameItems(t *testing.T) {
	t.Parallel()
	for name, feed := range map[string][]progress.Option{"with the feed": {progress.Feed{Final: true}}, "alone": nil} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool, err := db.Open(t.Context(), dbtest.URL(t))
			require.NoError(t, err)
			t.Cleanup(pool.Close)
			writer := db.NewWriter(pool)
			t.Cleanup(writer.Close)
			var mu sync.Mutex
			var received []webhook.Event
			var cursor webhook.Cursor
			receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				mu.Lock()
				defer mu.Unlock()
				var p webhook.Payload
				if json.NewDecoder(r.Body).Decode(&p) == nil && p.Data.Before == cursor { // else there is a gap
					received = append(received, p.Data.Events...)
					cursor = p.Data.After
				}
			}))
			t.Cleanup(receiver.Close)
			deliverer, err := webhook.New(webhook.Config{
				Secrets: []string{"whsec_aXQgaXMgb25seSBmb3IgYW4gZXhhbXBsZSE="}, AllowPrivate: []string{"127.0.0.1"},
			}, pool, writer)
			require.NoError(t, err)
			t.Cleanup(deliverer.Close)

			env := newBareEnvironment()
			activities.Register(env, writer)
			deliverer.Register(env)
			env.ExecuteWorkflow(func(ctx workflow.Context) (err error) {
				tracker := progress.Track(ctx, append(feed, progress.Push{URL: receiver.URL})...)
				defer func() { err = tracker.End(ctx, err) }()
				for i := range 5 {
					tracker.Set(float64(i), "step")
					if err := workflow.Sleep(ctx, time.Second); err != nil {
						return err
					}
				}
				return nil
			})
			require.NoError(t, env.GetWorkflowError())
			rows, _ := pool.Query(t.Context(), `select id, progress, status, coalesce(result, ''), final from chatfeed.progress order by "_createdAt"`)
			recorded, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (e webhook.Event, err error) {
				return e, row.Scan(&e.ID, &e.Progress, &e.Status, &e.Result, &e.Final)
			})
			require.NoError(t, err)
			require.Len(t, recorded, 6)
			require.Equal(t, feed != nil, recorded[5].Final)
			for i := range received {
				received[i].At = time.Time{}
			}
			require.Equal(t, recorded, received)
			var letters int
			require.NoError(t, pool.QueryRow(t.Context(), `select count(*) from chatfeed.webhook_dead_letters`).Scan(&letters))
			require.Zero(t, letters)
		})
	}
}
