package main

import (
	"context"
	"time"
)

// pace is when the workload's changes are made.
type pace struct {
	steps int           // changes that come one by one
	every time.Duration // the time between two of them
	burst int           // changes that come at once, after the steps
	idle  time.Duration // how long nothing changes then, before the workflow ends
}

func (p pace) changes() int { return p.steps + p.burst }

// takes is how long the workload takes if nothing delays it.
func (p pace) takes() time.Duration { return time.Duration(p.steps+1)*p.every + p.idle }

// drive calls change with the number of changes that are to be made at once, at the time for it, and with 0 at the end. What is late is
// called for at once.
func (p pace) drive(ctx context.Context, change func(changes int) error) error {
	began := time.Now()
	for i := range p.steps {
		if !pause(ctx, time.Until(began.Add(time.Duration(i)*p.every))) {
			return ctx.Err()
		}
		if err := change(1); err != nil {
			return err
		}
	}
	for _, next := range []struct {
		wait    time.Duration
		changes int
	}{{p.every, p.burst}, {p.idle, 0}} {
		if !pause(ctx, next.wait) {
			return ctx.Err()
		}
		if err := change(next.changes); err != nil {
			return err
		}
	}
	return nil
}
