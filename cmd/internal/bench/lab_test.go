package bench

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"chatfeed/db"
	"chatfeed/internal/dbtest"
)

// AsProgram in the environment makes the test binary the chatfeed program; see TestMain.
const AsProgram = "CHATFEED_TEST_AS_PROGRAM"

// newLab makes a lab on a database of the test's own, for the smallest runs.
func newLab(t *testing.T) *Lab {
	t.Helper()
	url := dbtest.URL(t)
	pool, err := db.Open(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return &Lab{DatabaseURL: url, Pool: pool, Short: true, Progress: t.Logf, Env: []string{AsProgram + "=1"}}
}

// runShort runs a scenario in a lab and checks that each run has the keys, in order, with values that are finite and
// positive.
func runShort(t *testing.T, scenario Scenario, keys ...string) *Result {
	t.Helper()
	return runShortIn(t, newLab(t), scenario, keys...)
}

func runShortIn(t *testing.T, lab *Lab, scenario Scenario, keys ...string) *Result {
	t.Helper()
	result, err := scenario.Run(t.Context(), lab)
	require.NoError(t, err)
	require.NotEmpty(t, result.Runs)
	headlines := 0
	for _, run := range result.Runs {
		var found []string
		for _, value := range run.Values {
			found = append(found, value.Key)
			if value.Text == "" {
				require.False(t, math.IsNaN(value.Number) || math.IsInf(value.Number, 0), "%s is %v", value.Key, value.Number)
				require.Positive(t, value.Number, value.Key)
			}
		}
		require.Equal(t, keys, found)
		if run.Headline {
			headlines++
		}
	}
	require.LessOrEqual(t, headlines, 1)
	for _, plot := range result.Plots {
		for _, series := range plot.Series {
			require.Len(t, series.Values, len(plot.Labels), "%s of %s", series.Name, plot.Name)
		}
	}
	return result
}
