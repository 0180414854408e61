package webhook

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"

	"chatfeed/activities"
)

// The types of the application errors of a delivery, besides [activities.InvalidItem].
const (
	// Failed is an attempt after which there is another.
	Failed = "WebhookFailed"
	// Rejected is an attempt after which there is none.
	Rejected = "WebhookRejected"
)

// Register puts the activities on a worker.
func (d *Deliverer) Register(registry worker.ActivityRegistry) {
	registry.RegisterActivityWithOptions(d.deliver, activity.RegisterOptions{Name: Deliver})
	registry.RegisterActivityWithOptions(d.buryLetter, activity.RegisterOptions{Name: Bury})
}

// deliver is the activity of one delivery.
func (d *Deliverer) deliver(ctx context.Context, request Request) (Delivered, error) {
	done, err := d.Post(ctx, request)
	var invalid *invalidError
	var failure *Failure
	attempt := int(activity.GetInfo(ctx).Attempt)
	switch {
	case errors.As(err, &invalid):
		return Delivered{}, temporal.NewNonRetryableApplicationError(err.Error(), activities.InvalidItem, nil)
	case errors.As(err, &failure) && failure.Final:
		return Delivered{}, temporal.NewNonRetryableApplicationError(failure.Reason, Rejected, nil, attempt)
	case errors.As(err, &failure):
		return Delivered{}, temporal.NewApplicationErrorWithOptions(failure.Reason, Failed, temporal.ApplicationErrorOptions{
			Details: []any{attempt}, NextRetryDelay: failure.delay(attempt),
		})
	}
	return done, err
}

func (d *Deliverer) buryLetter(ctx context.Context, letter Letter) (Delivered, error) {
	done, err := d.bury(ctx, letter)
	var invalid *invalidError
	if errors.As(err, &invalid) {
		return Delivered{}, temporal.NewNonRetryableApplicationError(err.Error(), activities.InvalidItem, nil)
	}
	return done, err
}

// busyDelay is the longest delay of an attempt that found its endpoint busy.
const busyDelay = time.Minute

// delay returns how long to wait after an attempt: twice as long after each, at least as long as the receiver asks for, and
// different for each delivery, so that those that have failed together do not come back together.
func (f *Failure) delay(attempt int) time.Duration {
	longest := longestDelay
	if f.busy {
		longest = busyDelay
	}
	delay := longest
	if shift := max(attempt, 1) - 1; shift < 20 {
		delay = min(firstDelay<<shift, longest)
	}
	delay = delay/2 + rand.N(delay/2+1)
	if f.After > 0 {
		delay = max(delay, f.After+rand.N(f.After/10+1))
	}
	return delay
}
