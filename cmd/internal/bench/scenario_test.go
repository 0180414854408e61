package bench

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestLatencyComparesStreamsWithTheFloor(t *testing.T) {
	t.Parallel()
	result := runShort(t, latency(), "workflows", "rate_per_s", "p50_ms", "p99_ms", "max_ms",
		"floor_p50_ms", "floor_p99_ms", "floor_max_ms", "p50_ratio", "p99_ratio")
	require.True(t, result.Runs[0].Headline)
}

func TestASlowInsertDelaysNoOtherAndCountsFromWhenItWasDue(t *testing.T) {
	t.Parallel()
	lab := newLab(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	run := &latencyRun{load: latencyLoad{workflows: 2, rate: 100}, epoch: time.Now()}
	workflows := run.workflowsOf("floor")
	var err error
	run.inserts, err = lab.pool(ctx, 16)
	require.NoError(t, err)
	t.Cleanup(run.inserts.Close)
	floor, err := lab.openFloor(ctx, workflows, run.arrived)
	require.NoError(t, err)
	t.Cleanup(func() { floor.close(ctx) })

	// Nobody can write to the first workflow until all of the second is there.
	tx, err := lab.Pool.Begin(ctx)
	require.NoError(t, err)
	_, err = tx.Exec(ctx, `insert into chatfeed.messages (workflow_id, message) values ($1, 'open')`, workflows[0])
	require.NoError(t, err)
	released := make(chan error, 1)
	go func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for written := 0; written < 10; <-tick.C {
			if err := lab.Pool.QueryRow(ctx, `select count(*) from chatfeed.messages where workflow_id = $1`,
				workflows[1]).Scan(&written); err != nil {
				break
			}
		}
		released <- tx.Rollback(ctx)
	}()
	times := newHistogram()
	err = run.turn(ctx, 200*time.Millisecond, workflows, times, floor.failed)

	require.NoError(t, <-released, "the second workflow waits for the first")
	require.NoError(t, err)
	require.Equal(t, int64(20), times.count())
	require.GreaterOrEqual(t, times.ms(100), 190.0, "the first insert was due 190 ms before the last")
}

func TestWriteComparesTheWriterWithSingleCommits(t *testing.T) {
	t.Parallel()
	lab := newLab(t)
	result := runShortIn(t, lab, write(), "callers", "notified_per_s", "plain_per_s", "writer_per_s",
		"writer_vs_plain", "writer_vs_notified")
	require.Len(t, result.Runs, 2)
	var left bool
	require.NoError(t, lab.Pool.QueryRow(t.Context(), `select to_regnamespace('chatfeed_bench') is not null`).Scan(&left))
	require.False(t, left, "what the scenario has made is gone")
}

func TestATurnThatMeasuresNothingIsAnErrorThatSaysSo(t *testing.T) {
	t.Parallel()
	_, err := writeTurn(t.Context(), 2, 0, func(context.Context, int) error { return nil })
	require.ErrorContains(t, err, "no row was written in a turn of 0s")
	run := &latencyRun{load: latencyLoad{workflows: 1, rate: 100}}
	err = run.turn(t.Context(), time.Millisecond, []string{"wf"}, newHistogram(), nil)
	require.ErrorContains(t, err, "no insert is due in a turn of 1ms")
	idle := &target{streamSet: &streamSet{ages: newHistogram()}}
	require.ErrorContains(t, idle.worked(), "nothing was delivered")
	idle.counted = 1
	require.ErrorContains(t, idle.worked(), "nothing was delivered")
	idle.streamSet.ages.record(time.Millisecond)
	require.ErrorContains(t, idle.worked(), "processor time")
	idle.cpu = time.Millisecond
	require.NoError(t, idle.worked())
}

func TestAServerWithWrongFlagsIsAnErrorThatSaysWhy(t *testing.T) {
	t.Parallel()
	_, err := newLab(t).Serve(t.Context(), "--sweep=never")
	require.ErrorContains(t, err, "serve does not serve")
	require.ErrorContains(t, err, "--sweep")
}
