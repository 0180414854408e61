package directory

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"chatfeed/feed"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errAway = errors.New("the table is away")

// table is a Reader and a feed.Waker in memory. Its stamps and times of activity are like the real ones.
type table struct {
	delay   func() time.Duration // of each read, before its snapshot and after; nil means none
	mu      sync.Mutex
	rows    map[string]feed.Workflow
	newest  feed.Cursor
	changes int            // of the table
	written map[string]int // which of them was a workflow's latest item
	reads   int
	away    bool
	deaf    bool // no wakes
	wake    func(string, feed.Cursor)
	cut     context.CancelFunc // ends Listen
}

func newTable() *table {
	return &table{rows: map[string]feed.Workflow{}, written: map[string]int{}}
}

// write adds an item with a status to a workflow.
func (t *table) write(id, status string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.newest = max(t.newest+1, feed.Cursor(time.Now().UnixMicro()))
	w := t.rows[id]
	w.ID, w.Head, w.Status = id, t.newest, status
	if w.Head-w.Active > feed.Cursor(time.Minute/time.Microsecond) {
		w.Active = w.Head
	}
	t.changes++
	t.rows[id], t.written[id] = w, t.changes
	t.notify(id, w.Head)
}

// erase erases a workflow's newest item, or the workflow.
func (t *table) erase(id string, whole bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	w, ok := t.rows[id]
	switch {
	case !ok:
		return
	case whole:
		delete(t.rows, id)
	default:
		w.Head, w.Status = w.Head-1, "erased"
		t.rows[id] = w
	}
	t.changes++
	delete(t.written, id)
	t.notify(id, 0)
}

// notify is called with the lock held.
func (t *table) notify(id string, head feed.Cursor) {
	if t.wake != nil && !t.deaf {
		t.wake(id, head)
	}
}

func (t *table) set(change func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	change()
}

func (t *table) Listen(ctx context.Context, connected func(), wake func(string, feed.Cursor)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	t.mu.Lock()
	t.wake, t.cut = wake, cancel
	t.mu.Unlock()
	connected()
	<-ctx.Done()
	t.set(func() { t.wake = nil })
	return errAway
}

func (t *table) read(ctx context.Context, read func()) error {
	if t.delay != nil {
		pass(ctx, t.delay())
		defer func() { pass(ctx, t.delay()) }()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.reads++
	if t.away {
		return errAway
	}
	read()
	return nil
}

func (t *table) Workflows(ctx context.Context, after feed.Workflow, limit int) (page []feed.Workflow, err error) {
	err = t.read(ctx, func() {
		for _, w := range t.rows {
			if after.Active == 0 || w.Active < after.Active || w.Active == after.Active && w.ID < after.ID {
				page = append(page, w)
			}
		}
		slices.SortFunc(page, before)
		page = page[:min(limit, len(page))]
	})
	return page, err
}

func (t *table) Named(ctx context.Context, ids []string) (found map[string]feed.Workflow, err error) {
	err = t.read(ctx, func() {
		found = map[string]feed.Workflow{}
		for _, id := range ids {
			if w, ok := t.rows[id]; ok {
				found[id] = w
			}
		}
	})
	return found, err
}

// run runs a directory, with a listener, until the test ends.
func (t *table) run(test *testing.T, s sizes, cfg Config) *Directory {
	test.Helper()
	cfg.Log = cmp.Or(cfg.Log, slog.New(slog.DiscardHandler))
	d, err := New(t, cfg)
	require.NoError(test, err)
	d.sizes, d.list = s, newList(0, s.held)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = d.Run(ctx) })
	running.Go(func() {
		for ctx.Err() == nil {
			_ = d.Waker(t).Listen(ctx, func() {}, func(string, feed.Cursor) {})
			pass(ctx, 100*time.Millisecond)
		}
	})
	test.Cleanup(func() {
		cancel()
		running.Wait()
	})
	synctest.Wait()
	return d
}

// client keeps the list as the protocol has it.
type client struct {
	*Watch
	list     map[string]feed.Workflow
	updates  []Update
	at       []time.Time
	upToDate bool
}

func watch(t *testing.T, d *Directory, options Options) *client {
	t.Helper()
	options.Idle = cmp.Or(options.Idle, time.Hour)
	c := &client{Watch: d.Watch(t.Context(), options), list: map[string]feed.Workflow{}}
	t.Cleanup(c.Close)
	return c
}

// next takes an update.
func (c *client) next(t *testing.T) Update {
	t.Helper()
	u, err := c.Next()
	require.NoError(t, err)
	c.apply(u)
	return u
}

func (c *client) apply(u Update) {
	if u.Anew {
		clear(c.list)
	}
	for _, id := range u.Gone {
		delete(c.list, id)
	}
	for _, w := range u.Workflows {
		c.list[w.ID] = w
	}
	c.upToDate = u.UpToDate
	c.updates, c.at = append(c.updates, u), append(c.at, time.Now())
}

// until takes updates until the list is up to date and equals the table.
func (c *client) until(t *testing.T, same *table) {
	t.Helper()
	for !c.upToDate || !maps.Equal(c.list, same.rows) {
		c.next(t)
	}
}

// elapse lets virtual time pass.
func elapse(d time.Duration) {
	pass(context.Background(), d)
	synctest.Wait()
}

// pass waits until ctx ends, at most for d.
func pass(ctx context.Context, d time.Duration) {
	if d > 0 {
		wait(ctx, d)
	}
}
