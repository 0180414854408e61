package webhook

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"chatfeed/activities"
)

// How a delivery is tried, unless the options of the context say otherwise.
const (
	deliveryTime = 24 * time.Hour  // of all attempts
	attemptTime  = time.Minute     // of one, with what it records
	firstDelay   = time.Second     // before the second attempt; it doubles from then on
	longestDelay = time.Hour       // also of what a receiver asks for
	buryTime     = 2 * time.Minute // of an attempt to bury
)

// Send delivers from a workflow. It returns when the receiver has accepted the delivery or has said that it wants none any more, or,
// after a day, when the delivery is a dead letter; which of them, the result says. A cancellation of ctx ends the attempts, and
// the delivery is a dead letter then, too. The error is not nil only for a request that can never be delivered nor
// kept: a non-retryable application error of type [activities.InvalidItem] that names the field.
//
// Deliveries that are to arrive in order, with cursors that join, are sent one after the other. Others may be sent at once.
//
// It uses the activity options of ctx: the task queue, which is where a worker has the activities; ScheduleToCloseTimeout, which bounds
// all attempts; and StartToCloseTimeout, a minute unless set, and RetryPolicy, a back-off from a second to an hour.
func Send(ctx workflow.Context, request Request) (Delivered, error) {
	request = complete(ctx, request)
	options := workflow.GetActivityOptions(ctx)
	options.ScheduleToCloseTimeout = cmp.Or(options.ScheduleToCloseTimeout, deliveryTime)
	options.StartToCloseTimeout = cmp.Or(options.StartToCloseTimeout, attemptTime)
	if options.RetryPolicy == nil {
		options.RetryPolicy = &temporal.RetryPolicy{InitialInterval: firstDelay, MaximumInterval: longestDelay}
	}
	delivering := workflow.WithActivityOptions(ctx, options)
	var done Delivered
	err := workflow.ExecuteActivity(delivering, Deliver, request).Get(delivering, &done)
	if err == nil || isInvalid(err) {
		return done, err
	}
	burying, cancel := workflow.NewDisconnectedContext(ctx)
	defer cancel()
	burying = workflow.WithActivityOptions(burying, workflow.ActivityOptions{
		TaskQueue:           options.TaskQueue,
		StartToCloseTimeout: buryTime,
		RetryPolicy:         &temporal.RetryPolicy{InitialInterval: firstDelay, MaximumInterval: time.Minute},
	})
	letter := Letter{Request: request}
	letter.Error, letter.Attempts = reason(err)
	err = workflow.ExecuteActivity(burying, Bury, letter).Get(burying, &done)
	return done, err
}

// complete fills in what a workflow need not give.
func complete(ctx workflow.Context, request Request) Request {
	info := workflow.GetInfo(ctx)
	request.WorkflowID = cmp.Or(request.WorkflowID, info.WorkflowExecution.ID)
	request.Events = slices.Clone(request.Events)
	for i := range request.Events {
		if request.Events[i].At.IsZero() {
			request.Events[i].At = workflow.Now(ctx)
		}
		request.Events[i].At = request.Events[i].At.UTC()
	}
	if request.ID == "" {
		//workflowcheck:ignore // a struct without maps is encoded the same each time
		text, _ := json.Marshal(request) // what cannot be encoded is refused as the activity's input
		request.ID = "msg_" + shortened(info.WorkflowExecution.RunID+string(text))
	}
	return request
}

// shortened returns 128 bits of a hash.
func shortened(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:16])
}

func isInvalid(err error) bool {
	var application *temporal.ApplicationError
	return errors.As(err, &application) && application.Type() == activities.InvalidItem
}

// reason returns why a delivery failed for good, and after how many attempts if that is known.
func reason(err error) (text string, attempts int) {
	var application *temporal.ApplicationError
	var timeout *temporal.TimeoutError
	var cancelled *temporal.CanceledError
	if errors.As(err, &application) {
		_ = application.Details(&attempts) // those of other programs have none
		text = application.Message()
	}
	switch {
	case errors.As(err, &cancelled):
		return "the workflow was cancelled before the delivery was accepted", attempts
	case errors.As(err, &timeout) && text == "":
		return "no attempt has ended in time, perhaps because no worker was there", attempts
	case text == "":
		return err.Error(), attempts
	}
	return text, attempts
}
