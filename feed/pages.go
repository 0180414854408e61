package feed

import (
	"context"
	"fmt"
	"math/bits"
	"slices"
	"sync"
)

// pages reads pages from the source. What is asked for during a read is read together by the next, and what is asked for
// twice is read once. There are two: one for subscriptions far behind, whose pages are tried until they come, and one for
// single reads, which fail with the source's error.
type pages struct {
	lane   *lane[*pageCall]
	single bool

	mu     sync.Mutex
	unread map[pageKey]*pageCall // whose read has not begun: who asks for the same joins
	askers int                   // single reads that wait for theirs to begin
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

func (f *Feed) newPages(name string, single bool, apart *apart) *pages {
	p := &pages{single: single, unread: make(map[pageKey]*pageCall)}
	read := func(ctx context.Context, calls []*pageCall, halvings int) ([]*pageCall, error) {
		return f.readPages(ctx, p, calls, halvings)
	}
	p.lane = newLane(name, f.log, batchSize, apart, read, func(a, b *pageCall) bool { return a.key.pageGroup == b.key.pageGroup })
	p.lane.prompt = single // who is given the error decides when to ask again
	return p
}

// request asks for a page for a subscription or, where that is nil, for a single read, and does not wait. The read begins
// after request is called, so the page has every item that was committed by then. types must be sorted. It returns nil
// where too many single reads wait.
func (p *pages) request(position Position, backwards bool, items int, types []string, s *Subscription) *pageCall {
	names := ""
	if types != nil {
		names = fmt.Sprintf("%q", types)
	}
	key := pageKey{pageGroup{backwards, items, names}, position}
	p.mu.Lock()
	if s == nil && p.askers >= maxWaiting {
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
		p.askers++
	}
	p.mu.Unlock()
	if !ok {
		p.lane.put(call)
	}
	return call
}

// abandon says that a single read no longer waits for the page. Unless it is to be abandoned in any case, it is only where
// the read has not begun; abandon reports whether it is.
func (c *pageCall) abandon(always bool) bool {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	if c.begun && !always {
		return false
	}
	c.singles--
	if !c.begun {
		c.of.askers--
	}
	return true
}

// leave says that a subscription no longer waits for the page.
func (c *pageCall) leave(s *Subscription) {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	c.subscriptions = slices.DeleteFunc(c.subscriptions, func(other *Subscription) bool { return other == s })
}

// begin closes calls to those who come later: a page has what was committed when it was asked for.
func (p *pages) begin(calls []*pageCall) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, call := range calls {
		if !call.begun {
			call.begun = true
			p.askers -= call.singles
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
		delete(c.of.unread, c.key) // nobody may join what will not be read
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

// readPages reads pages of one group. It returns those that are full of bytes.
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

// leastAhead is how many items are asked for at least.
const leastAhead = 16

// ahead is how many items to ask for when the page after this one is read ahead. As nobody waits for it, they are more than
// a window has. Where it is bytes that end pages they are not many more than this one has: to find where a page ends the
// source looks at every item that it is asked for.
func (f *Feed) ahead(page Page) int {
	most := aheadWindows * f.window.Items
	if page.size() < f.window.Bytes {
		return most
	}
	return min(most, max(leastAhead, 4<<bits.Len(uint(len(page.Items))))) // powers of two, so that pages have queries in common
}

// size is how many bytes the page's items have.
func (p Page) size() (bytes int) {
	for _, item := range p.Items {
		bytes += item.Size()
	}
	return bytes
}
