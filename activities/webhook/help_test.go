package webhook_test

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"
	"go.uber.org/goleak"

	"chatfeed/activities/webhook"
	"chatfeed/db"
	"chatfeed/internal/dbtest"
)

func TestMain(m *testing.M) {
	// The environment of tests leaves what waits for the next attempt of an activity that was cancelled.
	const environment = "go.temporal.io/sdk/internal.(*testWorkflowEnvironmentImpl)."
	goleak.VerifyTestMain(m, append(dbtest.Goroutines(), goleak.IgnoreAnyFunction(environment+"executeActivityWithRetryForTest"),
		goleak.IgnoreAnyFunction(environment+"ExecuteActivity.func2"))...)
}

// secret is one that is different for each letter.
func secret(letter string) string {
	return "whsec_" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat(letter, 32)))
}

// loopback are the settings of a worker that delivers to the receivers of the tests.
func loopback(secrets ...string) webhook.Config {
	return webhook.Config{Secrets: secrets, AllowPrivate: []string{"127.0.0.1"}}
}

// world is a deliverer with a database of its own.
type world struct {
	*webhook.Deliverer
	pool   *pgxpool.Pool
	writer *db.Writer
	store  *db.Webhooks
}

func newWorld(t *testing.T, config webhook.Config) *world {
	t.Helper()
	pool, err := db.Open(t.Context(), dbtest.URL(t))
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	writer := db.NewWriter(pool)
	t.Cleanup(writer.Close)
	deliverer, err := webhook.New(config, pool, writer)
	require.NoError(t, err)
	t.Cleanup(deliverer.Close)
	return &world{deliverer, pool, writer, db.NewWebhooks(pool)}
}

func (w *world) column(t *testing.T, query string) []string {
	t.Helper()
	rows, _ := w.pool.Query(t.Context(), query)
	values, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return values
}

func (w *world) letters(t *testing.T) []db.DeadLetter {
	t.Helper()
	letters, err := w.store.After(t.Context(), db.DeadLetter{}, 100)
	require.NoError(t, err)
	return letters
}

// environment runs workflows with the activities of the world. Time passes at once when nothing else happens.
func (w *world) environment() *testsuite.TestWorkflowEnvironment {
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	env := suite.NewTestWorkflowEnvironment()
	env.SetTestTimeout(time.Minute)
	env.SetWorkerOptions(worker.Options{DeadlockDetectionTimeout: time.Minute}) // of a machine that is busy
	w.Register(env)
	return env
}

// arrived is a delivery as a receiver has it.
type arrived struct {
	header  http.Header
	body    string
	payload webhook.Payload
}

func (a arrived) id() string { return a.header.Get("webhook-id") }

// receiver is an endpoint that keeps what arrives.
type receiver struct {
	*httptest.Server
	mu  sync.Mutex
	all []arrived
}

// newReceiver starts a receiver that answers with what answer writes for the nth delivery, counted from one. It may be nil.
func newReceiver(t *testing.T, answer func(n int, w http.ResponseWriter, r *http.Request)) *receiver {
	t.Helper()
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		body, err := io.ReadAll(request.Body)
		if err != nil {
			return
		}
		a := arrived{header: request.Header, body: string(body)}
		if err := json.Unmarshal(body, &a.payload); err != nil {
			w.WriteHeader(http.StatusTeapot)
		}
		r.mu.Lock()
		r.all = append(r.all, a)
		n := len(r.all)
		r.mu.Unlock()
		if answer != nil {
			answer(n, w, request)
		}
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) deliveries() []arrived {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]arrived(nil), r.all...)
}

// verify checks a delivery as a receiver does that has one secret.
func verify(t *testing.T, secret string, a arrived) error {
	t.Helper()
	hook, err := standardwebhooks.NewWebhook(secret)
	require.NoError(t, err)
	return hook.Verify([]byte(a.body), a.header)
}

func request(url, id string, events ...webhook.Event) webhook.Request {
	if events == nil {
		events = []webhook.Event{{Progress: 50, Status: "half", At: time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)}}
	}
	return webhook.Request{URL: url, ID: id, WorkflowID: "wf", Events: events}
}
