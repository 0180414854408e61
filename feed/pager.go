package feed

// pager is the one page that a subscription has requested.
type pager struct {
	call       *pageCall
	of         *follow // the follow that the page is for
	drops      uint64  // its topic's drops at the time of the request
	head       Cursor  // the end of its topic's tail at that time
	contended  bool    // another follow needs a page and has to wait for this one
	contention bool    // the same in the round before
}

// begin starts a round over all follows.
func (p *pager) begin() { p.contention, p.contended = p.contended, false }

// request requests a page, unless another is pending.
func (s *Subscription) request(f *follow, tail *tail, from Position, backwards bool, items int) {
	p := &s.pager
	if p.call != nil {
		p.contended = true
		return
	}
	p.call = s.feed.catchUp.request(from, backwards, items, s.types, s)
	p.of, p.drops, p.head = f, tail.drops, tail.read
}

// collect takes the requested page, if it has arrived. The last page reaches the end that the tail had at the time of the
// request, even if its items do not: the items between are of other types. A page that was requested before the topic
// dropped its tail may contain erased items, and is requested again.
func (s *Subscription) collect(f *follow) (items []*Item, done bool) {
	p := &s.pager
	if tail := f.topic.tail.Load(); tail.drops != p.drops {
		s.forget(f)
		f.restartSearch()
		return nil, true
	}
	select {
	case <-p.call.done:
	default:
		return nil, false
	}
	page := p.call.page
	p.call, p.of = nil, nil
	if f.last >= 0 {
		return s.found(f, page), true
	}
	if n := len(page.Items); n > 0 {
		f.move(page.Items[n-1].CreatedAt)
	}
	switch {
	case !page.More:
		f.move(max(f.at, p.head))
	case !p.contended && !p.contention:
		s.readAhead(f, page)
	}
	return page.Items, true
}

// forget abandons the requested page, if it is for the follow.
func (s *Subscription) forget(f *follow) {
	if s.pager.of == f {
		s.pager.call.leave(s)
		s.pager.call, s.pager.of = nil, nil
	}
}

// readAhead requests the page after this one, so that it is read while this one is being sent to the client. As nobody is
// waiting for it yet, it may have more items than usual, though not more bytes.
func (s *Subscription) readAhead(f *follow, page Page) {
	if tail, ok := f.currentTail(); ok && f.at < tail.floor {
		s.request(f, tail, Position{f.topic.workflowID, f.at}, false, s.feed.ahead(page))
	}
}

// findStart searches backwards from the tail for the start of the last items, and reports whether it is found.
func (s *Subscription) findStart(f *follow, tail *tail) bool {
	if !f.search.begun {
		at, lacks := tail.newest(f.last, s.types)
		if lacks == 0 {
			f.at, f.last = at, -1
			return true
		}
		f.search = search{begun: true, seen: tail.floor + 1, whole: f.last}
		f.last = lacks
	}
	items := min(f.last, maxAheadWindows*s.feed.window.Items)
	s.request(f, tail, Position{f.topic.workflowID, f.search.seen}, true, items)
	return false
}

// found takes a page of the backwards search for the last items. The page in which they begin is the first that is
// delivered; pages before it in the search are read again later. If the first page is enough, nothing is read twice.
func (s *Subscription) found(f *follow, page Page) []*Item {
	f.last -= len(page.Items)
	reached := f.search.seen - 1
	if len(page.Items) > 0 {
		f.search.seen = page.Items[0].CreatedAt
	}
	if f.last > 0 && page.More {
		return nil
	}
	f.last, f.search = -1, search{}
	f.move(reached)
	return page.Items
}
