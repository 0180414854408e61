package bench

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/plot"
)

func TestPlotsAreWellFormedPicturesWithTheirWords(t *testing.T) {
	t.Parallel()
	for name, p := range map[string]Plot{
		"lines":             {},
		"bars":              {Bars: true},
		"logarithmic lines": {Log: true},
		"logarithmic bars":  {Bars: true, Log: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p.Title, p.X, p.Y = "A title", "streams", "milliseconds"
			p.Labels = []string{"one", "two", "three"}
			p.Series = []Series{
				{Name: "ours", Values: []float64{0.5, math.NaN(), 70}},
				{Name: "floor", Values: []float64{0, 3, math.Inf(1)}},
			}
			picture, err := p.svg()
			require.NoError(t, err)
			words := texts(t, picture)
			for _, want := range []string{"A title", "streams", "milliseconds", "one", "two", "three", "ours", "floor"} {
				require.Contains(t, words, want)
			}
			require.NotContains(t, string(picture), "NaN")
			require.NotContains(t, string(picture), "Inf")
			require.Contains(t, string(picture), "fill:#FFFFFF", "a white ground")
		})
	}
}

func texts(t *testing.T, picture []byte) []string {
	t.Helper()
	var found []string
	decoder := xml.NewDecoder(bytes.NewReader(picture))
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return found
		}
		require.NoError(t, err)
		if text, ok := token.(xml.CharData); ok {
			found = append(found, string(text))
		}
	}
}

func TestAPlotThatCannotBeDrawnIsAnError(t *testing.T) {
	t.Parallel()
	_, err := Plot{Labels: []string{"1"}, Series: []Series{{Name: "s"}}}.svg()
	require.ErrorContains(t, err, `"s" has 0 values for 1 labels`)
	_, err = Plot{Log: true, Labels: []string{"1"}, Series: []Series{{Name: "s", Values: []float64{0}}}}.svg()
	require.ErrorContains(t, err, "nothing to show")
}

func TestTicksAreRoundAndReachBeyondTheValues(t *testing.T) {
	t.Parallel()
	labels := func(ticks plot.ConstantTicks) []string {
		var found []string
		for _, tick := range ticks {
			found = append(found, tick.Label)
		}
		return found
	}
	require.Equal(t, []string{"0", "0.5", "1", "1.5", "2", "2.5"}, labels(linearTicks([]float64{2.1, 0.3})))
	require.Equal(t, []string{"0", "1,000", "2,000", "3,000", "4,000", "5,000"}, labels(linearTicks([]float64{4100})))
	require.Equal(t, []string{"0.2", "0.5", "1", "2", "5"}, labels(logTicks([]float64{0.3, 4})))
	require.Equal(t, []string{"0.1", "1", "10", "100", "1,000", "10,000"}, labels(logTicks([]float64{0.3, 4000})))
	require.Equal(t, "1", labels(linearTicks([]float64{0}))[5])
	for most := 1.0; most < 100; most += 0.7 {
		ticks := linearTicks([]float64{most})
		require.GreaterOrEqual(t, ticks[len(ticks)-1].Value, most)
		require.Less(t, ticks[len(ticks)-2].Value, most)
		require.LessOrEqual(t, len(ticks), 11)
	}
}
