// Package host is what an activities.Recorder needs of the Temporal activity that it records for. It comes from the Temporal SDK,
// or from [With], so that benchmarks can drive a Recorder without Temporal.
package host

import (
	"context"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/log"
)

// Host is an activity that is running.
type Host struct {
	Info      activity.Info
	Logger    log.Logger
	Heartbeat func() // tells Temporal that the activity is alive; called by several goroutines, must not block
}

type key struct{}

// With returns a context whose host is h.
func With(ctx context.Context, h Host) context.Context { return context.WithValue(ctx, key{}, h) }

// Of returns the host that [With] has set, or else the activity that the context belongs to. It panics without either, as the
// Temporal SDK does.
func Of(ctx context.Context) Host {
	if h, ok := ctx.Value(key{}).(Host); ok {
		return h
	}
	return Host{
		Info:      activity.GetInfo(ctx),
		Logger:    activity.GetLogger(ctx),
		Heartbeat: func() { activity.RecordHeartbeat(ctx) },
	}
}
