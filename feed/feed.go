package feed

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Config says how a feed behaves. The zero value of each field means its default.
type Config struct {
	// Window bounds a topic's tail, a page and a batch alike: 256 items, 256 KiB. A page that is read ahead may have four
	// times the items in the same bytes. Its Types are not used.
	Window Window
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
	c.Window.Types = nil
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
	// firstLoad is how many items a topic is loaded with at the most: as many as most who come lack. Its tail grows from there.
	firstLoad = 64
	// aheadWindows is how many windows of items a page has at the most that is read ahead.
	aheadWindows = 4
)

// Feed follows the workflows that its subscriptions ask for. Its methods may be called from any goroutine.
type Feed struct {
	source    Source
	cfg       Config
	log       *slog.Logger
	pages     *pages
	stats     counters
	work      chan struct{} // dirty is not empty
	sweepNow  chan struct{}
	listening atomic.Bool
	draining  chan struct{} // closed by Drain
	stopped   chan struct{} // closed when Run has returned
	drain     sync.Once

	mu     sync.Mutex // taken before a topic's, never after
	topics map[string]*topic
	dirty  []*topic
}

// New makes a feed that reads from source. It does nothing until [Feed.Run]. The error names the field of cfg that is
// wrong.
func New(source Source, cfg Config) (*Feed, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Feed{
		source:   source,
		cfg:      cfg,
		log:      cfg.Log,
		pages:    newPages(),
		work:     make(chan struct{}, 1),
		sweepNow: make(chan struct{}, 1),
		draining: make(chan struct{}),
		stopped:  make(chan struct{}),
		topics:   make(map[string]*topic),
	}, nil
}

// Run listens, reads and sweeps until ctx ends, and then drains. It is called once and returns when all that it has
// started has ended. A source that is away does not end it: it tries again until the source is back.
func (f *Feed) Run(ctx context.Context) {
	defer close(f.stopped)
	defer f.Drain()
	var running sync.WaitGroup
	running.Go(func() { f.listen(ctx) })
	running.Go(func() { f.readBatches(ctx, "topics", f.work, f.fetch) })
	running.Go(func() { f.sweep(ctx) })
	for range 2 { // so that one large read does not hold up all others
		running.Go(func() { f.readBatches(ctx, "pages", f.pages.work, f.readPages) })
	}
	running.Wait()
}

// Drain ends every subscription, now and later, with [ErrDraining]. It does not wait for them. Single reads go on.
func (f *Feed) Drain() {
	f.drain.Do(func() {
		close(f.draining)
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, t := range f.topics {
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

// Read says which page to read.
type Read struct {
	Position
	Backwards bool     // the newest items before the cursor instead of the oldest after it
	Limit     int      // how many items at the most, up to the feed's window; 0 means as many as that
	Types     []string // only items of these types; nil means all
}

// Page reads one page from the source; it has every item that was committed when Page was called. It blocks for the
// read or until ctx ends. The error is the source's, or [ErrDraining] when Run has returned.
func (f *Feed) Page(ctx context.Context, read Read) (Page, error) {
	call := f.pages.request(read.Position, read.Backwards, f.limit(read.Limit), sorted(read.Types), nil)
	select {
	case <-call.done:
		return call.page, call.err
	case <-f.stopped:
		return Page{}, ErrDraining
	case <-ctx.Done():
		return Page{}, fmt.Errorf("read a page of workflow %q: %w", read.WorkflowID, context.Cause(ctx))
	}
}

// Await is [Feed.Page] forwards, but where there is nothing after the cursor yet it waits for the first item, up to the
// given time after the call, and returns an empty page when none came or the feed drains.
func (f *Feed) Await(ctx context.Context, read Read, wait time.Duration) (Page, error) {
	waiting, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	page, err := f.Page(ctx, read)
	if err != nil || len(page.Items) > 0 || waiting.Err() != nil {
		return page, err
	}
	s, err := f.Subscribe(waiting, Options{From: []Start{{Position: read.Position}}, Types: read.Types, Idle: wait})
	if err != nil {
		return Page{}, err
	}
	defer s.Close()
	for {
		batch, err := s.Next()
		switch {
		case len(batch.Items) > 0:
			items := batch.Items[:min(len(batch.Items), f.limit(read.Limit))]
			return Page{Items: items, More: len(items) < len(batch.Items) || !batch.UpToDate}, nil
		case err != nil && ctx.Err() != nil:
			return Page{}, err
		case err != nil: // the time is up, or the feed drains
			return Page{}, nil
		}
	}
}

func (f *Feed) limit(items int) int {
	if items <= 0 {
		return f.cfg.Window.Items
	}
	return min(items, f.cfg.Window.Items)
}

func sorted(types []string) []string {
	if types == nil {
		return nil
	}
	return slices.Compact(slices.Sorted(slices.Values(types)))
}

// Stats counts what a feed has done since it was made, and what it holds now.
type Stats struct {
	Topics        int    // kept in memory now
	Subscriptions int    // open now
	Wakes         uint64 // heard from the source
	TopicReads    uint64 // batch queries for topics
	PageReads     uint64 // batch queries for pages
	Sweeps        uint64 // queries for heads
	Lost          uint64 // how often a sweep found a workflow's items whose notification never came
}

type counters struct {
	subscriptions                              atomic.Int64
	wakes, topicReads, pageReads, sweeps, lost atomic.Uint64
}

// Stats returns the counts. Each is right by itself; they are not of one instant.
func (f *Feed) Stats() Stats {
	f.mu.Lock()
	topics := len(f.topics)
	f.mu.Unlock()
	return Stats{
		Topics:        topics,
		Subscriptions: int(f.stats.subscriptions.Load()),
		Wakes:         f.stats.wakes.Load(),
		TopicReads:    f.stats.topicReads.Load(),
		PageReads:     f.stats.pageReads.Load(),
		Sweeps:        f.stats.sweeps.Load(),
		Lost:          f.stats.lost.Load(),
	}
}
