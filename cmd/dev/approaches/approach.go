package main

import (
	"context"

	"chatfeed/cmd/internal/bench"
)

// approach is a way to watch a workflow.
type approach struct {
	name   string
	way    way          // how the workflow lets watchers know
	asks   bool         // watchers call the service, which calls Temporal
	listen bool         // watchers are endpoints, which are called
	format bench.Format // of the feed's streams; empty where the feed has no part
	only   []int        // numbers of watchers to measure; nil for all
	// watch follows as one watcher until ctx ends, and gives what it receives to r. It calls watching once, as soon as it would get the next
	// change. What Temporal refuses it tells r; an error is a fault of the measurement.
	watch func(ctx context.Context, r *run, watcher int, watching func()) error
}

// approaches returns what is compared, in the order of the report. The first is the workload alone.
func approaches() []approach {
	return []approach{
		{name: "nobody watches", way: byLongPoll, only: []int{0}},
		{name: "polling, 0.5 s", way: byQuery, asks: true, watch: pollAtRest},
		{name: "polling, adaptive", way: byQuery, asks: true, watch: pollAdaptively},
		{name: "Update long poll", way: byLongPoll, asks: true, watch: longPoll},
		{name: "log in the workflow", way: byLog, asks: true, watch: readLog},
		{name: "signal and query", way: byTelling, asks: true, listen: true, watch: beTold},
		{name: "webhook", way: byPush, listen: true, watch: bePushed},
		{name: "feed, by activities", way: byActivity, format: bench.AsProtobuf, only: []int{10}, watch: follow},
		{name: "feed, Connect", way: byFeed, format: bench.AsProtobuf, watch: follow},
		{name: "feed, events", way: byFeed, format: bench.AsEvents, watch: follow},
		{name: "feed, WebSocket", way: byFeed, format: bench.AsMessages, watch: follow},
	}
}

// watchers returns the numbers of watchers to measure with.
func (a approach) watchers(all []int) []int {
	if a.only != nil {
		return a.only
	}
	return all
}
