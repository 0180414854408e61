package bench

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// measured is what a scenario might report: two runs, the second its headline.
func measured(name string) Measured {
	return Measured{
		Scenario: Scenario{Name: name, Title: "Title of " + name, About: "About " + name + "."},
		Result: &Result{
			Runs: []Run{
				{Values: []Value{{Key: "callers", Number: 1}, {Key: "kind", Text: "small"}, {Key: "rows_per_s", Number: 1234.56}}},
				{Headline: true, Values: []Value{
					{Key: "callers", Number: 1024}, {Key: "kind", Text: "large"}, {Key: "rows_per_s", Number: 28189.4},
				}},
			},
			Plots: []Plot{{
				Name: name + "_plot", Title: "Rows", X: "callers", Y: "rows per second",
				Labels: []string{"1", "1,024"}, Series: []Series{{Name: "rows", Values: []float64{1234.56, 28189.4}}},
			}},
		},
	}
}

func TestJSONOfOneScenarioHasItsHeadlineAtTheTop(t *testing.T) {
	t.Parallel()
	report := &Report{Machine: Machine{CPUs: 2}, Measured: []Measured{measured("one")}}
	var text bytes.Buffer
	require.NoError(t, report.JSON(&text))
	decoder := json.NewDecoder(&text)
	var got map[string]any
	require.NoError(t, decoder.Decode(&got))
	require.False(t, decoder.More(), "exactly one object")
	require.Equal(t, "one", got["scenario"])
	require.Equal(t, 2.0, got["machine"].(map[string]any)["cpus"])
	require.Equal(t, 1024.0, got["callers"], "a whole number is not rounded")
	require.Equal(t, 28200.0, got["rows_per_s"])
	require.Equal(t, []any{
		map[string]any{"callers": 1.0, "kind": "small", "rows_per_s": 1230.0},
		map[string]any{"callers": 1024.0, "kind": "large", "rows_per_s": 28200.0},
	}, got["runs"])
}

func TestJSONKeepsTheOrderOfKeys(t *testing.T) {
	t.Parallel()
	report := &Report{Measured: []Measured{measured("one")}}
	var text bytes.Buffer
	require.NoError(t, report.JSON(&text))
	at := -1
	for _, key := range []string{`"scenario"`, `"machine"`, `"callers"`, `"kind"`, `"rows_per_s"`, `"runs"`} {
		next := strings.Index(text.String(), key)
		require.Greater(t, next, at, key)
		at = next
	}
}

func TestJSONOfSeveralScenariosHasEachUnderItsName(t *testing.T) {
	t.Parallel()
	report := &Report{Measured: []Measured{measured("one"), measured("two")}}
	var text bytes.Buffer
	require.NoError(t, report.JSON(&text))
	var got map[string]map[string]any
	require.NoError(t, json.Unmarshal(text.Bytes(), &got))
	require.Len(t, got, 3)
	require.Contains(t, got, "machine")
	require.Equal(t, 1024.0, got["one"]["callers"])
	require.Len(t, got["two"]["runs"], 2)
}

func TestAnInvalidNumberIsAnErrorThatNamesIt(t *testing.T) {
	t.Parallel()
	for _, bad := range []float64{math.NaN(), math.Inf(1)} {
		m := measured("one")
		m.Result.Runs[0].Values[2].Number = bad
		report := &Report{Measured: []Measured{m}}
		var text bytes.Buffer
		require.ErrorContains(t, report.JSON(&text), "one: rows_per_s is ")
		require.ErrorContains(t, report.Tables(&text), "one: rows_per_s is ")
		require.Empty(t, text.String())
	}
}

func TestTablesHaveHeadingsAndAlignedRows(t *testing.T) {
	t.Parallel()
	report := &Report{Measured: []Measured{measured("one")}}
	var text bytes.Buffer
	require.NoError(t, report.Tables(&text))
	require.Equal(t, `Title of one

  callers   kind  rows (per s)
        1  small         1,230
    1,024  large        28,200

`, text.String())
}

func TestNumbersHaveThreeDigitsAndThousandsApart(t *testing.T) {
	t.Parallel()
	for number, want := range map[float64]string{
		0: "0", 15: "15", 1024: "1,024", 1234567: "1,234,567", -1234: "-1,234",
		15.001: "15.0", 0.99961: "1.00", 0.012345: "0.0123", 1.5: "1.50", 99.96: "100", 999.9: "1,000", 123456.7: "123,000",
		-0.25: "-0.250",
	} {
		require.Equal(t, want, readable(number), "%v", number)
	}
}

func TestHeadingsHaveTheUnitOfTheKey(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]string{
		"callers":           "callers",
		"writer_vs_plain":   "writer vs plain",
		"floor_p50_ms":      "floor p50 (ms)",
		"encode_us":         "encode (µs)",
		"rows_per_s":        "rows (per s)",
		"cpu_s_per_million": "cpu (s per million)",
		"resident_mib":      "resident (MiB)",
		"memory_mb":         "memory (MB)",
		"cpu_percent":       "cpu (%)",
		"items":             "items",
		"s":                 "s",
	} {
		require.Equal(t, want, heading(key), key)
	}
}
