package demo_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

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
