package bench

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestHistogramTakesDurationsFromManyGoroutines(t *testing.T) {
	t.Parallel()
	h := newHistogram()
	var recording sync.WaitGroup
	for g := range 10 {
		recording.Go(func() {
			for i := range 100 {
				h.record(time.Duration(100*g+i+1) * time.Millisecond)
			}
		})
	}
	recording.Wait()
	require.Equal(t, int64(1000), h.count())
	require.InEpsilon(t, 500, h.ms(50), 0.002)
	require.InEpsilon(t, 990, h.ms(99), 0.002)
	require.InEpsilon(t, 1000, h.ms(100), 0.002)
}

func TestHistogramCountsWhatIsOutOfItsBounds(t *testing.T) {
	t.Parallel()
	h := newHistogram()
	h.record(0)
	h.record(-time.Second)
	require.InDelta(t, 0.001, h.ms(100), 1e-9)
	h.record(time.Hour)
	require.Equal(t, int64(3), h.count())
	require.InEpsilon(t, 60_000, h.ms(100), 0.002)
}

func TestOneStallDoesNotDecideTheMedianOfTurns(t *testing.T) {
	t.Parallel()
	var all turns
	for _, turn := range [][]time.Duration{{1, 1, 4}, {1, 2, 900}, {1, 3, 5}} {
		h := newHistogram()
		for _, d := range turn {
			h.record(d * time.Millisecond)
		}
		all = append(all, h)
	}
	require.InEpsilon(t, 2, all.ms(50), 0.002)
	require.InEpsilon(t, 5, all.ms(99), 0.002)
	require.InEpsilon(t, 900, all.max(), 0.002)
}
