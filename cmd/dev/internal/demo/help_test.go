package demo_test

import (
	"context"
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
