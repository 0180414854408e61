package feed

import (
	"context"
	"fmt"
	"runtime"
	"sync"
)

// pages reads pages from the source for those whom no tail serves: subscriptions far behind and single reads. What is
// asked for during a read is read together by the next, and what is asked for twice is read once.
type pages struct {
	mu      sync.Mutex
	waiting map[pageKey]*pageCall
	order   []*pageCall
	work    chan struct{}
}

type pageKey struct {
	pageGroup
	position Position
}

// pageGroup is what the pages of one query share.
type pageGroup struct {
	backwards bool
	items     int
	types     string
}

type pageCall struct {
	key   pageKey
	types []string
	ready []chan<- struct{} // told when done is closed
	done  chan struct{}     // closed when page and err are set
	page  Page
	err   error
}

func newPages() *pages {
	return &pages{waiting: make(map[pageKey]*pageCall), work: make(chan struct{}, 1)}
}

// request asks for a page and does not wait. The read begins after request is called, so the page has every item that
// was committed by then. types must be sorted. ready is told when the page has come, unless it is nil.
func (p *pages) request(position Position, backwards bool, items int, types []string, ready chan<- struct{}) *pageCall {
	names := ""
	if types != nil {
		names = fmt.Sprintf("%q", types)
	}
	key := pageKey{pageGroup{backwards, items, names}, position}
	p.mu.Lock()
	defer p.mu.Unlock()
	call, ok := p.waiting[key]
	if !ok {
		call = &pageCall{key: key, types: types, done: make(chan struct{})}
		p.waiting[key] = call
		p.order = append(p.order, call)
		signal(p.work)
	}
	if ready != nil {
		call.ready = append(call.ready, ready)
	}
	return call
}

// take removes up to limit waiting calls that one query can serve.
func (p *pages) take(limit int) []*pageCall {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.order) == 0 {
		return nil
	}
	group := p.order[0].key.pageGroup
	var taken, left []*pageCall
	for _, call := range p.order {
		if call.key.pageGroup != group || len(taken) == limit {
			left = append(left, call)
			continue
		}
		taken = append(taken, call)
		delete(p.waiting, call.key)
	}
	p.order = left
	if len(left) > 0 {
		signal(p.work) // for the next reader, while this one reads
	}
	return taken
}

// readPages reads up to limit of the pages that have been asked for. One that fails says so to those who asked, who may
// ask again at once: the pause before the next read keeps them from spinning.
func (f *Feed) readPages(ctx context.Context, limit int) (n int, err error) {
	runtime.Gosched() // those that were woken together ask together, and one query serves them
	calls := f.pages.take(limit)
	if len(calls) == 0 {
		return 0, nil
	}
	at := make([]Position, len(calls))
	for i, call := range calls {
		at[i] = call.key.position
	}
	read := f.source.After
	if calls[0].key.backwards {
		read = f.source.Before
	}
	window := f.cfg.Window
	window.Items = calls[0].key.items
	window.Types = calls[0].types
	f.stats.pageReads.Add(1)
	pages, err := read(ctx, at, window)
	for i, call := range calls {
		if err == nil {
			call.page = pages[i]
		}
		call.err = err
		close(call.done)
		for _, ready := range call.ready {
			signal(ready)
		}
	}
	return len(calls), err
}
