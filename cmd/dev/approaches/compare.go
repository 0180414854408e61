package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"chatfeed/cmd/internal/bench"
	"chatfeed/cmd/internal/program"
)

// compare is the command that measures all approaches.
type compare struct {
	program.Measuring
}

// Run measures and prints. Progress is shown on standard error.
func (c *compare) Run(ctx context.Context, _ *slog.Logger) (err error) {
	progress := program.NewProgress(os.Stderr)
	defer progress.Clear()
	base, closeBase, err := c.Lab(ctx, progress.Show)
	if err != nil {
		return err
	}
	defer closeBase()
	report, err := measureAll(ctx, base)
	switch {
	case ctx.Err() != nil:
		return errors.New("interrupted; nothing is reported")
	case err != nil:
		return err
	}
	progress.Clear()
	return c.Report(report)
}

// measureAll measures all approaches, each with more and more watchers until a limit is met.
func measureAll(ctx context.Context, base *bench.Lab) (report *bench.Report, err error) {
	p := pace{steps: 200, every: 50 * time.Millisecond, burst: 100, idle: 3 * time.Second}
	counts := []int{1, 10, 100, 1000}
	if base.Short {
		p.steps, p.burst, p.idle = 15, 10, 250*time.Millisecond
		counts = []int{1, 12}
	}
	machine, err := bench.Describe(ctx, base.Pool)
	if err != nil {
		return nil, err
	}
	l, closeLab, err := openLab(ctx, base, p)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closeLab()) }()
	var f findings
	for _, a := range approaches() {
		for _, watchers := range a.watchers(counts) {
			base.Progress("%s, %d watchers", a.name, watchers)
			m, err := l.measure(ctx, a, watchers)
			if err != nil {
				return nil, fmt.Errorf("%s, %d watchers: %w", a.name, watchers, err)
			}
			f.runs = append(f.runs, m)
			if m.limit != "" {
				base.Progress("%s, %d watchers: %s", a.name, watchers, m.limit)
			}
			if m.reached {
				break
			}
			if a.format == "" || watchers != slices.Max(counts) {
				continue
			}
			base.Progress("a bare fan-out to %d watchers, %s", watchers, strings.TrimPrefix(a.name, "feed, "))
			b, err := l.fanOut(ctx, m)
			if err != nil {
				return nil, fmt.Errorf("a bare fan-out instead of %s: %w", a.name, err)
			}
			f.fanOuts = append(f.fanOuts, fannedOut{m, b})
		}
	}
	return &bench.Report{Machine: machine, Measured: f.report(), Name: "approaches"}, nil
}
