package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"chatfeed/cmd/internal/bench"
	"chatfeed/db"
	"chatfeed/internal/dbtest"
)

// row is a run as the JSON has it.
type row struct {
	Approach      string
	Watchers      float64
	P50           any `json:"p50_ms"`
	Missed        float64
	Changes       float64
	Limit         string
	WatcherCalls  float64 `json:"watcher_calls"`
	ServiceCalls  float64 `json:"service_calls"`
	WorkerCalls   float64 `json:"worker_calls"`
	Events        float64
	Actions       float64
	Transactions  float64
	TemporalCPU   float64 `json:"temporal_cpu_ms"`
	Stream        string
	P99Ratio      float64 `json:"p99_ratio"`
	BareCPU       float64 `json:"bare_cpu_s_per_million"`
	CPUPerMillion float64 `json:"cpu_s_per_million"`
}

// The whole comparison, with a workload of a second and few watchers: two more than the workflow and Temporal accept as updates in flight.
func TestEveryApproachIsMeasured(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	pool, err := db.Open(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	report, err := measureAll(t.Context(), &bench.Lab{
		DatabaseURL: url, Pool: pool, Short: true, Progress: t.Logf, Env: []string{asProgram + "=1"},
	})
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, report.Save(dir))
	speed, cost, fanOut := rows(t, dir, "speed"), rows(t, dir, "cost"), rows(t, dir, "fanout")

	alone := cost["nobody watches"][0]
	require.Equal(t, "none", speed["nobody watches"][0].P50)
	require.Positive(t, alone.TemporalCPU)
	for _, name := range []string{"polling, 0.5 s", "polling, adaptive"} {
		require.Greater(t, speed[name][0].Missed, 8.0, "of a burst of ten, a poll sees the last at best")
		require.Greater(t, cost[name][0].ServiceCalls, cost[name][0].WatcherCalls, "each poll describes and queries")
	}
	for name, limit := range map[string]string{"Update long poll": "8 watchers wait|in-flight updates", "log in the workflow": "in-flight updates"} {
		require.Equal(t, "none met", speed[name][0].Limit, name)
		require.Regexp(t, limit, speed[name][1].Limit)
		require.Greater(t, cost[name][0].Actions, alone.Actions, "updates are actions")
	}
	require.Zero(t, speed["log in the workflow"][0].Missed)
	require.Greater(t, cost["signal and query"][1].WatcherCalls, cost["signal and query"][0].WatcherCalls)
	require.Zero(t, speed["webhook"][1].Missed, "of 12 endpoints")
	for _, name := range []string{"feed, Connect", "feed, events", "feed, WebSocket"} {
		require.Len(t, speed[name], 2)
		for i, run := range speed[name] {
			require.Zero(t, run.Missed, name)
			require.Equal(t, 25.0, run.Changes)
			require.Equal(t, "none met", run.Limit)
			require.Zero(t, cost[name][i].ServiceCalls, "the feed calls no Temporal")
			require.Positive(t, cost[name][i].Transactions)
		}
		require.Less(t, cost[name][1].Events, 1.5*cost[name][0].Events, "watchers are not in the history")
	}
	require.Zero(t, speed["feed, by activities"][0].Missed)
	require.Len(t, fanOut, 1)
	require.Len(t, fanOut[""], 3)
	for _, run := range fanOut[""] {
		require.Positive(t, run.P99Ratio, run.Stream)
	}
	document, err := os.ReadFile(filepath.Join(dir, "approaches.md"))
	require.NoError(t, err)
	require.Contains(t, string(document), "<!-- measured: speed -->")
	require.Contains(t, string(document), "approaches/approaches_p99.svg")
}

// rows reads the runs of a section, by their approach.
func rows(t *testing.T, dir, section string) map[string][]row {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "approaches", section+".json"))
	require.NoError(t, err)
	var read struct{ Runs []row }
	require.NoError(t, json.Unmarshal(text, &read))
	all := make(map[string][]row)
	for _, r := range read.Runs {
		all[r.Approach] = append(all[r.Approach], r)
	}
	return all
}
