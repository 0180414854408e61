package feed

// pager is the one page that a subscription has asked for.
type pager struct {
	call       *pageCall
	of         *follow // whose page that is
	drops      uint64  // how often its topic had dropped its tail when the page was asked for
	head       Cursor  // what its topic had read then
	contended  bool    // another follow needs a page and has to wait
	contention bool    // one had to when the subscription last looked
}

// begin begins another round over all follows.
func (p *pager) begin() { p.contention, p.contended = p.contended, false }

// request asks for a page, one at a time.
func (s *Subscription) request(f *follow, tail *tail, from Position, backwards bool, items int) {
	p := &s.pager
	if p.call != nil {
		p.contended = true
		return
	}
	p.call = s.feed.behind.request(from, backwards, items, s.types, s)
	p.of, p.drops, p.head = f, tail.drops, tail.read
}

// collect takes the page that was asked for, if it is there. A page that is the last reaches to where the topic had read
// when it was asked for, even if its items do not: what lies between is of other types. A page that was asked for before
// the topic dropped its tail may have what is erased by now, and is asked for again.
func (s *Subscription) collect(f *follow) (items []*Item, done bool) {
	p := &s.pager
	if tail := f.topic.tail.Load(); tail.drops != p.drops {
		s.forget(f)
		f.again()
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

// forget gives up the page that was asked for, if it is one of the follow.
func (s *Subscription) forget(f *follow) {
	if s.pager.of == f {
		s.pager.call.leave(s)
		s.pager.call, s.pager.of = nil, nil
	}
}

// readAhead asks for what comes after a page, so that it is read while the one before is on its way to the client. As
// that takes a while, the page may have more items than one that somebody waits for, though not more bytes.
func (s *Subscription) readAhead(f *follow, page Page) {
	if tail, ok := f.place(); ok && f.at < tail.floor {
		s.request(f, tail, Position{f.topic.workflowID, f.at}, false, s.feed.ahead(page))
	}
}

// findStart goes back from the tail until it knows where the last items begin, and reports whether it does now.
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
	items := min(f.last, aheadWindows*s.feed.window.Items)
	s.request(f, tail, Position{f.topic.workflowID, f.search.seen}, true, items)
	return false
}

// found takes a page on the way back to where the last items begin. The one in which they begin is the first that is
// delivered; those on the way there are read again, and where there were none nothing is read twice.
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
