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

// histogram counts durations from 1 µs to 60 s, to three digits; what is shorter or longer counts as these. Its methods
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
	_ = h.counts.RecordValue(min(max(d, shortest), longest).Microseconds()) // it fails only outside of its bounds
}

func (h *histogram) count() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.counts.TotalCount()
}

// ms returns, in milliseconds, what the given percentage of durations does not exceed; zero when there are none.
func (h *histogram) ms(percent float64) float64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return float64(h.counts.ValueAtPercentile(percent)) / 1000
}

// turns is the durations of each turn of several.
type turns []*histogram

// ms returns the median of what [histogram.ms] is in each turn.
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

// median returns the value in the middle, of an even number the greater of the two.
func median[T cmp.Ordered](values []T) T {
	return slices.Sorted(slices.Values(values))[len(values)/2]
}
