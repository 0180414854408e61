package main

import (
	"slices"
	"sync/atomic"
	"time"

	"chatfeed/cmd/internal/bench"
)

// receipts is when each watcher has first had each change. Its methods may be called from any goroutine.
type receipts struct {
	at       [][]atomic.Int64 // by watcher and change, counted from 0; nanoseconds since 1970, or 0
	unwanted atomic.Int64     // changes that were never made
}

func newReceipts(watchers, changes int) *receipts {
	r := &receipts{at: make([][]atomic.Int64, watchers)}
	for i := range r.at {
		r.at[i] = make([]atomic.Int64, changes)
	}
	return r
}

// take notes the changes whose stamps are in what a watcher has received.
func (r *receipts) take(watcher int, received []byte) {
	now := time.Now().UnixNano()
	bench.Stamps(received, func(n int64) {
		if n < 1 || n > int64(len(r.at[watcher])) {
			r.unwanted.Add(1)
			return
		}
		r.at[watcher][n-1].CompareAndSwap(0, now)
	})
}

// settled reports whether every watcher has the last change.
func (r *receipts) settled() bool {
	return !slices.ContainsFunc(r.at, func(changes []atomic.Int64) bool { return changes[len(changes)-1].Load() == 0 })
}

// since returns how long after the given times watchers had the changes, in order, and how many of them each watcher has missed.
func (r *receipts) since(made []int64) (took []time.Duration, missed []int) {
	missed = make([]int, len(r.at))
	for watcher, changes := range r.at {
		for n, at := range made {
			if received := changes[n].Load(); received != 0 {
				took = append(took, time.Duration(received-at))
			} else {
				missed[watcher]++
			}
		}
	}
	slices.Sort(took)
	return took, missed
}

// percentile returns a percentile of durations that are in order, in milliseconds.
func percentile(took []time.Duration, percent int) float64 {
	return float64(took[min(len(took)*percent/100, len(took)-1)].Microseconds()) / 1000
}
