package bench

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"syscall"
	"time"
)

// fanout measures the cost of delivering items to many streams.
func fanout() Scenario {
	return Scenario{
		Name:  "fanout",
		Title: "Deliveries to many streams",
		About: fanoutAbout,
		Run:   runFanout,
	}
}

const fanoutAbout = "Streams over HTTP/1.1, of Connect (protobuf, JSON), of server-sent events or of WebSockets, are open on one workflow, " +
	"or two on each of many, while items of 200 bytes are written at a fixed rate. The baseline is a process of its own with a bare " +
	"net/http handler, for sockets a bare one of coder/websocket, that writes and flushes the very same bytes to as many streams; it gets each frame by a POST and knows no database. Both have all their streams open " +
	"during the whole run, and deliver in turns.\n\n" +
	"`p50_ms`, `p99_ms` and `max_ms` are from the start of the insert (of the POST) to an item's receipt by one stream. " +
	"`cpu_s_per_million` is the server process's processor time for a million deliveries. `kib_per_stream` is how much " +
	"resident memory the server process grows by for each idle stream, garbage included."

// fanoutLoad is the parameters of one run.
type fanoutLoad struct {
	streams, workflows int
	format             Format
	items              float64 // written per second, over all workflows
	headline           bool
}

func fanoutLoads(short bool) []fanoutLoad {
	if short {
		return []fanoutLoad{
			{streams: 50, workflows: 1, format: AsProtobuf, items: 400, headline: true},
			{streams: 50, workflows: 1, format: AsJSON, items: 400},
			{streams: 50, workflows: 1, format: AsEvents, items: 400},
			{streams: 50, workflows: 1, format: AsMessages, items: 400},
			{streams: 50, workflows: 25, format: AsProtobuf, items: 2000},
		}
	}
	// Each stream needs an open file here, for either server.
	many := min(10_000, (openFiles()-500)/4*2)
	return []fanoutLoad{
		{streams: 1000, workflows: 1, format: AsProtobuf, items: 20, headline: true},
		{streams: 1000, workflows: 1, format: AsJSON, items: 20},
		{streams: 1000, workflows: 1, format: AsEvents, items: 20},
		{streams: 1000, workflows: 1, format: AsMessages, items: 20},
		{streams: many, workflows: 1, format: AsProtobuf, items: 2},
		{streams: many, workflows: 1, format: AsJSON, items: 2},
		{streams: many, workflows: many / 2, format: AsProtobuf, items: 600},
	}
}

// openFiles returns how many files this process may open. Go has already raised the limit to the maximum.
func openFiles() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 1024
	}
	return int(min(limit.Cur, 1<<20))
}

func runFanout(ctx context.Context, lab *Lab) (*Result, error) {
	result := &Result{}
	for i, c := range fanoutLoads(lab.Short) {
		lab.Progress("%d streams on %d workflows, %s", c.streams, c.workflows, c.format)
		run, err := runFanoutLoad(ctx, lab, c, fmt.Sprintf("fanout_%d", i))
		if err != nil {
			return nil, fmt.Errorf("%d streams on %d workflows, %s: %w", c.streams, c.workflows, c.format, err)
		}
		result.Runs = append(result.Runs, run)
	}
	result.Plots = fanoutPlots(result.Runs)
	return result, nil
}

// target is a server with its streams, and how items are written to it.
type target struct {
	server    *Process
	streamSet *streamSet
	publish   func(ctx context.Context, workflows []string) error
	resident  float64 // KiB per stream, idle

	closeWriter func() // nil where there is none
	next        int    // the workflow of the next item

	published int // deliveries due so far
	counted   int // deliveries whose processor time was measured
	cpu       time.Duration
	busy      time.Duration
}

func runFanoutLoad(ctx context.Context, lab *Lab, c fanoutLoad, prefix string) (run Run, err error) {
	began := time.Now()
	workflows := make([]string, c.workflows)
	for i := range workflows {
		workflows[i] = prefix + "_" + strconv.Itoa(i)
	}
	feed, err := feedTarget(ctx, lab, began)
	if err != nil {
		return Run{}, err
	}
	defer func() { err = errors.Join(err, feed.end()) }()
	base, err := baselineTarget(ctx, lab, began, c.format, workflows)
	if err != nil {
		return Run{}, err
	}
	defer func() { err = errors.Join(err, base.end()) }()
	for _, s := range []*target{feed, base} {
		if err := s.open(ctx, began, c, workflows); err != nil {
			return Run{}, err
		}
	}
	// Many short turns, so that other load on the machine affects both.
	block, turns := 1500*time.Millisecond, 8
	if lab.Short {
		block, turns = 150*time.Millisecond, 2
	}
	if err := errors.Join(feed.deliver(ctx, c, workflows, block), base.deliver(ctx, c, workflows, block)); err != nil {
		return Run{}, fmt.Errorf("warm up: %w", err)
	}
	feed.forget()
	base.forget()
	for range turns {
		if err := errors.Join(feed.deliver(ctx, c, workflows, block), base.deliver(ctx, c, workflows, block)); err != nil {
			return Run{}, err
		}
	}
	if err := feed.worked(); err != nil {
		return Run{}, err
	}
	if err := base.worked(); err != nil {
		return Run{}, fmt.Errorf("baseline: %w", err)
	}
	return fanoutRun(c, feed, base), nil
}

func fanoutRun(c fanoutLoad, feed, base *target) Run {
	million := func(s *target) float64 { return s.cpu.Seconds() / float64(s.counted) * 1e6 }
	return Run{Headline: c.headline, Values: []Value{
		{Key: "streams", Number: float64(c.streams)},
		{Key: "workflows", Number: float64(c.workflows)},
		{Key: "format", Text: string(c.format)},
		{Key: "deliveries_per_s", Number: float64(feed.counted) / feed.busy.Seconds()},
		{Key: "p50_ms", Number: feed.streamSet.ages.ms(50)},
		{Key: "p99_ms", Number: feed.streamSet.ages.ms(99)},
		{Key: "max_ms", Number: feed.streamSet.ages.ms(100)},
		{Key: "baseline_p50_ms", Number: base.streamSet.ages.ms(50)},
		{Key: "baseline_p99_ms", Number: base.streamSet.ages.ms(99)},
		{Key: "p99_ratio", Number: feed.streamSet.ages.ms(99) / base.streamSet.ages.ms(99)},
		{Key: "cpu_s_per_million", Number: million(feed)},
		{Key: "baseline_cpu_s_per_million", Number: million(base)},
		{Key: "cpu_ratio", Number: million(feed) / million(base)},
		{Key: "kib_per_stream", Number: feed.resident},
		{Key: "baseline_kib_per_stream", Number: base.resident},
		{Key: "mem_ratio", Number: feed.resident / base.resident},
	}}
}

func fanoutPlots(runs []Run) []Plot {
	column := func(key string) []float64 {
		var values []float64
		for _, run := range runs {
			for _, value := range run.Values {
				if value.Key == key {
					values = append(values, value.Number)
				}
			}
		}
		return values
	}
	var labels []string
	for _, run := range runs {
		label := readable(run.Values[0].Number) + "\n" + run.Values[2].Text
		if workflows := run.Values[1].Number; workflows > 1 {
			label = readable(run.Values[0].Number) + "\non " + readable(workflows)
		}
		labels = append(labels, label)
	}
	plot := func(name, title, y, key string) Plot {
		return Plot{
			Name: name, Title: title, X: "streams on one workflow and their format, or on many workflows", Y: y, Bars: true, Labels: labels,
			Series: []Series{{"chatfeed", column(key)}, {"baseline", column("baseline_" + key)}},
		}
	}
	return []Plot{
		plot("fanout_cpu", "Processor time of the server", "s per million deliveries", "cpu_s_per_million"),
		plot("fanout_memory", "Resident memory of the server", "KiB per idle stream", "kib_per_stream"),
	}
}
