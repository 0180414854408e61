package demo_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/workflow"

	"chatfeed/cmd/dev/internal/demo"
	"chatfeed/db"
)

var longText = strings.Repeat("The sea is wide. ", 2000)

func TestALongTextIsAnalyzedWhenSomebodyHasApproved(t *testing.T) {
	t.Parallel()
	c := newChat(t)
	c.asked = func(call db.Tool) {
		c.env.SignalWorkflow(demo.ApprovalSignal, demo.Approval{CallID: "another"})
		c.env.SignalWorkflow(demo.ApprovalSignal, "no approval")
		c.env.SignalWorkflow(demo.ApprovalSignal, demo.Approval{CallID: call.CallID, Approved: true})
	}
	c.sends(0, demo.UserMessage{Text: longText})
	c.isCancelledAfter(time.Hour)

	c.runs(demo.State{})

	require.Equal(t, []string{
		"progress 20 answering",
		"tool full_analysis input-available",
		"tool full_analysis approval-requested",
		"message assistant complete: This text is long: 34,000 bytes. May I analyze all of it? Otherwise I read the first 20,480 bytes.",
		"progress 20 waiting",
		"progress 20 answering",
		"tool full_analysis approval-responded",
		"tool full_analysis output-available",
		"log info: Summarized 2,000 sentences in 1.",
		"stat",
		"message assistant complete: **Summary** (1 of 2,000 sentences)",
		"progress 100 done",
	}, c.recorded()[3:15])
}

func TestWithoutApprovalTheBeginningOfALongTextIsAnalyzed(t *testing.T) {
	t.Parallel()
	for reason, answer := range map[string]func(c *chat, call db.Tool){
		"too much": func(c *chat, call db.Tool) {
			c.env.SignalWorkflow(demo.ApprovalSignal, demo.Approval{CallID: call.CallID, Reason: "too much"})
		},
		"another message came": func(c *chat, _ db.Tool) {
			c.env.SignalWorkflow(demo.SignalName, demo.UserMessage{ID: "next", Text: "Never mind."})
		},
	} {
		t.Run(reason, func(t *testing.T) {
			t.Parallel()
			c := newChat(t)
			c.asked = func(call db.Tool) { answer(c, call) }
			c.sends(0, demo.UserMessage{Text: longText})
			c.isCancelledAfter(time.Hour)

			c.runs(demo.State{})

			require.Equal(t, []string{
				"tool full_analysis approval-responded",
				"tool full_analysis output-denied " + reason,
				"tool word_statistics input-available",
				"tool word_statistics output-available",
				"log info: Summarized 1,205 sentences in 2.",
				"stat",
				"message assistant complete: **Summary** (2 of 1,205 sentences)",
				"progress 100 done",
			}, c.recorded()[9:17])
		})
	}
}

func TestAStopEndsTheAnswerAndNotTheChat(t *testing.T) {
	t.Parallel()
	c := newChat(t)
	c.fakes(func(_ context.Context, q demo.Question) (demo.Answered, error) {
		if q.Text == "one" {
			c.env.SignalWorkflow(demo.StopSignal, nil)
			c.env.SignalWorkflow(demo.StopSignal, nil) // people are impatient
			return demo.Answered{}, workflow.ErrCanceled
		}
		return demo.Answered{}, nil
	})
	c.env.RegisterDelayedCallback(func() { c.env.SignalWorkflow(demo.StopSignal, nil) }, time.Minute) // of nothing
	c.sends(2*time.Minute, demo.UserMessage{ID: "1", Text: "one"})
	c.sends(2*time.Minute, demo.UserMessage{ID: "2", Text: "two"})
	c.isCancelledAfter(time.Hour)

	c.runs(demo.State{})

	require.Equal(t, []string{
		"progress 20 answering",
		"log warn: The answer was stopped.",
		"progress 20 stopped",
		"message user received 2: two",
	}, c.recorded()[3:7])
	require.Equal(t, 1, c.count("progress 100 done"))
}

func TestAStopWhileTheChatWaitsForApprovalEndsTheCall(t *testing.T) {
	t.Parallel()
	c := newChat(t)
	c.sends(0, demo.UserMessage{Text: longText})
	c.env.RegisterDelayedCallback(func() { c.env.SignalWorkflow(demo.StopSignal, nil) }, time.Minute)
	c.isCancelledAfter(time.Hour)

	c.runs(demo.State{})

	require.Equal(t, []string{
		"progress 20 waiting",
		"tool full_analysis output-denied stopped",
		"log warn: The answer was stopped.",
		"progress 20 stopped",
	}, c.recorded()[7:11])
}
