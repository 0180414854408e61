package bench

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	v1 "chatfeed/rpc/chatfeedv1"
)

// latency measures the time from an insert until a client has the item.
func latency() Scenario {
	return Scenario{
		Name:  "latency",
		Title: "Latency",
		About: `Milliseconds from the start of an insert to its item, decoded, in the hands of a Connect client that follows the
workflow with a stream of its own. The server is a process of its own. The **floor** is the least that PostgreSQL and pgx
allow: insert, notification on a bare connection that listens, the same catch-up query. They take turns of two seconds, in
which the other one follows other workflows. p50 and p99 are the medians of what they were in the turns, so that no single
stall of the disk decides; max is over all turns.
Inserts follow a schedule, the given number per second over all workflows, and their time counts from when they were
due; a slow one delays no other. So nothing is left out: what had to wait for the load itself counts as well.`,
		Run: runLatency,
	}
}

// latencyLoad is a number of workflows and the total number of items per second.
type latencyLoad struct{ workflows, rate int }

// arrivals is called with the text of each message when it arrives.
type arrivals func(text string)

func runLatency(ctx context.Context, lab *Lab) (*Result, error) {
	loads := []latencyLoad{{1, 100}, {10, 200}, {100, 400}, {1000, 500}}
	if lab.Short {
		loads = []latencyLoad{{1, 100}, {3, 100}}
	}
	server, err := lab.Serve(ctx)
	if err != nil {
		return nil, err
	}
	defer server.Kill()
	result := &Result{}
	chart := Plot{
		Name: "latency", Title: "From insert to client", X: "active workflows", Y: "milliseconds", Log: true,
		Series: []Series{{Name: "chatfeed p50"}, {Name: "floor p50"}, {Name: "chatfeed p99"}, {Name: "floor p99"}},
	}
	for i, load := range loads {
		ours, floor, err := lab.compareLatency(ctx, server.URL, load)
		if err != nil {
			return nil, fmt.Errorf("%d workflows: %w", load.workflows, err)
		}
		result.Runs = append(result.Runs, Run{Headline: i == 0, Values: []Value{
			{Key: "workflows", Number: float64(load.workflows)},
			{Key: "rate_per_s", Number: float64(load.rate)},
			{Key: "p50_ms", Number: ours.ms(50)},
			{Key: "p99_ms", Number: ours.ms(99)},
			{Key: "max_ms", Number: ours.max()},
			{Key: "floor_p50_ms", Number: floor.ms(50)},
			{Key: "floor_p99_ms", Number: floor.ms(99)},
			{Key: "floor_max_ms", Number: floor.max()},
			{Key: "p50_ratio", Number: ours.ms(50) / floor.ms(50)},
			{Key: "p99_ratio", Number: ours.ms(99) / floor.ms(99)},
		}})
		chart.Labels = append(chart.Labels, readable(float64(load.workflows)))
		for i, ms := range []float64{ours.ms(50), floor.ms(50), ours.ms(99), floor.ms(99)} {
			chart.Series[i].Values = append(chart.Series[i].Values, ms)
		}
	}
	result.Plots = []Plot{chart}
	return result, nil
}

// compareLatency alternates between the server's streams and the floor under one load.
func (l *Lab) compareLatency(ctx context.Context, server string, load latencyLoad) (ours, floor turns, err error) {
	turn, rounds := 2*time.Second, 9
	if l.Short {
		turn, rounds = 200*time.Millisecond, 1
	}
	run := &latencyRun{load: load, epoch: time.Now()}
	if run.inserts, err = l.pool(ctx, 16); err != nil {
		return nil, nil, err
	}
	defer run.inserts.Close()
	following, err := openFollower(ctx, server, nil, run.workflowsOf("streams"), func(_ int, items []*v1.Item) error {
		for _, item := range items {
			run.arrived(item.GetMessage().GetMessage())
		}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	defer following.close()
	hearing, err := l.openFloor(ctx, run.workflowsOf("floor"), run.arrived)
	if err != nil {
		return nil, nil, err
	}
	defer hearing.close(ctx)

	for round := range rounds + 1 {
		streams, reads := newHistogram(), newHistogram()
		if err := run.turn(ctx, turn, run.workflowsOf("streams"), streams, following.failed); err != nil {
			return nil, nil, fmt.Errorf("streams: %w", err)
		}
		if err := run.turn(ctx, turn, run.workflowsOf("floor"), reads, hearing.failed); err != nil {
			return nil, nil, fmt.Errorf("floor: %w", err)
		}
		if round > 0 { // the first is a warm-up
			ours, floor = append(ours, streams), append(floor, reads)
		}
		l.Progress("latency: %d workflows, round %d of %d", load.workflows, round, rounds)
	}
	return ours, floor, nil
}

// latencyRun is a running load.
type latencyRun struct {
	load    latencyLoad
	inserts *pgxpool.Pool
	epoch   time.Time

	now atomic.Pointer[latencyTurn]
}

// latencyTurn is the arrivals of one turn.
type latencyTurn struct {
	times    *histogram
	missing  atomic.Int64
	complete chan struct{}
}

func (r *latencyRun) workflowsOf(whom string) []string {
	workflows := make([]string, r.load.workflows)
	for i := range workflows {
		workflows[i] = fmt.Sprintf("wf_%s_%d_%d", whom, r.epoch.UnixNano(), i)
	}
	return workflows
}

// arrived records the latency of a message whose text says when it was due.
func (r *latencyRun) arrived(text string) {
	now := time.Since(r.epoch)
	due, _, _ := strings.Cut(text, " ")
	nanoseconds, err := strconv.ParseInt(due, 10, 64)
	turn := r.now.Load()
	if err != nil || turn == nil {
		return
	}
	turn.times.record(now - time.Duration(nanoseconds))
	if turn.missing.Add(-1) == 0 {
		close(turn.complete)
	}
}

// turn inserts on schedule and returns when everything has arrived.
func (r *latencyRun) turn(ctx context.Context, length time.Duration, workflows []string, times *histogram, failed <-chan error) error {
	interval := time.Second / time.Duration(r.load.rate)
	total := int64(length / interval)
	if total < 1 {
		return fmt.Errorf("no insert is due in a turn of %v", length)
	}
	turn := &latencyTurn{times: times, complete: make(chan struct{})}
	turn.missing.Store(total)
	r.now.Store(turn)
	start := time.Now().Add(10 * time.Millisecond)
	var next atomic.Int64
	inserting, inserts := errgroup.WithContext(ctx)
	for range r.inserts.Config().MaxConns {
		inserting.Go(func() error {
			conn, err := r.inserts.Acquire(inserts)
			if err != nil {
				return err
			}
			defer conn.Release()
			// Each free inserter waits for the next insert, so all inserts are made in time as long as one inserter is free.
			for i := next.Add(1) - 1; i < total; i = next.Add(1) - 1 {
				due := start.Add(time.Duration(i) * interval)
				select {
				case <-time.After(time.Until(due)):
				case <-inserts.Done():
					return context.Cause(inserts)
				}
				text := strconv.FormatInt(int64(due.Sub(r.epoch)), 10) + " and a word or two"
				if _, err := conn.Exec(inserts, `insert into chatfeed.messages (workflow_id, message) values ($1, $2)`,
					workflows[int(i)%len(workflows)], text); err != nil {
					return fmt.Errorf("insert: %w", err)
				}
			}
			return nil
		})
	}
	if err := inserting.Wait(); err != nil {
		return err
	}
	select {
	case <-turn.complete:
		return nil
	case err := <-failed:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(10 * time.Second):
		return fmt.Errorf("%d of %d items have not arrived", turn.missing.Load(), total)
	}
}
