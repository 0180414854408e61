package bench

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

const (
	shortest = time.Microsecond
	longest  = time.Minute
)

// histogram counts durations from 1 µs to 60 s, to three digits; values outside are counted as the nearest of these. Its methods
// may be called from any goroutine.
type histogram struct {
	mu     sync.Mutex
	counts *hdrhistogram.Histogram // in microseconds
}

func newHistogram() *histogram {
	return &histogram{counts: hdrhistogram.New(shortest.Microseconds(), longest.Microseconds(), 3)}
}

func (h *histogram) record(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	_ = h.counts.RecordValue(min(max(d, shortest), longest).Microseconds()) // fails only outside of its bounds
}

func (h *histogram) count() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.counts.TotalCount()
}

// ms returns a percentile in milliseconds; zero if there are no durations.
func (h *histogram) ms(percent float64) float64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return float64(h.counts.ValueAtPercentile(percent)) / 1000
}

// turns is the durations of several turns.
type turns []*histogram

// ms returns the median over the turns of [histogram.ms].
func (t turns) ms(percent float64) float64 { return median(t.each(percent)) }

// max returns the longest duration of all turns, in milliseconds.
func (t turns) max() float64 { return slices.Max(t.each(100)) }

func (t turns) each(percent float64) []float64 {
	each := make([]float64, len(t))
	for i, h := range t {
		each[i] = h.ms(percent)
	}
	return each
}

// median returns the middle value, or the greater of the two middle ones.
func median[T cmp.Ordered](values []T) T {
	return slices.Sorted(slices.Values(values))[len(values)/2]
}
