package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"chatfeed/activities"
)

// orders runs a worker of workflows of the type Order, and a server that may call them, whose address it returns.
func orders(t *testing.T, c client.Client) string {
	t.Helper()
	w := worker.New(c, t.Name(), worker.Options{})
	w.RegisterWorkflowWithOptions(order, workflow.RegisterOptions{Name: "Order"})
	require.NoError(t, w.Start())
	t.Cleanup(w.Stop)
	return serveCalls(t, t.Name())
}

// orderState is what an order passes to its next run.
type orderState struct {
	Customer json.Number `json:"customer"` // more digits than a float has
	Notes    []string    `json:"notes"`
	Runs     int         `json:"runs"`
}

// order has handlers of each kind. It records each note that a signal brings, and runs until the signal "finish"; "renew" continues it
// as new.
func order(ctx workflow.Context, state orderState) error {
	state.Runs++
	err := errors.Join(
		workflow.SetQueryHandler(ctx, "state", func(suffix string) (orderState, error) {
			shown := state
			shown.Notes = append([]string{suffix}, state.Notes...)
			return shown, nil
		}),
		workflow.SetQueryHandler(ctx, "refuse", func() (string, error) {
			return "", temporal.NewNonRetryableApplicationError("nobody may know that", "Refused", errors.New("insider"))
		}),
		workflow.SetQueryHandler(ctx, "leak", func() (string, error) {
			return "", errors.New("dial tcp 10.1.2.3: insider")
		}),
		workflow.SetQueryHandler(ctx, "bytes", func() ([]byte, error) { return []byte("binary"), nil }),
		workflow.SetQueryHandler(ctx, "large", func() (string, error) { return strings.Repeat("x", 1<<20), nil }),
		workflow.SetUpdateHandler(ctx, "add", func(_ workflow.Context, note string) (int, error) {
			state.Notes = append(state.Notes, note)
			return len(state.Notes), nil
		}),
		workflow.SetUpdateHandler(ctx, "nothing", func(workflow.Context) error { return nil }),
		workflow.SetUpdateHandler(ctx, "wait", func(ctx workflow.Context) error {
			return workflow.Await(ctx, func() bool { return false })
		}),
		workflow.SetUpdateHandler(ctx, "refuse", func(workflow.Context) error {
			return temporal.NewNonRetryableApplicationError("the order is sold out", "SoldOut", errors.New("insider"))
		}),
		workflow.SetUpdateHandler(ctx, "leak", func(workflow.Context) error {
			return fmt.Errorf("insert: %w", errors.New("dial tcp 10.1.2.3: insider"))
		}),
	)
	if err != nil {
		return err
	}
	note, finish, renew := workflow.GetSignalChannel(ctx, "note"), workflow.GetSignalChannel(ctx, "finish"), workflow.GetSignalChannel(ctx, "renew")
	var last error
	for ended := false; !ended && last == nil; {
		workflow.NewSelector(ctx).
			AddReceive(note, func(c workflow.ReceiveChannel, _ bool) {
				var text string
				c.Receive(ctx, &text)
				state.Notes = append(state.Notes, text)
				last = recordNote(ctx, text)
			}).
			AddReceive(renew, func(c workflow.ReceiveChannel, _ bool) {
				c.Receive(ctx, nil)
				last = workflow.NewContinueAsNewError(ctx, "Order", state)
			}).
			AddReceive(finish, func(c workflow.ReceiveChannel, _ bool) {
				c.Receive(ctx, nil)
				ended = true
			}).
			AddReceive(ctx.Done(), func(workflow.ReceiveChannel, bool) { last = ctx.Err() }).
			Select(ctx)
	}
	return last
}

func recordNote(ctx workflow.Context, text string) error {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue: activities.TaskQueue, StartToCloseTimeout: 10 * time.Second, ScheduleToCloseTimeout: time.Hour,
	})
	return workflow.ExecuteActivity(ctx, activities.RecordLog, activities.Log{Level: "info", Message: text}).Get(ctx, nil)
}
