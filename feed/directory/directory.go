// Package directory keeps the list of workflows, as it is now, for any number of clients that watch it.
//
// While anyone watches, a [Directory] holds the newest state of the most recently active workflows in memory. Wakes, which a
// [feed.Waker] has for all workflows, only mark a workflow: marked ones are read together, at most four times a second. A sweep finds
// what wakes have missed. So the number of queries depends neither on the number of changes nor on the number of watches.
//
// One goroutine reads, one query after the other, so states are recorded in the order in which they were read, and none is replaced
// by an older one.
//
// A [Watch] is a place in the log of changes and no queue, like a subscription of package feed: a client that is slow finds each
// workflow once, as it is then.
package directory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"chatfeed/feed"
)

// Reader reads workflows. A read sees everything that was committed before it. Its methods are called one at a time. Each call must
// end within a timeout that the reader sets, with an error if necessary.
type Reader interface {
	// Workflows returns at most limit workflows that have items, by time of activity, newest first, that come after the given
	// one in that order; zero means from the newest. The time is at most a minute before the head.
	Workflows(ctx context.Context, after feed.Workflow, limit int) ([]feed.Workflow, error)
	// Named returns those of the given workflows, at most 1,024, that have items, by id.
	Named(ctx context.Context, workflowIDs []string) (map[string]feed.Workflow, error)
}

// Config configures a directory. A zero field means its default.
type Config struct {
	// Sweep is how often changes are looked for whose notification was lost: 5 s.
	Sweep time.Duration
	// Log receives what an operator should know; the default is slog.Default().
	Log *slog.Logger
}

// pace is the time between the beginnings of two rounds of reads.
const pace = 250 * time.Millisecond

// sizes are numbers of workflows. Tests have smaller ones.
type sizes struct {
	page   int // of a page of the list
	recent int // of a page that is to find recent changes
	named  int // that are read by their ids with one query, at most
	held   int // that are held, roughly
	frame  int // of an update, at most
}

func usual() sizes { return sizes{page: 1000, recent: 200, named: 1024, held: 10_000, frame: 1000} }

// overlap is how far below the newest head a sweep looks for activity. The time of activity is up to a minute behind the head,
// and a transaction may commit later than it stamps.
const overlap = feed.Cursor(2 * time.Minute / time.Microsecond)

// Directory is the list of workflows. Its methods may be called from any goroutine.
type Directory struct {
	reader   Reader
	sizes    sizes
	sweep    time.Duration
	log      *slog.Logger
	made     time.Time
	ran      atomic.Bool
	watched  atomic.Bool   // so that wakes cost nothing while nobody watches
	work     chan struct{} // there is something to read
	draining chan struct{} // closed by Drain
	drain    sync.Once

	mu      sync.Mutex
	list    *list
	watches map[*Watch]struct{}
	todo    todo
	rounds  uint64 // that have begun
	checked uint64 // the latest round that has looked for recent changes and succeeded
	contact time.Duration
	away    bool // the reader has not answered for two sweeps
}

// todo is what the next round should read.
type todo struct {
	marked map[string]struct{} // workflows that may have changed
	check  bool                // recent changes
	turn   bool                // and one page more of what is held
	all    bool                // everything that is held
	deeper bool                // the next page below what is held
	anew   bool                // then all watches begin anew, because it is not known what has changed
}

// New makes a directory. It does nothing until [Directory.Run]. The error names the invalid field of cfg.
func New(reader Reader, cfg Config) (*Directory, error) {
	cfg.Sweep = cmp.Or(cfg.Sweep, 5*time.Second)
	if cfg.Sweep < 0 {
		return nil, fmt.Errorf("directory: Config.Sweep is %v; it must be positive", cfg.Sweep)
	}
	return &Directory{
		reader:   reader,
		sizes:    usual(),
		sweep:    cfg.Sweep,
		log:      cmp.Or(cfg.Log, slog.Default()),
		made:     time.Now(),
		work:     make(chan struct{}, 1),
		draining: make(chan struct{}),
		list:     newList(0, usual().held),
		watches:  make(map[*Watch]struct{}),
	}, nil
}

// Waker returns a waker that wakes the directory, too. Give it to the feed instead of waker.
func (d *Directory) Waker(waker feed.Waker) feed.Waker { return tap{waker, d} }

// tap passes wakes on to a directory.
type tap struct {
	feed.Waker
	directory *Directory
}

// Listen implements [feed.Waker].
func (t tap) Listen(ctx context.Context, connected func(), wake func(string, feed.Cursor)) error {
	return t.Waker.Listen(ctx, func() {
		connected()
		t.directory.request(func(todo *todo) { todo.all = true }) // wakes may have been missed
	}, func(workflowID string, head feed.Cursor) {
		wake(workflowID, head)
		t.directory.wake(workflowID, head)
	})
}

// wake marks a workflow, unless its newest item is known. It does not block.
func (d *Directory) wake(workflowID string, head feed.Cursor) {
	if !d.watched.Load() {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if e := d.list.byID[workflowID]; e != nil && !e.gone && head != 0 && e.state.Head >= head || len(d.watches) == 0 {
		return
	}
	d.todo.mark(d.sizes.held, workflowID)
	signal(d.work)
}

// mark adds workflows that may have changed. If there are more than so many, it asks for everything that is held instead.
func (t *todo) mark(most int, workflowIDs ...string) {
	if t.marked == nil {
		t.marked = make(map[string]struct{})
	}
	for _, id := range workflowIDs {
		t.marked[id] = struct{}{}
	}
	if len(t.marked) > most {
		t.marked, t.all, t.anew = nil, true, true
	}
}

// request adds to what the next round reads, if anyone watches.
func (d *Directory) request(add func(*todo)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.watches) > 0 {
		add(&d.todo)
		signal(d.work)
	}
}

// Run reads while anyone watches, until ctx ends, and then drains. While the reader is unavailable it retries. A directory
// runs once; the error says that Run was called before.
func (d *Directory) Run(ctx context.Context) error {
	if d.ran.Swap(true) {
		return errors.New("directory: Run was called before; a directory runs once")
	}
	defer d.Drain()
	var running sync.WaitGroup
	running.Go(func() { d.read(ctx) })
	running.Go(func() { d.watchContact(ctx) })
	running.Wait()
	return nil
}

// Drain ends every current and future watch with [feed.ErrDraining]. It does not wait for them.
func (d *Directory) Drain() { d.drain.Do(func() { close(d.draining) }) }

// clock is how long the directory has existed. Unlike the time of day, it never steps.
func (d *Directory) clock() time.Duration { return time.Since(d.made) }

// notify wakes all watches. The caller holds mu.
func (d *Directory) notify() {
	for w := range d.watches {
		signal(w.ready)
	}
}

// signal wakes the receiver of a channel of capacity one. It does not block.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
