package feed

import (
	"context"
	"fmt"
	"math/bits"
	"slices"
	"sync"
)

// pages reads pages from the source. Pages requested during a read share the next, and identical requests share one page.
// There are two: one for subscriptions far behind, which retries until it succeeds, and one for single reads, which fail
// with the source's error.
type pages struct {
	lane   *lane[*pageCall]
	single bool

	mu      sync.Mutex
	unread  map[pageKey]*pageCall // pages whose read has not begun; identical requests join them
	waiting int                   // single reads that have not begun
}

type pageKey struct {
	pageGroup
	position Position
}

// pageGroup is what all pages of one query have in common.
type pageGroup struct {
	backwards bool
	items     int
	types     string
}

// pageCall is one page that somebody waits for.
type pageCall struct {
	of    *pages
	key   pageKey
	types []string
	done  chan struct{} // closed when page and err are set
	page  Page
	err   error

	// Guarded by pages.mu.
	singles       int // single reads that wait for it
	subscriptions []*Subscription
	begun         bool // its first read has begun
}

func (f *Feed) newPages(name string, single bool, isolation *isolation) *pages {
	p := &pages{single: single, unread: make(map[pageKey]*pageCall)}
	read := func(ctx context.Context, calls []*pageCall, halvings int) ([]*pageCall, error) {
		return f.readPages(ctx, p, calls, halvings)
	}
	p.lane = newLane(name, f.log, batchSize, isolation, read, func(a, b *pageCall) bool { return a.key.pageGroup == b.key.pageGroup })
	p.lane.noPause = single // the caller receives the error and decides when to retry
	return p
}

// request requests a page for a subscription or, if s is nil, for a single read, and does not wait. The read begins after
// the call, so the page has every item that was committed by then. types must be sorted. It returns nil if too many single
// reads are waiting.
func (p *pages) request(position Position, backwards bool, items int, types []string, s *Subscription) *pageCall {
	names := ""
	if types != nil {
		names = fmt.Sprintf("%q", types)
	}
	key := pageKey{pageGroup{backwards, items, names}, position}
	p.mu.Lock()
	if s == nil && p.waiting >= maxWaiting {
		p.mu.Unlock()
		return nil
	}
	call, ok := p.unread[key]
	if !ok {
		call = &pageCall{of: p, key: key, types: types, done: make(chan struct{})}
		p.unread[key] = call
	}
	if s != nil {
		call.subscriptions = append(call.subscriptions, s)
	} else {
		call.singles++
		p.waiting++
	}
	p.mu.Unlock()
	if !ok {
		p.lane.put(call)
	}
	return call
}

// abandon makes a single read stop waiting for the page, and reports whether it did: unless always is set, only if the read
// has not begun.
func (c *pageCall) abandon(always bool) bool {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	if c.begun && !always {
		return false
	}
	c.singles--
	if !c.begun {
		c.of.waiting--
	}
	return true
}

// leave makes a subscription stop waiting for the page.
func (c *pageCall) leave(s *Subscription) {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	c.subscriptions = slices.DeleteFunc(c.subscriptions, func(other *Subscription) bool { return other == s })
}

// begin marks calls as begun. Later requests cannot join them: a page must have every item committed before its request.
func (p *pages) begin(calls []*pageCall) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, call := range calls {
		if !call.begun {
			call.begun = true
			p.waiting -= call.singles
			delete(p.unread, call.key)
		}
	}
}

func (c *pageCall) workflow() string { return c.key.position.WorkflowID }

func (c *pageCall) wanted() bool {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	if c.singles > 0 || slices.ContainsFunc(c.subscriptions, (*Subscription).open) {
		return true
	}
	if c.of.unread[c.key] == c {
		delete(c.of.unread, c.key) // nobody may join a page that will not be read
	}
	return false
}

func (c *pageCall) refuse(err error) bool {
	if c.of.single {
		c.settle(Page{}, err)
	}
	return c.of.single
}

func (c *pageCall) settle(page Page, err error) {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	c.page, c.err = page, err
	close(c.done)
	for _, s := range c.subscriptions {
		signal(s.ready)
	}
}

// readPages reads pages of one group. It returns as heavy those that reached the window's bytes.
func (f *Feed) readPages(ctx context.Context, p *pages, calls []*pageCall, halvings int) (heavy []*pageCall, err error) {
	p.begin(calls)
	at := make([]Position, len(calls))
	for i, call := range calls {
		at[i] = call.key.position
	}
	read := f.source.After
	if calls[0].key.backwards {
		read = f.source.Before
	}
	window := f.window
	window.Items = max(1, calls[0].key.items>>halvings)
	window.Types = calls[0].types
	f.stats.pageReads.Add(1)
	pages, err := read(ctx, at, window)
	if err != nil {
		return nil, err
	}
	for i, call := range calls {
		if pages[i].size() >= window.Bytes {
			heavy = append(heavy, call)
		}
		call.settle(pages[i], nil)
	}
	return heavy, nil
}

// minAhead is the fewest items that are requested in a page that is read ahead.
const minAhead = 16

// ahead is how many items to request when the page after this one is read ahead. As nobody is waiting for it, that is more
// than a window. If the pages are limited by bytes, it is only a few more than this page has: to find the end of a page, the
// source looks at every requested item.
func (f *Feed) ahead(page Page) int {
	most := maxAheadWindows * f.window.Items
	if page.size() < f.window.Bytes {
		return most
	}
	return min(most, max(minAhead, 4<<bits.Len(uint(len(page.Items))))) // powers of two, so that pages can share queries
}

// size is the total size of the page's items in bytes.
func (p Page) size() (bytes int) {
	for _, item := range p.Items {
		bytes += item.Size()
	}
	return bytes
}
