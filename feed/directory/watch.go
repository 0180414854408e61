package directory

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"chatfeed/feed"
)

// Options configures a watch.
type Options struct {
	Size     int                          // how many workflows to begin with, at most
	Readable func(workflowID string) bool // the others are not mentioned; nil means all
	Idle     time.Duration                // how long Next waits before it returns an empty update; 0 means 15 s
}

// Update is what one call of Next delivers. Anew comes first, then Gone, then Workflows.
type Update struct {
	// Workflows are those that are new or have changed, each as it is now, in any order. If Anew is set, they are the most recently
	// active ones, newest first.
	Workflows []feed.Workflow
	// Gone lists workflows that no longer exist or have no items left.
	Gone []string
	// Anew says that the list begins: it is the first update with workflows, or changes have been missed.
	Anew bool
	// UpToDate says that with this update the newest state of all workflows has been delivered, as far as the reader could tell when it
	// was last asked, which was after the watch began and at most two sweeps ago. An update with nothing else is
	// returned after Options.Idle, and when UpToDate changes.
	UpToDate bool
	// Next is, if Anew is set, where the reader's list goes on with less active workflows; zero if there are none. An id in it
	// is readable.
	Next feed.Workflow
}

// Watch is one client's place in the changes of the list. Its methods belong to one goroutine.
type Watch struct {
	directory *Directory
	Options
	ctx    context.Context //nolint:containedctx // as that of a subscription
	ready  chan struct{}
	joined uint64 // the latest round that had begun before

	begun    bool   // the list has been delivered
	seen     uint64 // changes up to this version have been
	upToDate bool   // the last update was
	toldAway bool   // the last update has said that the reader does not answer
}

// Watch begins to watch the list until ctx ends. It reads nothing itself and does not block. The caller must Close the watch.
func (d *Directory) Watch(ctx context.Context, options Options) *Watch {
	options.Idle = cmp.Or(options.Idle, 15*time.Second)
	w := &Watch{directory: d, Options: options, ctx: ctx, ready: make(chan struct{}, 1)}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.watches) == 0 {
		d.list = newList(d.list.version, d.sizes.held)
		d.todo, d.away, d.contact = todo{}, false, d.clock()
		d.watched.Store(true)
	}
	d.watches[w] = struct{}{}
	w.joined = d.rounds
	d.todo.check = true
	signal(d.work)
	return w
}

// Close ends the watch. When the last one has ended, the directory drops its list.
func (w *Watch) Close() {
	d := w.directory
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.watches, w)
	if len(d.watches) == 0 {
		d.watched.Store(false)
		d.list, d.todo = newList(d.list.version, d.sizes.held), todo{}
	}
}

// Next blocks until there is something new, and returns it. The error is [feed.ErrDraining] or that of the context given to
// [Directory.Watch]. If the reader is unavailable, Next waits; it does not fail.
func (w *Watch) Next() (Update, error) {
	idle := time.NewTimer(w.Idle)
	defer idle.Stop()
	for {
		select {
		case <-w.directory.draining:
			return Update{}, feed.ErrDraining
		case <-w.ctx.Done():
			return Update{}, fmt.Errorf("watch workflows: %w", context.Cause(w.ctx))
		default:
		}
		if update, ok := w.poll(); ok {
			return update, nil
		}
		select {
		case <-w.ready:
		case <-w.directory.draining:
		case <-w.ctx.Done():
		case <-idle.C:
			return Update{UpToDate: w.upToDate}, nil
		}
	}
}

// poll returns an update if there is something new.
func (w *Watch) poll() (Update, bool) {
	for {
		update, more, away := w.take()
		hasNews := len(update.Workflows)+len(update.Gone) > 0 || update.Anew
		switch {
		case hasNews:
		case more: // of this part, the client may read nothing
			continue
		case update.UpToDate == w.upToDate && (!away || w.toldAway):
			return Update{}, false
		case !update.UpToDate && !away: // it is about to be
			return Update{}, false
		}
		w.upToDate, w.toldAway = update.UpToDate, away && !hasNews
		return update, true
	}
}

// take moves the watch forward. It reports whether more follows at once, and whether the reader does not answer.
func (w *Watch) take() (update Update, more, away bool) {
	d := w.directory
	d.mu.Lock()
	l := d.list
	away = d.away
	update.UpToDate = !away && d.checked > w.joined
	if w.begun && w.seen >= l.dropped {
		changed, upTo := l.changes(w.seen, d.sizes.frame)
		w.seen, more = upTo, upTo < l.version
		d.mu.Unlock()
		update.UpToDate = update.UpToDate && !more
		update.add(changed, w.readable)
		return update, more, away
	}
	if !l.loaded() {
		d.mu.Unlock()
		return Update{}, false, away
	}
	list := l.snapshot()
	d.mu.Unlock()
	if !update.begin(list, w.Size, w.readable) {
		d.request(func(todo *todo) { todo.deeper = true })
		return Update{}, false, away
	}
	w.begun, w.seen = true, list.version
	return update, false, away
}

func (w *Watch) readable(workflowID string) bool { return w.Readable == nil || w.Readable(workflowID) }

func (u *Update) add(changed []entry, readable func(string) bool) {
	for _, e := range changed {
		switch {
		case !readable(e.state.ID):
		case e.gone:
			u.Gone = append(u.Gone, e.state.ID)
		default:
			u.Workflows = append(u.Workflows, e.state)
		}
	}
}

// begin sets the most active workflows of the list, and where it goes on: below them, or below what is held. Where that is a
// workflow that may have to be kept from the client, or whose order among those of the same time is not known, the place is only a
// time, and what is at that time comes again. It returns false if more of the list has to be read first.
func (u *Update) begin(list *snapshot, size int, readable func(string) bool) bool {
	for _, w := range list.workflows {
		switch {
		case !readable(w.ID):
		case len(u.Workflows) < size:
			u.Workflows = append(u.Workflows, w)
		default:
			last := u.Workflows[size-1]
			u.Anew, u.Next = true, feed.Workflow{Active: last.Active, ID: last.ID}
			if w.Active == last.Active {
				u.Next = feed.Workflow{Active: last.Active + 1}
			}
			return true
		}
	}
	if list.depth.Active > 0 {
		u.Next = feed.Workflow{Active: list.depth.Active + 1}
	}
	u.Anew = list.full || len(u.Workflows) == size
	return u.Anew
}
