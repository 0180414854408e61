package demo_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"chatfeed/activities"
	"chatfeed/cmd/dev/internal/demo"
	"chatfeed/db"
)

func TestAMessageIsRecordedAnalyzedAndAnswered(t *testing.T) {
	t.Parallel()
	c := newChat(t)
	c.sends(0, demo.UserMessage{ID: "m-1", Text: "The sea is wide. The sea is deep."})
	c.isCancelledAfter(time.Hour)

	c.runs(demo.State{})

	require.Equal(t, []string{
		"message user received m-1: The sea is wide. The sea is deep.",
		"progress 0 reading",
		"log info: Reading a message of 33 bytes.",
		"progress 20 answering",
		"tool word_statistics input-available",
		"tool word_statistics output-available",
		"log info: Summarized 2 sentences in 1.",
		"stat",
		"message assistant complete: **Summary** (1 of 2 sentences)",
		"progress 100 done",
		"log warn: The chat was cancelled.",
		"progress 100 cancelled",
	}, c.recorded())
	require.Greater(t, c.deltas, 1, "the answer comes in pieces")
	stat := c.items[7].(db.Stat)
	require.Positive(t, stat.ProcessingTime)
	require.EqualValues(t, 10, stat.TokenCount)
}

func TestMessagesAreHandledInTheOrderInWhichTheyCame(t *testing.T) {
	t.Parallel()
	c := newChat(t)
	for i := range 4 {
		c.sends(0, demo.UserMessage{ID: fmt.Sprint(i), Text: "queued"})
	}
	c.sends(time.Minute, demo.UserMessage{ID: "late", Text: "a further round"})
	c.isCancelledAfter(time.Hour)

	c.runs(demo.State{})

	require.Equal(t, []string{"0", "1", "2", "3", "late"}, c.users())
	require.Equal(t, 5, c.count("progress 100 done"))
}

func TestAMessageThatIsDeliveredAgainIsHandledOnce(t *testing.T) {
	t.Parallel()
	c := newChat(t)
	c.sends(0, demo.UserMessage{ID: "a", Text: "one"})
	c.sends(0, demo.UserMessage{ID: "a", Text: "one"})
	c.sends(0, demo.UserMessage{ID: "before", Text: "of the run before"})
	c.sends(time.Minute, demo.UserMessage{ID: "a", Text: "one"})
	c.sends(time.Minute, demo.UserMessage{Text: "without an id"})
	c.sends(time.Minute, demo.UserMessage{Text: "without an id"})
	c.isCancelledAfter(time.Hour)

	c.runs(demo.State{Seen: []string{"before"}})

	require.Equal(t, []string{"a", "", ""}, c.users())
}

func TestAFailedRoundIsRecordedAndTheNextMessageIsHandled(t *testing.T) {
	t.Parallel()
	c := newChat(t)
	attempts := 0
	c.fakes(func(_ context.Context, q demo.Question) (demo.Answered, error) {
		if q.Text == "bad" {
			attempts++
			return demo.Answered{}, errors.New("secret of the inside")
		}
		return demo.Answered{}, nil
	})
	c.sends(0, demo.UserMessage{ID: "1", Text: "bad"})
	c.sends(0, demo.UserMessage{ID: "2", Text: "good"})
	c.isCancelledAfter(time.Hour)

	c.runs(demo.State{})

	require.Equal(t, 10, attempts)
	require.Equal(t, []string{
		"progress 20 answering",
		"log error: The message could not be handled: something went wrong on our side.",
		"progress 20 failed",
		"message user received 2: good",
	}, c.recorded()[3:7])
	require.Equal(t, 1, c.count("progress 100 done"))
	require.NotContains(t, strings.Join(c.recorded(), "\n"), "secret")
}

func TestAMessageThatCannotBeStoredFailsInItsRoundOnly(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		message demo.UserMessage
		said    string
	}{
		"long id":     {demo.UserMessage{ID: strings.Repeat("x", 201)}, "its id is 201 bytes long; at most 200 are accepted."},
		"NUL in id":   {demo.UserMessage{ID: "a\x00"}, "its id contains a NUL character; text without is accepted."},
		"long text":   {demo.UserMessage{Text: strings.Repeat("x", 1<<20+1)}, "its text is 1048577 bytes long; at most 1048576 are accepted."},
		"refused one": {demo.UserMessage{ID: "refused"}, "id: is refused"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newChat(t)
			c.refuse = func(item any, _ int32) error {
				if m, ok := item.(activities.Message); ok && m.ID == "refused" {
					return temporal.NewNonRetryableApplicationError("id: is refused", activities.InvalidItem, nil)
				}
				return nil
			}
			c.sends(0, test.message)
			c.sends(0, demo.UserMessage{ID: "next", Text: "fine"})
			c.isCancelledAfter(time.Hour)

			c.runs(demo.State{})

			require.Equal(t, []string{
				"log error: The message could not be handled: " + test.said,
				"progress 0 failed",
				"message user received next: fine",
			}, c.recorded()[:3])
		})
	}
}

func TestTheLargestTextPasses(t *testing.T) {
	t.Parallel()
	c := newChat(t)
	c.asked = func(call db.Tool) {
		c.env.SignalWorkflow(demo.ApprovalSignal, demo.Approval{CallID: call.CallID, Approved: true})
	}
	c.sends(0, demo.UserMessage{ID: "large", Text: strings.Repeat("A \"line\".\n", 1<<20/10)})
	c.isCancelledAfter(time.Hour)

	c.runs(demo.State{})

	require.Equal(t, 1, c.count("progress 100 done"))
}

func TestNULInATextIsReplaced(t *testing.T) {
	t.Parallel()
	c := newChat(t)
	c.sends(0, demo.UserMessage{ID: "1", Text: "a\x00b"})
	c.isCancelledAfter(time.Hour)

	c.runs(demo.State{})

	require.Equal(t, "message user received 1: a\uFFFDb", c.recorded()[0])
}

func TestRecordingSurvivesADatabaseOutage(t *testing.T) {
	t.Parallel()
	c := newChat(t)
	c.refuse = func(_ any, attempt int32) error {
		if attempt < 10 { // the most that the test environment makes
			return errors.New("the database is away")
		}
		return nil
	}
	c.sends(0, demo.UserMessage{ID: "1", Text: "patience"})
	c.isCancelledAfter(time.Hour)

	c.runs(demo.State{})

	require.Equal(t, []string{"1"}, c.users())
	require.Equal(t, 1, c.count("progress 100 done"))
}

func TestACancellationEndsTheRoundAndIsRecorded(t *testing.T) {
	t.Parallel()
	c := newChat(t)
	c.fakes(func(context.Context, demo.Question) (demo.Answered, error) {
		c.env.CancelWorkflow()
		return demo.Answered{}, nil
	})
	c.sends(0, demo.UserMessage{ID: "1", Text: "one"})
	c.sends(0, demo.UserMessage{ID: "2", Text: "two"})

	c.runs(demo.State{})

	require.Equal(t, []string{
		"progress 20 answering",
		"log warn: The chat was cancelled; 1 message has not been handled.",
		"progress 20 cancelled",
	}, c.recorded()[3:])
}

func TestALongChatContinuesAsNewAndLosesNothing(t *testing.T) {
	t.Parallel()
	c := newChat(t)
	for i := range 53 {
		c.sends(0, demo.UserMessage{ID: fmt.Sprint(i), Text: "x"})
	}

	c.runs(demo.State{})

	next := c.continued()
	require.Len(t, c.users(), 50)
	require.Equal(t, []demo.UserMessage{{ID: "50", Text: "x"}, {ID: "51", Text: "x"}, {ID: "52", Text: "x"}}, next.Waiting)
	require.Len(t, next.Seen, 53)
	require.InDelta(t, 100, next.Percent, 0)

	c = newChat(t)
	c.sends(0, demo.UserMessage{ID: "7", Text: "again"})
	c.sends(0, demo.UserMessage{ID: "53", Text: "new"})
	c.isCancelledAfter(time.Hour)
	c.runs(next)
	require.Equal(t, []string{"50", "51", "52", "53"}, c.users())
}

func TestAChatContinuesAsNewWhenTheServerSuggestsIt(t *testing.T) {
	t.Parallel()
	c := newChat(t)
	c.env.SetContinueAsNewSuggested(true)
	c.sends(0, demo.UserMessage{ID: "1", Text: "one"})
	c.sends(0, demo.UserMessage{ID: "2", Text: "two"})

	c.runs(demo.State{})

	require.Equal(t, []string{"1"}, c.users(), "a run handles one message at least, so that the chat gets on")
	require.Equal(t, demo.State{
		Seen: []string{"1", "2"}, Waiting: []demo.UserMessage{{ID: "2", Text: "two"}}, Percent: 100,
	}, c.continued())
}

func TestMessagesTooLargeToHandOverAreHandledBefore(t *testing.T) {
	t.Parallel()
	c := newChat(t)
	c.env.SetContinueAsNewSuggested(true)
	for i := range 4 {
		c.sends(0, demo.UserMessage{ID: fmt.Sprint(i), Text: strings.Repeat("x", 400<<10)})
	}

	c.runs(demo.State{})

	require.Equal(t, []string{"0", "1", "2"}, c.users())
	require.Len(t, c.continued().Waiting, 1)
}

func TestTheIDsThatAreRememberedAreBounded(t *testing.T) {
	t.Parallel()
	c := newChat(t)
	c.env.SetContinueAsNewSuggested(true)
	seen := make([]string, 500)
	for i := range seen {
		seen[i] = fmt.Sprint("old-", i)
	}
	c.sends(0, demo.UserMessage{ID: "new"})

	c.runs(demo.State{Seen: seen})

	require.Equal(t, append(seen[1:len(seen):len(seen)], "new"), c.continued().Seen)
}

// chat is a workflow under test and what it has recorded.
type chat struct {
	t   *testing.T
	env *testsuite.TestWorkflowEnvironment
	// refuse may make the recording of an item fail; nil lets all pass.
	refuse func(item any, attempt int32) error

	// asked is called when the chat asks for approval; it may be nil.
	asked func(db.Tool)

	mu     sync.Mutex // guards the others while the workflow runs
	items  []any
	deltas int // how many there were
}

func newChat(t *testing.T) *chat {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	c := &chat{t: t, env: suite.NewTestWorkflowEnvironment()}
	c.env.SetTestTimeout(time.Minute)
	demo.Register(c.env, c, time.Microsecond)
	fake[activities.Message](c, "RecordMessage")
	fake[activities.Log](c, "RecordLog")
	fake[activities.Stat](c, "RecordStat")
	fake[activities.Progress](c, "RecordProgress")
	return c
}

// fake registers an activity that collects its input.
func fake[T any](c *chat, name string) {
	c.env.RegisterActivityWithOptions(func(ctx context.Context, item T) error {
		if queue := activity.GetInfo(ctx).TaskQueue; queue != "chatfeed" {
			return temporal.NewNonRetryableApplicationError("called on "+queue, "", nil)
		}
		if c.refuse != nil {
			if err := c.refuse(item, activity.GetInfo(ctx).Attempt); err != nil {
				return err
			}
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.items = append(c.items, item)
		return nil
	}, activity.RegisterOptions{Name: name})
}

// fakes puts another activity in the place of the one that answers.
func (c *chat) fakes(answer func(context.Context, demo.Question) (demo.Answered, error)) {
	c.env.RegisterActivityWithOptions(answer, activity.RegisterOptions{Name: "Answer", DisableAlreadyRegisteredCheck: true})
}

// Write implements [activities.Writer] for the activities of the demo.
func (c *chat) Write(_ context.Context, items ...db.Item) ([]db.Written, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, item := range items {
		switch item := item.(type) {
		case db.Delta:
			c.deltas++
		case db.Tool:
			c.items = append(c.items, item)
			if item.State == db.ApprovalRequested && c.asked != nil {
				c.asked(item)
			}
		default:
			c.items = append(c.items, item)
		}
	}
	return make([]db.Written, len(items)), nil
}

func (c *chat) sends(after time.Duration, m demo.UserMessage) {
	c.env.RegisterDelayedCallback(func() { c.env.SignalWorkflow(demo.SignalName, m) }, after)
}

func (c *chat) isCancelledAfter(d time.Duration) {
	c.env.RegisterDelayedCallback(c.env.CancelWorkflow, d)
}

func (c *chat) runs(state demo.State) {
	c.env.ExecuteWorkflow(demo.WorkflowName, state)
	require.True(c.t, c.env.IsWorkflowCompleted())
	if err := c.env.GetWorkflowError(); !workflow.IsContinueAsNewError(err) {
		var canceled *temporal.CanceledError
		require.ErrorAs(c.t, err, &canceled)
	}
}

// continued is the state that the workflow has handed over.
func (c *chat) continued() (state demo.State) {
	c.t.Helper()
	var next *workflow.ContinueAsNewError
	require.ErrorAs(c.t, c.env.GetWorkflowError(), &next)
	require.NoError(c.t, converter.GetDefaultDataConverter().FromPayloads(next.Input, &state))
	return state
}

// recorded says in a line each what has been recorded, the first line of a text standing for all of it.
func (c *chat) recorded() []string {
	lines := make([]string, len(c.items))
	for i, item := range c.items {
		switch item := item.(type) {
		case activities.Message:
			first, _, _ := strings.Cut(item.Message, "\n")
			lines[i] = fmt.Sprintf("message %s %s %s: %s", item.Role, item.Status, item.ID, first)
		case activities.Log:
			lines[i] = fmt.Sprintf("log %s: %s", item.Level, item.Message)
		case activities.Progress:
			lines[i] = fmt.Sprintf("progress %v %s", item.Progress, item.Status)
		case db.Message:
			first, _, _ := strings.Cut(item.Message, "\n")
			lines[i] = fmt.Sprintf("message %s %s: %s", item.Role, item.Status, first)
		case db.Log:
			lines[i] = fmt.Sprintf("log %s: %s", item.Level, item.Message)
		case db.Stat:
			lines[i] = "stat"
		case db.Tool:
			lines[i] = strings.TrimSpace(fmt.Sprintf("tool %s %s %s", item.Name, item.State, item.Error))
		}
	}
	return lines
}

// users are the ids of the users' messages that have been recorded.
func (c *chat) users() []string {
	var ids []string
	for _, item := range c.items {
		if m, ok := item.(activities.Message); ok && m.Role == "user" {
			ids = append(ids, m.ID)
		}
	}
	return ids
}

func (c *chat) count(line string) int {
	n := 0
	for _, l := range c.recorded() {
		if l == line {
			n++
		}
	}
	return n
}
