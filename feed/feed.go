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

// Config configures a feed. A zero field means its default.
type Config struct {
	// Window bounds a topic's tail, a page and a batch: 256 items, 256 KiB. A page that is read ahead may have four times
	// the items in the same bytes.
	Window Bounds
	// Sweep is how often the heads of all topics are compared with what they have read: 5 s. It bounds the delay of an item
	// whose notification was lost.
	Sweep time.Duration
	// Linger is how long a topic is kept after its last subscription, for a client that reconnects: 30 s.
	Linger time.Duration
	// Log receives what an operator should know; the default is slog.Default().
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
	// batchSize is the most topics or pages that one query reads.
	batchSize = 256
	// headsSize is the most topics that one query compares.
	headsSize = 1024
	// firstLoad is the most items that a topic is loaded with: enough for most clients that connect. Its tail grows from there.
	firstLoad = 64
	// maxAheadWindows is the most windows of items that a page may have that is read ahead.
	maxAheadWindows = 4
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
	draining  context.Context //nolint:containedctx // it ends with Drain; an AfterFunc costs nothing but itself
	endDrain  context.CancelFunc
	stopped   chan struct{} // closed when Run has returned
	drain     sync.Once
	topics
}

// lanes read from the source. None waits for another.
type lanes struct {
	compares  *lane[*topic] // heads of topics that a subscription has joined, and of those with erased items
	loads     *lane[*topic] // the newest items of topics that gain their first follower
	grows     *lane[*topic] // the items after the tails of topics
	isolation *isolation
	catchUp   *pages // for subscriptions that are behind their tails
	singles   *pages // for Page and Await
}

// New makes a feed that reads from reader when waker wakes it; one value may be both. It does nothing until [Feed.Run].
// The error names the invalid field of cfg.
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
		stopped:  make(chan struct{}),
		topics:   topics{byID: make(map[string]*topic)},
	}
	f.draining, f.endDrain = context.WithCancel(context.Background())
	isolation := newIsolation()
	always := func(*topic, *topic) bool { return true }
	f.lanes = lanes{
		isolation: isolation,
		compares:  newLane("heads", f.log, headsSize, isolation, f.compare, always),
		loads:     newLane("topics", f.log, batchSize, isolation, f.load, loadable),
		grows:     newLane("new items", f.log, batchSize, isolation, f.grow, always),
		catchUp:   f.newPages("pages", false, isolation),
		singles:   f.newPages("single pages", true, isolation),
	}
	for _, l := range []*lane[*topic]{f.compares, f.loads, f.grows} {
		l.turn = make(chan struct{}, 1)
	}
	f.compares.burst = &burst{}
	return f, nil
}

// clock is how long the feed has existed. Unlike the time of day, it never steps.
func (f *Feed) clock() time.Duration { return time.Since(f.made) }

// Run listens, reads and sweeps until ctx ends, and then drains. It returns when all goroutines that it started have
// ended. While the source is unavailable it retries. A feed runs once; the error says that Run was called before.
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
	running.Go(func() { f.catchUp.lane.run(ctx, 2) })
	running.Go(func() { f.singles.lane.run(ctx, 2) })
	running.Wait()
	return nil
}

// Drain ends every current and future subscription with [ErrDraining]. It does not wait for them. Single reads continue.
func (f *Feed) Drain() {
	f.drain.Do(func() {
		f.endDrain()
		for _, t := range f.followed() {
			t.notify()
		}
	})
}

func (f *Feed) drained() bool { return f.draining.Err() != nil }

// forget drops state that has not been used for long.
func (f *Feed) forget(now time.Time) {
	f.compares.forget(now)
	f.loads.forget(now)
	f.grows.forget(now)
	f.catchUp.lane.forget(now)
	f.singles.lane.forget(now)
}

// Stats counts what a feed has done since it was made, and what it holds now.
type Stats struct {
	Topics        int    // in memory now
	Subscriptions int    // open now
	Wakes         uint64 // received from the source
	TopicReads    uint64 // batch queries for topics
	PageReads     uint64 // batch queries for pages
	Sweeps        uint64 // queries for heads
	Rewound       uint64 // how often the source had lost items that a topic had read
	Lost          uint64 // how often a sweep found items of a workflow whose notification was lost
}

type counters struct {
	subscriptions                                       atomic.Int64
	wakes, topicReads, pageReads, sweeps, lost, rewound atomic.Uint64
}

// Stats returns the counts. Each is correct, but they are not taken at the same instant.
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
