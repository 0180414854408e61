// Package bench measures chatfeed. Each scenario alternates between a baseline and chatfeed in the same run, so that other load
// on the machine affects both, and reports their ratio.
package bench

import "context"

// Scenario is one measurement.
type Scenario struct {
	Name  string
	Title string
	// About says what is measured, what the baseline is, and in which units the keys are; it is Markdown.
	About string
	Run   func(ctx context.Context, lab *Lab) (*Result, error)
}

// Scenarios returns all scenarios, in the order in which they are run and documented.
func Scenarios() []Scenario {
	return []Scenario{latency(), fanout(), write(), catchup(), herd(), stream(), steady()}
}

// Result is what a scenario has measured.
type Result struct {
	Runs  []Run  // at least one, all with the same keys
	Plots []Plot // drawn from the runs
}

// Run is one set of conditions and what was measured under them, in the order in which it is shown.
type Run struct {
	Headline bool // its values are also those of the scenario; at most one run
	Values   []Value
}

// Value is a condition (callers, streams, …) or a measured figure under the name that JSON has for it.
type Value struct {
	Key    string
	Number float64
	Text   string // used instead of Number if it is not empty
}

// Plot is a picture of a scenario's runs: a line or a group of bars for each series.
type Plot struct {
	Name   string // of its file
	Title  string
	X, Y   string // what the axes show, with units
	Bars   bool
	Log    bool     // the Y axis is logarithmic
	Labels []string // of the places on the X axis, one for each run
	Series []Series
}

// Series is one line of a plot, with a value for each label.
type Series struct {
	Name   string
	Values []float64
}
