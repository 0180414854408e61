// Package tracked has workflows that say how far they have come, for tests that run them and for tests that replay their histories.
package tracked

import (
	"fmt"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"chatfeed/activities/progress"
)

// StopSignal ends a workflow that has no end of its own.
const StopSignal = "stop"

// Input is the input of [Steps].
type Input struct {
	Steps    int // how many there are; zero means until the signal
	Pause    time.Duration
	RunSteps int    // after how many the run continues as new; zero means never
	Fail     string // the error after the last step; empty means none

	Feed     *progress.Feed
	LongPoll bool
	Hybrid   *progress.Hybrid
	Push     *progress.Push

	Done  int // steps of the runs before
	State progress.State
}

// Steps sets a progress at each of its steps, and returns how many there were.
func Steps(ctx workflow.Context, in Input) (done int, err error) {
	options := []progress.Option{progress.Resume(in.State)}
	if in.Feed != nil {
		options = append(options, *in.Feed)
	}
	if in.LongPoll {
		options = append(options, progress.LongPoll{})
	}
	if in.Hybrid != nil {
		options = append(options, *in.Hybrid)
	}
	if in.Push != nil {
		options = append(options, *in.Push)
	}
	tracker := progress.Track(ctx, options...)
	defer func() { err = tracker.End(ctx, err) }()
	stop := workflow.GetSignalChannel(ctx, StopSignal)
	for n := 0; in.Done < in.Steps || in.Steps == 0 && stop.Len() == 0; n++ {
		if in.RunSteps > 0 && n == in.RunSteps {
			in.State = tracker.Suspend(ctx)
			return in.Done, workflow.NewContinueAsNewError(ctx, Steps, in)
		}
		tracker.Set(Percent(in.Done), Status(in.Done))
		in.Done++
		if err := workflow.Sleep(ctx, in.Pause); err != nil {
			return in.Done, err
		}
	}
	if in.Fail != "" {
		return in.Done, temporal.NewApplicationError(in.Fail, "Failed")
	}
	return in.Done, nil
}

// Percent is the progress of a step.
func Percent(step int) float64 { return float64(step % 100) }

// Status is the status of a step.
func Status(step int) string { return fmt.Sprintf("step %d", step) }

// Silent is a workflow that waits for the signal and tells nobody.
func Silent(ctx workflow.Context) error {
	return workflow.Await(ctx, func() bool { return workflow.GetSignalChannel(ctx, StopSignal).Len() > 0 })
}
