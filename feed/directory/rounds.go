package directory

import (
	"context"
	"maps"
	"slices"
	"time"

	"chatfeed/feed"
)

// retryPause is how long to wait after a round that has failed.
const retryPause = time.Second

// read does round after round, while there is something to read, until ctx ends.
func (d *Directory) read(ctx context.Context) {
	sweep := time.NewTicker(d.sweep)
	defer sweep.Stop()
	var turn feed.Workflow
	failed := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-sweep.C:
			d.request(func(todo *todo) { todo.check, todo.turn = true, true })
			continue
		case <-d.work:
		}
		d.mu.Lock()
		if len(d.watches) == 0 {
			d.mu.Unlock()
			continue
		}
		d.rounds++
		r := &round{Directory: d, number: d.rounds, todo: d.todo, of: d.list, turnAt: turn}
		d.todo = todo{}
		d.mu.Unlock()
		began, awaited := time.Now(), r.deeper // a watch waits for more of the list
		err := r.run(ctx)
		if ctx.Err() != nil {
			return
		}
		turn = r.turnAt
		switch {
		case r.end(ctx, err, failed):
			failed = true
			wait(ctx, retryPause)
		case !awaited:
			wait(ctx, pace-time.Since(began))
			fallthrough
		default:
			failed = false
		}
	}
}

// round is one round of reads. If everyone has left meanwhile, its list is no longer the directory's, and nobody sees it.
type round struct {
	*Directory
	number uint64
	todo
	of     *list
	absent []string      // held workflows that are on no page
	turnAt feed.Workflow // where the next sweep goes on with comparing all that is held
}

// run reads what is to be read.
func (r *round) run(ctx context.Context) error {
	r.mu.Lock()
	depth, newest, loaded := r.of.depth, r.of.newest, r.of.loaded()
	r.mu.Unlock()
	switch {
	case !loaded:
		r.deeper, r.check, r.turnAt = true, true, feed.Workflow{}
	case r.all:
		r.check = true
		if _, err := r.scan(ctx, depth.Active, r.sizes.page); err != nil {
			return err
		}
		r.mu.Lock()
		r.absent = append(r.absent, r.of.below()...)
		r.mu.Unlock()
	case r.check:
		reached, err := r.scan(ctx, max(newest.Head-overlap, depth.Active), r.sizes.recent)
		if err == nil && r.turn {
			err = r.compare(ctx, reached, depth)
		}
		if err != nil {
			return err
		}
	}
	if r.deeper {
		if _, err := r.page(ctx, depth, r.sizes.page, true); err != nil {
			return err
		}
	}
	r.absent = slices.AppendSeq(r.absent, maps.Keys(r.marked))
	for ids := range slices.Chunk(r.absent, r.sizes.named) {
		if err := r.named(ctx, ids); err != nil {
			return err
		}
	}
	return nil
}

// scan reads pages from the newest workflow to the first that is less active than reach. It returns the last, or nil at the end of
// the list.
func (r *round) scan(ctx context.Context, reach feed.Cursor, size int) (*feed.Workflow, error) {
	last := new(feed.Workflow)
	for {
		var err error
		if last, err = r.page(ctx, *last, size, false); err != nil || last == nil || last.Active < reach {
			return last, err
		}
		size = r.sizes.page
	}
}

// compare reads one page more, so that in the course of several sweeps all that is held is compared.
func (r *round) compare(ctx context.Context, reached *feed.Workflow, depth feed.Workflow) error {
	if reached == nil {
		r.turnAt = feed.Workflow{}
		return nil
	}
	if r.turnAt.Active == 0 || r.turnAt.Active > reached.Active {
		r.turnAt = *reached
	}
	if r.turnAt.Active < depth.Active {
		r.turnAt = feed.Workflow{}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.absent = append(r.absent, r.of.below()...)
		return nil
	}
	last, err := r.page(ctx, r.turnAt, r.sizes.page, false)
	if last == nil {
		last = new(feed.Workflow)
	}
	r.turnAt = *last
	return err
}

// page reads a page of the list and records it. It returns the last workflow of the page, or nil if nothing follows.
func (r *round) page(ctx context.Context, after feed.Workflow, size int, deeper bool) (*feed.Workflow, error) {
	page, err := r.reader.Workflows(ctx, after, size)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.of
	last, upTo := (*feed.Workflow)(nil), feed.Workflow{Active: -1}
	if len(page) == size {
		last, upTo = &page[size-1], page[size-1]
	}
	for _, w := range page {
		switch {
		case deeper:
			l.load(w)
		case l.byID[w.ID] != nil || l.complete || w.Active > l.depth.Active:
			l.set(w)
		}
	}
	if deeper {
		l.extend(upTo, last == nil)
	} else {
		r.absent = append(r.absent, l.absent(after, upTo, page)...)
	}
	return last, nil
}

// named reads workflows by their ids and records them.
func (r *round) named(ctx context.Context, ids []string) error {
	found, err := r.reader.Named(ctx, ids)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range ids {
		if w, exists := found[id]; exists {
			r.of.set(w)
		} else {
			r.of.remove(id)
		}
	}
	return nil
}

// end tells the watches, and reports whether the round has failed. What has failed is read again, and everything that is held, too.
func (r *round) end(ctx context.Context, err error, failed bool) bool {
	if err != nil && !failed {
		r.log.WarnContext(ctx, "reading the list of workflows failed; retrying", "error", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.list != r.of { // nobody has waited for it
		return err != nil
	}
	if err != nil {
		r.Directory.todo.mark(r.sizes.held, slices.Collect(maps.Keys(r.marked))...)
		r.Directory.todo.all = true
		r.Directory.todo.deeper = r.Directory.todo.deeper || r.deeper
		r.Directory.todo.anew = r.Directory.todo.anew || r.anew
		r.away = r.away || !r.of.loaded()
		signal(r.work)
	} else {
		r.away, r.contact = false, r.clock()
		if r.check {
			r.checked = r.number
		}
		r.of.limit()
		if r.anew {
			r.of.restart()
		}
	}
	r.notify()
	return err != nil
}

// watchContact withdraws that watches are up to date when the reader has not answered for two sweeps.
func (d *Directory) watchContact(ctx context.Context) {
	tick := time.NewTicker(max(1, d.sweep/2))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		d.mu.Lock()
		if len(d.watches) > 0 && !d.away && d.clock()-d.contact > 2*d.sweep {
			d.away = true
			d.notify()
		}
		d.mu.Unlock()
	}
}

// wait waits for the given time, or until ctx ends.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
