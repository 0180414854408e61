package demo

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"chatfeed/activities"
	"chatfeed/db"
)

// The bounds of a message, in bytes.
const (
	maxID   = 200
	maxText = 1 << 20
)

// recorder records items of the workflow. Its methods return when the item is durable.
type recorder struct {
	ctx workflow.Context // of the round
}

func (r recorder) message(role, text, status, id string) error {
	return r.record(activities.RecordMessage, activities.Message{ID: id, Role: role, Message: text, Status: status})
}

func (r recorder) log(level, text string) error {
	return r.record(activities.RecordLog, activities.Log{Level: level, Message: text})
}

func (r recorder) progress(percent float64, status, result string) error {
	return r.record(activities.RecordProgress, activities.Progress{Progress: percent, Status: status, Result: result})
}

// record retries for a day, because a database may be unavailable. It waits for a cancelled attempt to end, so that nothing of
// a round is recorded after the cancellation.
func (r recorder) record(activity string, item any) error {
	ctx := workflow.WithActivityOptions(r.ctx, workflow.ActivityOptions{
		TaskQueue:              activities.TaskQueue,
		StartToCloseTimeout:    10 * time.Second,
		ScheduleToCloseTimeout: 24 * time.Hour,
		WaitForCancellation:    true,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval: 200 * time.Millisecond, BackoffCoefficient: 2, MaximumInterval: 10 * time.Second,
		},
	})
	return workflow.ExecuteActivity(ctx, activity, item).Get(ctx, nil)
}

// answer runs the activity that answers. It ends when ctx is cancelled and the activity has recorded what was said so far. If
// its worker is gone, another tries again after the heartbeat's timeout. An answer that was stopped is the error of a cancellation.
func answer(ctx workflow.Context, q Question) (answered Answered, err error) {
	err = workflow.ExecuteActivity(answering(ctx), (*Answers).Answer, q).Get(ctx, &answered)
	if err == nil && answered.Stopped {
		err = temporal.NewCanceledError()
	}
	return answered, err
}

// drop records that a call which waits for approval will not be made.
func drop(ctx workflow.Context, call db.Tool) error {
	return workflow.ExecuteActivity(answering(ctx), (*Answers).Drop, call).Get(ctx, nil)
}

func answering(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout:    10 * time.Minute,
		ScheduleToCloseTimeout: 24 * time.Hour,
		HeartbeatTimeout:       5 * time.Second,
		WaitForCancellation:    true,
		RetryPolicy:            &temporal.RetryPolicy{InitialInterval: time.Second, BackoffCoefficient: 2, MaximumAttempts: 10},
	})
}

// invalidError says why a message cannot be handled, for its sender.
type invalidError string

func (e invalidError) Error() string { return string(e) }

func (m UserMessage) check() error {
	switch {
	case len(m.ID) > maxID:
		return invalidError(fmt.Sprintf("its id is %d bytes long; at most %d are accepted.", len(m.ID), maxID))
	case strings.ContainsRune(m.ID, 0):
		return invalidError("its id contains a NUL character; text without is accepted.")
	case len(m.Text) > maxText:
		return invalidError(fmt.Sprintf("its text is %d bytes long; at most %d are accepted.", len(m.Text), maxText))
	}
	return nil
}

// storable replaces NUL, which PostgreSQL cannot store.
func storable(text string) string { return strings.ReplaceAll(text, "\x00", "\uFFFD") }

// explain tells the user why a round failed, without internals.
func explain(err error) string {
	if invalid, ok := errors.AsType[invalidError](err); ok {
		return invalid.Error()
	}
	if _, ok := errors.AsType[*temporal.TimeoutError](err); ok {
		return "it took too long."
	}
	if application, ok := errors.AsType[*temporal.ApplicationError](err); ok && application.Type() == activities.InvalidItem {
		return application.Message()
	}
	return "something went wrong on our side."
}

// count formats a number with its noun.
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return grouped(n) + " " + many
}
