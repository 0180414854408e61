package progress_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"chatfeed/activities/progress"
	"chatfeed/activities/webhook"
)

const endpoint = "https://example.com/hook"

// endpoints receives deliveries; its cursor counts the events.
type endpoints struct {
	feed *memory

	mu         sync.Mutex
	deliveries []string // "before: events -> after"
	recorded   []bool   // whether the feed had all events then
	buried     []string
	cursor     webhook.Cursor
	answer     func(ctx context.Context, delivery int) (gone bool, err error) // may be nil
}

func describe(r webhook.Request) string {
	events := make([]string, len(r.Events))
	for i, e := range r.Events {
		events[i] = fmt.Sprintf("%g %s", e.Progress, e.Status)
		if e.Result != "" {
			events[i] += ": " + e.Result
		}
		if e.Final {
			events[i] += " final"
		}
	}
	return strings.Join(events, ", ")
}

func (e *endpoints) register(env *testsuite.TestWorkflowEnvironment) {
	tries := 0
	env.RegisterActivityWithOptions(func(ctx context.Context, r webhook.Request) (webhook.Delivered, error) {
		e.mu.Lock()
		defer e.mu.Unlock()
		tries++
		if e.answer != nil {
			if gone, err := e.answer(ctx, tries); gone || err != nil {
				return webhook.Delivered{Gone: gone, After: r.Before}, err
			}
		}
		have := e.feed.ids()
		all := true
		for _, event := range r.Events {
			all = all && have[event.ID]
		}
		e.recorded = append(e.recorded, all)
		before := e.cursor
		e.cursor += webhook.Cursor(len(r.Events))
		e.deliveries = append(e.deliveries, fmt.Sprintf("%d=%d: %s", before, r.Before, describe(r)))
		return webhook.Delivered{After: e.cursor}, nil
	}, activity.RegisterOptions{Name: webhook.Deliver})
	env.RegisterActivityWithOptions(func(_ context.Context, letter webhook.Letter) (webhook.Delivered, error) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.buried = append(e.buried, describe(letter.Request))
		return webhook.Delivered{After: letter.Request.Before, Dead: true}, nil
	}, activity.RegisterOptions{Name: webhook.Bury})
}

func (m *memory) ids() map[string]bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	ids := map[string]bool{}
	for _, p := range m.items {
		ids[p.ID] = true
	}
	return ids
}

// everySecond sets six progresses.
func everySecond(ctx workflow.Context, options ...progress.Option) (err error) {
	tracker := progress.Track(ctx, options...)
	defer func() { err = tracker.End(ctx, err) }()
	for i := range 6 {
		tracker.Set(float64(i), "step")
		if err := workflow.Sleep(ctx, time.Second); err != nil {
			return err
		}
	}
	return nil
}

func TestAWebhookIsCalledAsOftenAsAskedFor(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		push     progress.Push
		expected []string
	}{
		"on every change": {progress.Push{}, []string{
			"0=0: 0 step", "1=1: 1 step", "2=2: 2 step", "3=3: 3 step", "4=4: 4 step", "5=5: 5 step", "6=6: 100 completed",
		}},
		"the latest, at most every 2.4 s": {progress.Push{Every: 2400 * time.Millisecond}, []string{
			"0=0: 0 step", "1=1: 2 step", "2=2: 4 step", "3=3: 100 completed",
		}},
		"in batches": {progress.Push{Batch: 4}, []string{
			"0=0: 0 step, 1 step, 2 step, 3 step", "4=4: 4 step, 5 step, 100 completed",
		}},
		"in batches, or after 2.4 s": {progress.Push{Batch: 4, Every: 2400 * time.Millisecond}, []string{
			"0=0: 0 step, 1 step, 2 step", "3=3: 3 step, 4 step, 5 step", "6=6: 100 completed",
		}},
		"at the end": {progress.Push{AtEnd: true}, []string{"0=0: 100 completed"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, withFeed := range []bool{false, true} {
				feed := &memory{}
				env := newEnvironment(feed)
				e := &endpoints{feed: feed}
				e.register(env)
				c.push.URL = endpoint
				options := []progress.Option{c.push}
				if withFeed {
					options = append(options, progress.Feed{Final: true})
				}
				env.ExecuteWorkflow(func(ctx workflow.Context) error { return everySecond(ctx, options...) })
				require.NoError(t, env.GetWorkflowError())
				expected := c.expected
				if withFeed {
					expected = append(expected[:len(expected)-1:len(expected)-1], expected[len(expected)-1]+" final")
					require.NotContains(t, e.recorded, false, "the feed has each event before the endpoint does")
				}
				require.Equal(t, expected, e.deliveries)
				require.Empty(t, e.buried)
			}
		})
	}
}

func TestASlowEndpointDelaysOnlyItsOwnDeliveries(t *testing.T) {
	t.Parallel()
	feed := &memory{}
	env := newEnvironment(feed)
	e := &endpoints{feed: feed, answer: func(_ context.Context, try int) (bool, error) {
		if try <= 3 { // about 7 s with the pauses between
			return false, temporal.NewApplicationErrorWithOptions("503", "", temporal.ApplicationErrorOptions{NextRetryDelay: 1500 * time.Millisecond})
		}
		return false, nil
	}}
	e.register(env)
	begin := env.Now()
	var worked time.Duration
	env.ExecuteWorkflow(func(ctx workflow.Context) (err error) {
		tracker := progress.Track(ctx, progress.Feed{}, progress.Push{URL: endpoint})
		defer func() { err = tracker.End(ctx, err) }()
		for i := range 6 {
			tracker.Set(float64(i), "step")
			_ = workflow.Sleep(ctx, time.Second)
		}
		worked = workflow.Now(ctx).Sub(begin)
		return nil
	})
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, 6*time.Second, worked.Round(time.Second))
	require.Equal(t, []string{"0=0: 0 step", "1=1: 1 step, 2 step, 3 step, 4 step", "5=5: 5 step", "6=6: 100 completed"}, e.deliveries)
}

func TestTheEndWaitsAMinuteForAnEndpointWhoseDeliveriesAreThenDeadLetters(t *testing.T) {
	t.Parallel()
	feed := &memory{}
	env := newEnvironment(feed)
	e := &endpoints{feed: feed, answer: func(context.Context, int) (bool, error) {
		return false, temporal.NewApplicationErrorWithOptions("503", "", temporal.ApplicationErrorOptions{NextRetryDelay: 20 * time.Second})
	}}
	e.register(env)
	begin := env.Now()
	env.ExecuteWorkflow(func(ctx workflow.Context) error {
		return everySecond(ctx, progress.Feed{}, progress.Push{URL: endpoint}, progress.Push{URL: endpoint + "/2"})
	})
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, 66*time.Second, env.Now().Sub(begin).Round(time.Second))
	for _, buried := range []string{"0 step", "1 step, 2 step, 3 step, 4 step, 5 step, 100 completed"} {
		require.Contains(t, e.buried, buried)
	}
	require.Len(t, e.buried, 4)
	require.Len(t, feed.texts(), 7, "the feed has everything")
}

func TestAnEndpointThatIsGoneIsNotCalledAgain(t *testing.T) {
	t.Parallel()
	feed := &memory{}
	env := newEnvironment(feed)
	tries := 0
	e := &endpoints{feed: feed, answer: func(_ context.Context, try int) (bool, error) { tries = try; return try == 3, nil }}
	e.register(env)
	env.ExecuteWorkflow(func(ctx workflow.Context) error { return everySecond(ctx, progress.Push{URL: endpoint}) })
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, []string{"0=0: 0 step", "1=1: 1 step"}, e.deliveries)
	require.Equal(t, 3, tries)
}

func TestTheCursorOfAWebhookIsCarriedIntoTheNextRun(t *testing.T) {
	t.Parallel()
	feed := &memory{}
	env := newEnvironment(feed)
	e := &endpoints{feed: feed}
	e.register(env)
	var state progress.State
	for range 2 {
		env.ExecuteWorkflow(func(ctx workflow.Context) error {
			tracker := progress.Track(ctx, progress.Push{URL: endpoint, Batch: 10}, progress.Resume(state))
			tracker.Set(tracker.Snapshot().Progress+1, "step")
			tracker.Set(tracker.Snapshot().Progress+1, "step")
			state = tracker.Suspend(ctx)
			return nil
		})
		require.NoError(t, env.GetWorkflowError())
		env = newEnvironment(feed)
		e.register(env)
	}
	require.Equal(t, []string{"0=0: 1 step, 2 step", "2=2: 3 step, 4 step"}, e.deliveries)
	require.Equal(t, map[string]webhook.Cursor{endpoint: 4}, state.Pushed)
}
