package feed

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Config says how a feed behaves. The zero value of each field means its default.
type Config struct {
	// Window bounds a topic's tail, a page and a batch alike: 256 items, 256 KiB. A page that is read ahead may have four
	// times the items in the same bytes.
	Window Bounds
	// Sweep is how often the heads of all topics are compared with what they have read: 5 s. It bounds how late an item
	// is when its notification is lost.
	Sweep time.Duration
	// Linger is how long a topic is kept after its last subscription, for the one that comes back: 30 s.
	Linger time.Duration
	// Log takes what an operator should know; the default is slog.Default().
	Log *slog.Logger
}

func (c Config) withDefaults() (Config, error) {
	c.Window.Items = cmp.Or(c.Window.Items, 256)
	c.Window.Bytes = cmp.Or(c.Window.Bytes, 256<<10)
	c.Sweep = cmp.Or(c.Sweep, 5*time.Second)
	c.Linger = cmp.Or(c.Linger, 30*time.Second)
	c.Log = cmp.Or(c.Log, slog.Default())
	switch {
	case c.Window.Items < 1:
		return c, fmt.Errorf("feed: Config.Window.Items is %d; it must be positive", c.Window.Items)
	case c.Window.Bytes < 1:
		return c, fmt.Errorf("feed: Config.Window.Bytes is %d; it must be positive", c.Window.Bytes)
	case c.Sweep < 0:
		return c, fmt.Errorf("feed: Config.Sweep is %v; it must be positive", c.Sweep)
	case c.Linger < 0:
		return c, fmt.Errorf("feed: Config.Linger is %v; it must be positive", c.Linger)
	}
	return c, nil
}

const (
	// batchSize is how many topics or pages one query reads at the most.
	batchSize = 256
	// headsSize is how many topics one query compares at the most.
	headsSize = 1024
	// firstLoad is how many items a topic is loaded with at the most: as many as most who come lack. Its tail grows from there.
	firstLoad = 64
	// aheadWindows is how many windows of items a page has at the most that is read ahead.
	aheadWindows = 4
)

// Feed follows the workflows that its subscriptions ask for. Its methods may be called from any goroutine.
type Feed struct {
	source Reader
	waker  Waker
	cfg    Config
	window Window // of a page of all types
	ran    atomic.Bool
	log    *slog.Logger
	stats  counters
	made   time.Time
	ticks  atomic.Uint64
	lanes

	sweepNow  chan struct{}
	listening atomic.Bool
	draining  chan struct{} // closed by Drain
	stopped   chan struct{} // closed when Run has returned
	drain     sync.Once
	topics
}

// lanes are what reads from the source. None waits for another.
type lanes struct {
	compares *lane[*topic] // heads of topics that somebody joined, and of those that have lost items
	loads    *lane[*topic] // the newest items of topics that somebody begins to follow
	grows    *lane[*topic] // what comes after the tails of topics
	apart    *apart
	behind   *pages // for subscriptions that are not on a tail
	singles  *pages // for Page and Await
}

// New makes a feed that reads from reader when waker says so; one value may be both. It does nothing until [Feed.Run]. The
// error names the field of cfg that is wrong.
func New(reader Reader, waker Waker, cfg Config) (*Feed, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	f := &Feed{
		source:   reader,
		waker:    waker,
		cfg:      cfg,
		window:   Window{Items: cfg.Window.Items, Bytes: cfg.Window.Bytes},
		log:      cfg.Log,
		made:     time.Now(),
		sweepNow: make(chan struct{}, 1),
		draining: make(chan struct{}),
		stopped:  make(chan struct{}),
		topics:   topics{byID: make(map[string]*topic)},
	}
	apart := newApart()
	always := func(*topic, *topic) bool { return true }
	f.lanes = lanes{
		apart:    apart,
		compares: newLane("heads", f.log, headsSize, apart, f.compare, always),
		loads:    newLane("topics", f.log, batchSize, apart, f.load, loadable),
		grows:    newLane("new items", f.log, batchSize, apart, f.grow, always),
		behind:   f.newPages("pages", false, apart),
		singles:  f.newPages("single pages", true, apart),
	}
	for _, l := range []*lane[*topic]{f.compares, f.loads, f.grows} {
		l.turn = make(chan struct{}, 1)
	}
	f.compares.herd = &herd{}
	return f, nil
}

// clock is how long the feed has existed. It does not step, as the time of day may.
func (f *Feed) clock() time.Duration { return time.Since(f.made) }

// Run listens, reads and sweeps until ctx ends, and then drains. It returns when all that it has started has ended. A source
// that is away does not end it: it tries again until the source is back. A feed runs once; the error says that it has run
// already.
func (f *Feed) Run(ctx context.Context) error {
	if f.ran.Swap(true) {
		return errors.New("feed: Run was called before; a feed runs once")
	}
	defer close(f.stopped)
	defer f.Drain()
	var running sync.WaitGroup
	running.Go(func() { f.listen(ctx) })
	running.Go(func() { f.sweep(ctx) })
	running.Go(func() { f.watch(ctx) })
	running.Go(func() { f.compares.run(ctx, 2) })
	running.Go(func() { f.loads.run(ctx, 2) })
	running.Go(func() { f.grows.run(ctx, 2) })
	running.Go(func() { f.behind.lane.run(ctx, 2) })
	running.Go(func() { f.singles.lane.run(ctx, 2) })
	running.Wait()
	return nil
}

// Drain ends every subscription, now and later, with [ErrDraining]. It does not wait for them. Single reads go on.
func (f *Feed) Drain() {
	f.drain.Do(func() {
		close(f.draining)
		for _, t := range f.followed() {
			t.tell()
		}
	})
}

func (f *Feed) drained() bool {
	select {
	case <-f.draining:
		return true
	default:
		return false
	}
}

// forget drops what has been of no use for long.
func (f *Feed) forget(now time.Time) {
	f.compares.forget(now)
	f.loads.forget(now)
	f.grows.forget(now)
	f.behind.lane.forget(now)
	f.singles.lane.forget(now)
}

// Stats counts what a feed has done since it was made, and what it holds now.
type Stats struct {
	Topics        int    // kept in memory now
	Subscriptions int    // open now
	Wakes         uint64 // heard from the source
	TopicReads    uint64 // batch queries for topics
	PageReads     uint64 // batch queries for pages
	Sweeps        uint64 // queries for heads
	Rewound       uint64 // how often the source had lost items that a topic had read
	Lost          uint64 // how often a sweep found a workflow's items whose notification never came
}

type counters struct {
	subscriptions                                       atomic.Int64
	wakes, topicReads, pageReads, sweeps, lost, rewound atomic.Uint64
}

// Stats returns the counts. Each is right by itself; they are not of one instant.
func (f *Feed) Stats() Stats {
	return Stats{
		Topics:        f.count(),
		Subscriptions: int(f.stats.subscriptions.Load()),
		Wakes:         f.stats.wakes.Load(),
		TopicReads:    f.stats.topicReads.Load(),
		PageReads:     f.stats.pageReads.Load(),
		Sweeps:        f.stats.sweeps.Load(),
		Lost:          f.stats.lost.Load(),
		Rewound:       f.stats.rewound.Load(),
	}
}
