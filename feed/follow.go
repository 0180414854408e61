package feed

// follow is a subscription's position in one workflow.
type follow struct {
	topic      *topic
	joined     tick
	newsSeen   uint64 // how many events of the topic's news the client has been given
	at         Cursor
	unverified bool // at comes from the client: nothing has been delivered since, and it has not been compared with the source
	last       int  // items still to go back from the head before at is known; negative when at is known
	search     search
}

// search is how far back a follow has looked for the start of the last items.
type search struct {
	begun bool
	seen  Cursor // everything from here on has been searched
	whole int    // how many items to find in total
}

// position is where a client that has everything delivered so far may resume.
func (f *follow) position() Start {
	switch {
	case f.last < 0:
		return After(f.topic.workflowID, f.at)
	case f.search.begun:
		return Last(f.topic.workflowID, f.search.whole)
	default:
		return Last(f.topic.workflowID, f.last)
	}
}

// move sets the position to the last delivered item.
func (f *follow) move(to Cursor) { f.at, f.unverified = to, false }

// restart sends the follow back to the beginning, or restarts its search for the last items if it has not found them yet.
func (f *follow) restart() {
	f.at, f.unverified = 0, false
	f.restartSearch()
}

// restartSearch restarts the search for the last items.
func (f *follow) restartSearch() {
	if f.search.begun {
		f.last, f.search = f.search.whole, search{}
	}
}

// readNews reads the topic's news since the last call. It returns the erased items, and whether the workflow's history was
// replaced; items erased before that no longer matter.
func (f *follow) readNews() (gone []Gone, anew bool) {
	checked := f.unverified && f.checked() // before the tail, which is then at least as new
	tail := f.topic.tail.Load()
	if f.newsSeen != tail.news.count() {
		gone, anew = f.applyNews(tail.news)
	}
	return gone, f.unverified && f.verify(tail, checked) || anew
}

func (f *follow) applyNews(n *news) (gone []Gone, anew bool) {
	seen := f.newsSeen
	f.newsSeen = n.count()
	if seen < n.dropped { // some of it is no longer kept
		f.restart()
		return nil, true
	}
	for _, e := range n.events[seen-n.dropped:] {
		switch e.kind {
		case itemGone:
			gone = append(gone, e.gone)
		case newHistory:
			if !f.unverified { // otherwise the cursor may belong to the new history already
				f.restart()
				gone, anew = nil, true
			}
		case rewound:
			if f.joined < e.by && f.at > e.to && !f.unverified {
				f.at = e.to
			}
			f.restartSearch()
		}
	}
	return gone, anew
}

// verify compares a cursor that came from the client with the source. A cursor from before the workflow was born belongs to
// an erased history. A cursor beyond the head is set to the head, but only after the source has been asked: the topic may
// just be behind.
func (f *follow) verify(t *tail, checked bool) (anew bool) {
	switch {
	case !t.loaded:
		return false
	case 0 < f.at && f.at < t.born:
		f.restart()
		return true
	case !checked || t.target > t.read:
		return false
	case f.at > t.read:
		anew = t.read == 0 // the workflow is empty: everything that the client has is erased
		f.at = t.read
	}
	f.unverified = false
	return anew
}

// checked reports whether the source has been asked about the topic since the follow joined.
func (f *follow) checked() bool { return f.topic.contact.checked.Load() > uint64(f.joined) }

// currentTail returns the tail, and whether the follow's position can be used with it.
func (f *follow) currentTail() (t *tail, ok bool) {
	unsure := f.unverified && f.at > 0 && !f.checked() // before the tail, which is then at least as new
	t = f.topic.tail.Load()
	// As long as the born time of the workflow is not known, a cursor may belong to another history.
	return t, t.loaded && f.newsSeen == t.news.count() && (!unsure || t.born != 0)
}

// reached reports whether the follow has passed every item, according to a read or comparison that began after it joined.
func (f *follow) reached() bool {
	checked := f.checked() // before the tail, which is then at least as new
	t, ok := f.currentTail()
	return ok && checked && f.last < 0 && !f.unverified && t.reached(f.at)
}
