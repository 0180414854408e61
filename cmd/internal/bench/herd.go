package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// herd measures how soon all clients of a server that was killed are up to date again.
func herd() Scenario {
	return Scenario{
		Name:  "herd",
		Title: "All streams return at once",
		About: herdAbout,
		Run:   runHerd,
	}
}

const herdAbout = "Five streams are open on each workflow, of which each has a history of 300 items: three with all of it (in " +
	"every tenth workflow one of them has nothing yet), one 5 items behind and one 40. The server process is killed, three more " +
	"items are written to each workflow, and a new server starts on the same port. Each client returns by itself with the cursor " +
	"of its last item, after up to 100 ms by random, after up to twice that when it fails again, and so on up to 800 ms; it " +
	"checks that each item after its cursor comes, once and in order. The baseline is the same herd on a bare net/http handler " +
	"that has the very same bytes in memory. They take turns, and of each the turn is shown " +
	"that took the median time.\n\n" +
	"All times begin when the new server's process is started: `seconds` is until the last stream is up to date, " +
	"`p50_ms`, `p99_ms` and `max_ms` are over the streams. `items` is how many were delivered, `catchup_queries` how many " +
	"queries for items that took."

// herdSize is the parameters of a run.
type herdSize struct {
	workflows int
	history   int // items of each workflow at the start
	missed    int // items written to each while the server is down
	turns     int
}

const herdStreams = 5 // of each workflow

func sizeOfHerd(short bool) herdSize {
	if short {
		return herdSize{workflows: 10, history: 300, missed: 3, turns: 2}
	}
	return herdSize{workflows: 1000, history: 300, missed: 3, turns: 3}
}

// behind returns how many items of the history the streams of the nth workflow lack.
func (f herdSize) behind(workflow int) [herdStreams]int {
	far := 0
	if workflow%10 == 0 {
		far = f.history
	}
	return [herdStreams]int{0, 0, far, 5, 40}
}

func runHerd(ctx context.Context, lab *Lab) (*Result, error) {
	size := sizeOfHerd(lab.Short)
	lab.Progress("%d items for the histories of %d workflows", size.workflows*size.history, size.workflows)
	h := &herdData{lab: lab, size: size, prefix: "herd_" + time.Now().UTC().Format("20060102150405.000000")}
	if err := h.writeHistories(ctx); err != nil {
		return nil, err
	}
	var feeds, bases []*recovery
	for turn := range size.turns {
		lab.Progress("%d streams lose their server, turn %d of %d", size.workflows*herdStreams, turn+1, size.turns)
		feed, err := h.loseServer(ctx, lab.Serve, h.write)
		if err != nil {
			return nil, err
		}
		lab.Progress("%d streams lose their baseline, turn %d of %d", size.workflows*herdStreams, turn+1, size.turns)
		base, err := h.baseline(ctx)
		if err != nil {
			return nil, err
		}
		feeds, bases = append(feeds, feed), append(bases, base)
		h.size.history += size.missed // which all clients have now
	}
	feed, base := middle(feeds), middle(bases)
	return &Result{
		Runs: []Run{{Headline: true, Values: []Value{
			{Key: "streams", Number: float64(size.workflows * herdStreams)},
			{Key: "workflows", Number: float64(size.workflows)},
			{Key: "seconds", Number: feed.seconds()},
			{Key: "baseline_seconds", Number: base.seconds()},
			{Key: "seconds_ratio", Number: feed.seconds() / base.seconds()},
			{Key: "catchup_queries", Number: float64(feed.queries)},
			{Key: "items", Number: float64(feed.items)},
			{Key: "p50_ms", Number: feed.times.ms(50)},
			{Key: "p99_ms", Number: feed.times.ms(99)},
			{Key: "max_ms", Number: feed.times.ms(100)},
		}}},
		Plots: []Plot{{
			Name: "herd", Title: "Streams up to date after the new server's start",
			X: "share of the streams", Y: "s",
			Labels: []string{"50 %", "90 %", "99 %", "all"},
			Series: []Series{{"chatfeed", feed.quantiles()}, {"net/http", base.quantiles()}},
		}},
	}, nil
}

// middle returns the run with the median time.
func middle(herds []*recovery) *recovery {
	slices.SortFunc(herds, func(a, b *recovery) int { return cmp.Compare(a.seconds(), b.seconds()) })
	return herds[len(herds)/2]
}

// baseline runs the same with the baseline server, which has the missing items from its start.
func (h *herdData) baseline(ctx context.Context) (r *recovery, err error) {
	dir, err := os.MkdirTemp("", "chatfeed-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	name := filepath.Join(dir, "frames")
	frames, err := h.frames(ctx)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(name, frames, 0o600); err != nil {
		return nil, err
	}
	return h.loseServer(ctx, func(ctx context.Context, flags ...string) (*Process, error) {
		return h.lab.Start(ctx, append([]string{"baseline", "--frames=" + name}, flags...)...)
	}, func(context.Context) error { return nil })
}

// loseServer opens the streams, kills their server, writes, starts another on the same port, and waits until every stream is
// up to date.
func (h *herdData) loseServer(
	ctx context.Context, serve func(context.Context, ...string) (*Process, error), write func(context.Context) error,
) (*recovery, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	old, err := serve(ctx)
	if err != nil {
		return nil, err
	}
	clients, err := h.open(ctx, old)
	if err != nil {
		old.Kill()
		return nil, err
	}
	old.Kill()
	killed := time.Now()
	if err := write(ctx); err != nil {
		return nil, err
	}
	// The clients notice only now, because thousands of them on one machine would leave the writer no processor time.
	r := newRecovery()
	back := make(chan error, 1)
	go func() { back <- r.await(ctx, old.URL, clients) }()
	server, err := serve(ctx, "--listen="+strings.TrimPrefix(old.URL, "http://"))
	if err != nil {
		cancel()
		return nil, errors.Join(fmt.Errorf("restart the server: %w", err), <-back)
	}
	err = <-back
	away := r.began.Sub(killed).Round(time.Millisecond)
	queries, stopErr := server.Stop()
	r.queries = queries.Topics + queries.Pages
	h.lab.Progress("the server was away for %v; it made %d queries for topics and %d for pages", away, queries.Topics, queries.Pages)
	if err == nil && r.items == 0 {
		err = errors.New("no stream lacked an item")
	}
	return r, errors.Join(err, stopErr)
}
