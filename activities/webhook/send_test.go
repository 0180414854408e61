package webhook_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"chatfeed/activities"
	"chatfeed/activities/webhook"
	"chatfeed/db"
)

// run runs a workflow that need not be registered.
func run(env *testsuite.TestWorkflowEnvironment, fn any, args ...any) {
	env.RegisterWorkflow(fn)
	env.ExecuteWorkflow(fn, args...)
}

// sendTwo sends two deliveries whose cursors join.
func sendTwo(ctx workflow.Context, url string) ([]webhook.Delivered, error) {
	var all []webhook.Delivered
	var before webhook.Cursor
	for i := range 2 {
		done, err := webhook.Send(ctx, webhook.Request{URL: url, Before: before, Events: []webhook.Event{{Progress: float64(i), Status: "working"}}})
		if err != nil {
			return nil, err
		}
		all, before = append(all, done), done.After
	}
	return all, nil
}

func TestAReceiverThatFailsThreeTimesHasEachDeliveryOnceByItsID(t *testing.T) {
	t.Parallel()
	w := newWorld(t, loopback(secret("a")))
	r := newReceiver(t, func(n int, w http.ResponseWriter, _ *http.Request) {
		if n <= 3 {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	env := w.environment()
	run(env, sendTwo, r.URL)
	require.NoError(t, env.GetWorkflowError())
	var done []webhook.Delivered
	require.NoError(t, env.GetWorkflowResult(&done))
	all := r.deliveries()
	require.Len(t, all, 5)
	for _, a := range all {
		require.NoError(t, verify(t, secret("a"), a))
	}
	for _, a := range all[1:4] {
		require.Equal(t, all[0].id(), a.id())
		require.Equal(t, all[0].body, a.body)
	}
	require.NotEqual(t, all[0].id(), all[4].id())
	require.Equal(t, all[0].payload.Data.After, all[4].payload.Data.Before)
	require.Equal(t, webhook.Delivered{After: all[4].payload.Data.After}, done[1])
	require.Empty(t, w.letters(t))
	require.Len(t, w.column(t, `select id from chatfeed.progress`), 2)
}

func TestADeliveryThatFailedForGoodIsADeadLetterOnceAndIsReplayed(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		status, attempts int // zero attempts are many
		reason           string
	}{
		"rejected":         {400, 1, "the endpoint answered 400 Bad Request"},
		"failed too often": {503, 0, "the endpoint answered 503 Service Unavailable"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, loopback(secret("a")))
			var status atomic.Int64
			status.Store(int64(test.status))
			r := newReceiver(t, func(_ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(int(status.Load())) })
			env := w.environment()
			run(env, sendTwo, r.URL)
			require.NoError(t, env.GetWorkflowError())
			var done []webhook.Delivered
			require.NoError(t, env.GetWorkflowResult(&done))
			letters := w.letters(t)
			require.Len(t, letters, 2)
			ids := map[string]int{}
			for _, a := range r.deliveries() {
				ids[a.id()]++
			}
			require.Len(t, ids, 2)
			for i, letter := range letters {
				require.True(t, done[i].Dead)
				require.Equal(t, test.reason, done[i].Error)
				require.Equal(t, test.reason, letter.Error)
				require.Equal(t, ids[letter.ID], letter.Attempts)
				if test.attempts > 0 {
					require.Equal(t, test.attempts, letter.Attempts)
				} else {
					require.Equal(t, 10, letter.Attempts, "as many as the test environment makes")
				}
				require.Equal(t, "default-test-workflow-id", letter.WorkflowID)
			}
			require.NotZero(t, done[0].After, "the events are in the feed all the same")
			before := len(r.deliveries())

			away := map[string]bool{}
			_, err := w.Replay(t.Context(), letters[0], away)
			require.EqualError(t, err, test.reason)
			require.Equal(t, letters[0].Attempts+1, w.letters(t)[0].Attempts)
			_, err = w.Replay(t.Context(), letters[1], away)
			require.Error(t, err)
			require.Len(t, r.deliveries(), before+map[bool]int{true: 2, false: 1}[test.attempts == 1], "who is away is tried once")
			status.Store(200)
			for _, letter := range letters {
				_, err = w.Replay(t.Context(), letter, map[string]bool{})
				require.NoError(t, err)
			}
			require.Empty(t, w.letters(t))
			all := r.deliveries()
			last := all[len(all)-2:]
			for i, letter := range letters {
				require.Equal(t, letter.ID, last[i].id())
				require.NoError(t, verify(t, secret("a"), last[i]))
			}
			require.Equal(t, last[0].payload.Data.After, last[1].payload.Data.Before, "a receiver that has missed the first can tell")
			require.Equal(t, all[0].body, last[0].body)
		})
	}
}

func TestAReceiverThatIsGoneGetsNothingMore(t *testing.T) {
	t.Parallel()
	w := newWorld(t, loopback(secret("a")))
	r := newReceiver(t, func(_ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) })
	env := w.environment()
	run(env, sendTwo, r.URL)
	require.NoError(t, env.GetWorkflowError())
	var done []webhook.Delivered
	require.NoError(t, env.GetWorkflowResult(&done))
	require.True(t, done[0].Gone)
	require.NotZero(t, done[0].After)
	require.Len(t, r.deliveries(), 2, "each is tried once")
	require.Empty(t, w.letters(t))
}

// Without a worker there is no attempt at all; the day is over, and whoever buries it has to record its events.
func TestADeliveryThatNoWorkerHasTriedIsADeadLetterWithItsEventsInTheFeed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, loopback(secret("a")))
	env := w.environment()
	env.RegisterActivityWithOptions(func(context.Context, webhook.Request) (webhook.Delivered, error) {
		return webhook.Delivered{}, temporal.NewTimeoutError(enums.TIMEOUT_TYPE_SCHEDULE_TO_CLOSE, nil)
	}, activity.RegisterOptions{Name: webhook.Deliver, DisableAlreadyRegisteredCheck: true})
	run(env, func(ctx workflow.Context) (webhook.Delivered, error) {
		return webhook.Send(ctx, webhook.Request{URL: "https://hooks.example", Events: []webhook.Event{{Progress: 7}}})
	})
	require.NoError(t, env.GetWorkflowError())
	var done webhook.Delivered
	require.NoError(t, env.GetWorkflowResult(&done))
	require.Equal(t, []string{micros(done.After)},
		w.column(t, `select (extract(epoch from "_createdAt") * 1000000)::bigint::text from chatfeed.progress`))
	letters := w.letters(t)
	require.Len(t, letters, 1)
	require.Equal(t, "no attempt has ended in time, perhaps because no worker was there", letters[0].Error)
	require.Zero(t, letters[0].Attempts)
}

// flaky is a writer whose first two of three calls write and then fail, as a worker does that is killed after its commit.
type flaky struct {
	activities.Writer
	mu sync.Mutex
	n  int
}

func (f *flaky) Write(ctx context.Context, items ...db.Item) ([]db.Written, error) {
	written, err := f.Writer.Write(ctx, items...)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.n++; f.n%3 != 0 {
		return nil, errors.New("the connection was lost")
	}
	return written, err
}

func TestWhatFailsInBetweenLeavesOneRowAndOneLetter(t *testing.T) {
	t.Parallel()
	w := newWorld(t, loopback(secret("a")))
	r := newReceiver(t, func(_ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(422) })
	deliverer, err := webhook.New(loopback(secret("a")), w.pool, &flaky{Writer: w.writer})
	require.NoError(t, err)
	t.Cleanup(deliverer.Close)
	env := (&world{Deliverer: deliverer}).environment()
	run(env, sendTwo, r.URL)
	require.NoError(t, env.GetWorkflowError())
	require.Len(t, w.column(t, `select id from chatfeed.progress`), 2)
	require.Len(t, w.letters(t), 2)
	require.Len(t, r.deliveries(), 2)
}

func TestACancelledDeliveryIsADeadLetter(t *testing.T) {
	t.Parallel()
	w := newWorld(t, loopback(secret("a")))
	r := newReceiver(t, func(_ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) })
	env := w.environment()
	env.RegisterDelayedCallback(env.CancelWorkflow, 30*time.Second)
	run(env, func(ctx workflow.Context) (webhook.Delivered, error) {
		return webhook.Send(ctx, webhook.Request{URL: r.URL, Events: []webhook.Event{{Progress: 7}}})
	})
	require.NoError(t, env.GetWorkflowError())
	var done webhook.Delivered
	require.NoError(t, env.GetWorkflowResult(&done))
	require.True(t, done.Dead)
	letters := w.letters(t)
	require.Len(t, letters, 1)
	require.Equal(t, "the workflow was cancelled before the delivery was accepted", letters[0].Error)
}

func TestARequestThatCanNeverBeDeliveredNamesTheField(t *testing.T) {
	t.Parallel()
	w := newWorld(t, loopback(secret("a")))
	r := newReceiver(t, nil)
	events := `"events": [{"progress": 1, "at": "2026-01-31T12:00:00Z"}]`
	for input, want := range map[string]string{
		`{"url": "` + r.URL + `", "id": "a.b", "workflowId": "wf", ` + events + `}`:                                  "id: 1 to 200 letters, digits, - and _ are accepted",
		`{"url": "` + r.URL + `", "workflowId": "wf", ` + events + `}`:                                               "id: is empty",
		`{"url": "` + r.URL + `", "id": "` + strings.Repeat("x", 201) + `", "workflowId": "wf", ` + events + `}`:     "id: 1 to 200 letters",
		`{"url": "` + r.URL + `", "id": "a", ` + events + `}`:                                                        "workflowId: is empty",
		`{"url": "` + r.URL + `", "id": "a", "workflowId": "wf"}`:                                                    "events: are 0; 1 to 1000 are accepted",
		`{"url": "` + r.URL + `", "id": "a", "workflowId": "wf", "events": [{"progress": 101}]}`:                     "events[0].progress: is 101; accepted is a number from 0 to 100",
		`{"url": "` + r.URL + `", "id": "a", "workflowId": "wf", "events": [{"progress": 1, "status": "a\u0000b"}]}`: "events[0].status: contains a NUL byte",
		`{"url": "` + r.URL + `", "id": "a", "workflowId": "wf", "events": 7}`:                                       "events: is a JSON number",
		`{"url": "` + r.URL + `", "id": "a", "workflowId": "wf", "before": "soon", ` + events + `}`:                  `request: cursor: "soon" is not a number of seconds`,
		`"text"`: "request: is a JSON string; an object is accepted",
		`{"url": "ftp://hooks.example", "id": "a", "workflowId": "wf", ` + events + `}`:                                     `url: has the scheme "ftp"`,
		`{"url": "hooks.example/x", "id": "a", "workflowId": "wf", ` + events + `}`:                                         "url: is not a URL with a host",
		`{"url": "https:hooks.example", "id": "a", "workflowId": "wf", ` + events + `}`:                                     "url: is not a URL with a host",
		`{"url": "https://me:hunter2@hooks.example", "id": "a", "workflowId": "wf", ` + events + `}`:                        "url: has a user or a password",
		`{"url": "https://hooks.example:hunter2/", "id": "a", "workflowId": "wf", ` + events + `}`:                          "url: is not a URL with a host",
		`{"url": "https://hooks.example/` + strings.Repeat("x", 2000) + `", "id": "a", "workflowId": "wf", ` + events + `}`: "url: is 2022 bytes long",
	} {
		for name, call := range map[string]string{webhook.Deliver: input, webhook.Bury: `{"error": "x", "request": ` + input + `}`} {
			env := w.environment()
			run(env, func(ctx workflow.Context) error {
				ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
				return workflow.ExecuteActivity(ctx, name, json.RawMessage(call)).Get(ctx, nil)
			})
			var application *temporal.ApplicationError
			require.ErrorAs(t, env.GetWorkflowError(), &application)
			require.Contains(t, application.Message(), want, "%s %s", name, input)
			require.True(t, application.NonRetryable())
			require.Equal(t, activities.InvalidItem, application.Type())
			require.NotContains(t, application.Error(), "hunter2")
		}
	}
	require.Empty(t, r.deliveries())
	require.Empty(t, w.letters(t))
	env := w.environment()
	run(env, sendTwo, "ftp://hooks.example")
	require.ErrorContains(t, env.GetWorkflowError(), `url: has the scheme "ftp"`)
	require.Empty(t, w.letters(t), "nothing that could be replayed")
}

func TestALetterThatIsNoLetterIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, loopback(secret("a")))
	for input, want := range map[string]string{
		`{"error": 7, "request": {}}`: "error: is a JSON number", `7`: "letter: is a JSON number; an object is accepted",
		`{"error": "x"}`: "id: is empty",
	} {
		env := w.environment()
		run(env, func(ctx workflow.Context) error {
			ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
			return workflow.ExecuteActivity(ctx, webhook.Bury, json.RawMessage(input)).Get(ctx, nil)
		})
		var application *temporal.ApplicationError
		require.ErrorAs(t, env.GetWorkflowError(), &application)
		require.Contains(t, application.Message(), want)
		require.True(t, application.NonRetryable())
	}
}

func TestEventsThatAClosedWorkflowCannotHaveAreADeadLetter(t *testing.T) {
	t.Parallel()
	w := newWorld(t, loopback(secret("a")))
	r := newReceiver(t, nil)
	_, err := w.writer.Write(t.Context(), db.Progress{WorkflowID: "default-test-workflow-id", Final: true})
	require.NoError(t, err)
	env := w.environment()
	run(env, sendTwo, r.URL)
	require.NoError(t, env.GetWorkflowError())
	var done []webhook.Delivered
	require.NoError(t, env.GetWorkflowResult(&done))
	require.True(t, done[0].Dead)
	require.Zero(t, done[0].After)
	require.Contains(t, done[0].Error, "the workflow is closed")
	require.Len(t, w.letters(t), 2)
	require.Empty(t, r.deliveries())
}

// An attempt that finds its endpoint busy does not wait in the worker: it comes back later.
func TestASlowEndpointDelaysNoOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t, loopback(secret("a")))
	ctx, cancel := context.WithCancel(t.Context())
	stuck := newReceiver(t, func(_ int, _ http.ResponseWriter, _ *http.Request) { <-ctx.Done() })
	quick := newReceiver(t, nil)
	const limit = 8
	var slow sync.WaitGroup
	t.Cleanup(func() { cancel(); slow.Wait() })
	for i := range limit {
		slow.Go(func() { _, _ = w.Post(ctx, request(stuck.URL, "msg_"+string(rune('a'+i)))) })
	}
	require.Eventually(t, func() bool { return len(stuck.deliveries()) == limit }, time.Minute, 10*time.Millisecond)
	for i := range 50 {
		_, err := w.Post(ctx, request(quick.URL, "msg_quick"))
		require.NoError(t, err)
		_, err = w.Post(ctx, request(stuck.URL, "msg_more"))
		var failure *webhook.Failure
		require.ErrorAs(t, err, &failure, i)
		require.False(t, failure.Final)
		require.Contains(t, failure.Reason, "this one has to come back")
	}
	require.Len(t, quick.deliveries(), 50)
	require.Len(t, stuck.deliveries(), limit)
	cancel()
	slow.Wait()
	_, err := w.Post(t.Context(), request(stuck.URL, "msg_more"))
	require.NoError(t, err, "it has places again")
}

func TestARetryComesWhenTheReceiverWantsIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, loopback(secret("a")))
	r := newReceiver(t, func(n int, w http.ResponseWriter, _ *http.Request) {
		if n == 1 {
			w.Header().Set("Retry-After", "1200")
			w.WriteHeader(http.StatusTooManyRequests)
		}
	})
	env := w.environment()
	started := env.Now()
	var took time.Duration
	env.SetOnActivityCompletedListener(func(*activity.Info, converter.EncodedValue, error) { took = env.Now().Sub(started) })
	run(env, func(ctx workflow.Context) error {
		_, err := webhook.Send(ctx, webhook.Request{URL: r.URL, Events: []webhook.Event{{Progress: 7}}})
		return err
	})
	require.NoError(t, env.GetWorkflowError())
	require.Len(t, r.deliveries(), 2)
	require.GreaterOrEqual(t, took, 20*time.Minute)
	require.Less(t, took, 23*time.Minute)
}
