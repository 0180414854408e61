package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"chatfeed/cmd/internal/bench"
)

// findings is all that was measured.
type findings struct {
	runs    []*measured
	fanOuts []fannedOut
}

// fannedOut is a run of the feed, and what the same bytes take without it.
type fannedOut struct {
	feed *measured
	bare *bare
}

const (
	speedAbout = "How soon a watcher has a change, and how many of the changes it never sees.\n\n" +
		"`p50_ms` and `p99_ms` are from the moment at which the workflow's code makes a change to the moment at which a watcher has it, over " +
		"all watchers and all changes that they have seen. `missed` is how many changes a watcher has not seen, on average, of `changes`. " +
		"`limit` is what was refused, in the words of who refused it. An approach is not measured with more watchers after one with which a " +
		"twentieth of the calls were refused, watchers got nothing, or the workflow did not end well."
	costAbout = "What one change costs, everything divided by the number of changes. The workload's own signals, tasks and events are part of " +
		"each row: the first row has nothing else.\n\n" +
		"`watcher_calls` are HTTP requests of watchers, or to them; a stream is one. `service_calls` and `worker_calls` are calls to Temporal of " +
		"the server that watchers talk to, and of the worker with the workflow and its activities. `events` are those of the workflow's history. " +
		"`actions` are what Temporal Cloud bills: starts, timers, signals, accepted updates, queries, attempts of activities, and the workflow " +
		"tasks with local activities. `transactions` are those of PostgreSQL, from the start of the programs to their end. The processor time is " +
		"that of three processes: the server that watchers talk to, the worker, and Temporal."
	fanoutAbout = "What the feed adds to a bare fan-out. The frames that one watcher of the feed has received are sent again, with the same times " +
		"between them, through a bare net/http handler (for sockets a bare one of coder/websocket) to as many watchers, in a process of its own " +
		"that knows no database, right after the run of the feed.\n\n" +
		"The times are from PostgreSQL's stamp of an item, before its commit, to its receipt by one watcher; for the bare fan-out from the " +
		"request that publishes a frame. The processor time is that of the server process."
)

// report returns the findings as tables and plots.
func (f *findings) report() []bench.Measured {
	speed, cost, fanOut := new(bench.Result), new(bench.Result), new(bench.Result)
	for _, m := range f.runs {
		speed.Runs = append(speed.Runs, bench.Run{Values: m.speed()})
		cost.Runs = append(cost.Runs, bench.Run{Values: m.cost()})
	}
	for _, o := range f.fanOuts {
		fanOut.Runs = append(fanOut.Runs, bench.Run{Values: o.values()})
	}
	speed.Plots = []bench.Plot{
		f.plot("approaches_p99", "99th percentile of the time to a watcher", "ms", true, func(m *measured) float64 { return percentileOf(m, 99) }),
		f.plot("approaches_missed", "Changes that a watcher misses", "% of the changes", false,
			func(m *measured) float64 { return 100 * m.missed / float64(m.changes) }),
	}
	cost.Plots = []bench.Plot{
		f.plot("approaches_actions", "Temporal actions", "per change", true, func(m *measured) float64 { return m.each(m.actions) }),
		f.plot("approaches_temporal_cpu", "Processor time of Temporal", "ms per change", true,
			func(m *measured) float64 { return m.each(int(m.temporalCPU.Microseconds())) / 1000 }),
	}
	all := []bench.Measured{
		{Scenario: bench.Scenario{Name: "speed", Title: "How soon, and how completely", About: speedAbout}, Result: speed},
		{Scenario: bench.Scenario{Name: "cost", Title: "What a change costs", About: costAbout}, Result: cost},
	}
	if len(f.fanOuts) > 0 {
		all = append(all, bench.Measured{
			Scenario: bench.Scenario{Name: "fanout", Title: "The feed, and a bare fan-out of the same bytes", About: fanoutAbout}, Result: fanOut,
		})
	}
	return all
}

// each divides by the number of changes.
func (m *measured) each(n int) float64 { return float64(n) / float64(m.changes) }

// percentileOf returns zero where nobody has received anything, which no axis shows.
func percentileOf(m *measured, percent int) float64 {
	if len(m.took) == 0 {
		return 0
	}
	return percentile(m.took, percent)
}

func (m *measured) speed() []bench.Value {
	ms := func(key string, percent int) bench.Value {
		if len(m.took) == 0 {
			return bench.Value{Key: key, Text: "none"}
		}
		return bench.Value{Key: key, Number: percentile(m.took, percent)}
	}
	return []bench.Value{
		{Key: "approach", Text: m.approach.name},
		{Key: "watchers", Number: float64(m.watchers)},
		ms("p50_ms", 50),
		ms("p99_ms", 99),
		{Key: "missed", Number: m.missed},
		{Key: "changes", Number: float64(m.changes)},
		{Key: "limit", Text: cmp.Or(m.limit, "none met")},
	}
}

func (m *measured) cost() []bench.Value {
	values := []bench.Value{{Key: "approach", Text: m.approach.name}, {Key: "watchers", Number: float64(m.watchers)}}
	for _, v := range []struct {
		key string
		n   int
	}{
		{"watcher_calls", m.watcherCalls},
		{"service_calls", m.serviceCalls},
		{"worker_calls", m.workerCalls},
		{"events", m.events},
		{"actions", m.actions},
		{"transactions", m.transactions},
	} {
		values = append(values, bench.Value{Key: v.key, Number: m.each(v.n)})
	}
	return append(values,
		bench.Value{Key: "service_cpu_ms", Number: m.each(int(m.serviceCPU.Microseconds())) / 1000},
		bench.Value{Key: "worker_cpu_ms", Number: m.each(int(m.workerCPU.Microseconds())) / 1000},
		bench.Value{Key: "temporal_cpu_ms", Number: m.each(int(m.temporalCPU.Microseconds())) / 1000},
	)
}

func (o fannedOut) values() []bench.Value {
	million := func(seconds float64) float64 { return seconds / float64(o.feed.changes*o.feed.watchers) * 1e6 }
	feed, bare := million(o.feed.serviceCPU.Seconds()), million(o.bare.cpu.Seconds())
	ratio := bench.Value{Key: "cpu_ratio", Number: feed / bare}
	if bare == 0 { // less than a tick of 10 ms
		ratio = bench.Value{Key: "cpu_ratio", Text: "too short"}
	}
	return []bench.Value{
		{Key: "stream", Text: strings.TrimPrefix(o.feed.approach.name, "feed, ")},
		{Key: "watchers", Number: float64(o.feed.watchers)},
		{Key: "p50_ms", Number: percentile(o.feed.delivered, 50)},
		{Key: "p99_ms", Number: percentile(o.feed.delivered, 99)},
		{Key: "bare_p50_ms", Number: percentile(o.bare.took, 50)},
		{Key: "bare_p99_ms", Number: percentile(o.bare.took, 99)},
		{Key: "p99_ratio", Number: percentile(o.feed.delivered, 99) / percentile(o.bare.took, 99)},
		{Key: "cpu_s_per_million", Number: feed},
		{Key: "bare_cpu_s_per_million", Number: bare},
		ratio,
	}
}

// plot shows a figure of each approach, a series for each number of watchers.
func (f *findings) plot(name, title, y string, log bool, figure func(*measured) float64) bench.Plot {
	p := bench.Plot{Name: name, Title: title, X: "approach; a colour for each number of watchers", Y: y, Bars: true, Log: log}
	var names []string
	var counts []int
	for _, m := range f.runs {
		if m.watchers == 0 {
			continue
		}
		if !slices.Contains(names, m.approach.name) {
			names = append(names, m.approach.name)
			p.Labels = append(p.Labels, label(m.approach.name))
		}
		if !slices.Contains(counts, m.watchers) {
			counts = append(counts, m.watchers)
		}
	}
	slices.Sort(counts)
	lines := 0
	for _, l := range p.Labels {
		lines = max(lines, strings.Count(l, "\n"))
	}
	for i, l := range p.Labels { // of the same height, so that they begin on one line
		p.Labels[i] += strings.Repeat("\n ", lines-strings.Count(l, "\n"))
	}
	for _, n := range counts {
		s := bench.Series{Name: fmt.Sprint(n), Values: make([]float64, len(names))}
		for _, m := range f.runs {
			if m.watchers == n {
				s.Values[slices.Index(names, m.approach.name)] = figure(m)
			}
		}
		p.Series = append(p.Series, s)
	}
	return p
}

// label breaks the name of an approach into short lines.
func label(name string) string {
	lines := []string{""}
	for word := range strings.FieldsSeq(strings.ReplaceAll(name, ", ", " ")) {
		last := &lines[len(lines)-1]
		switch {
		case *last == "":
			*last = word
		case len(*last)+len(word) < 8:
			*last += " " + word
		default:
			lines = append(lines, word)
		}
	}
	return strings.Join(lines, "\n")
}
