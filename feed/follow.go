package feed

// follow is a subscription's place in one workflow.
type follow struct {
	topic  *topic
	joined tick
	told   uint64 // how many of the topic's news the client has been told
	at     Cursor
	given  bool // at is the client's word: nothing has been delivered since, and the source has not been asked about it
	last   int  // items still to go back from the head before at is known; below zero when at is known
	search search
}

// search is how far back a follow has looked for where the last items begin.
type search struct {
	begun bool
	seen  Cursor // everything from here on has been looked at
	whole int    // how many were to be found in all
}

// position is where a client that has all that was delivered may begin again.
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

// move sets the position to where items have been delivered up to.
func (f *follow) move(to Cursor) { f.at, f.given = to, false }

// restart sends the follow back to the beginning. One that has not found its last items yet looks for them again.
func (f *follow) restart() {
	f.at, f.given = 0, false
	f.again()
}

// again begins the search for the last items anew.
func (f *follow) again() {
	if f.search.begun {
		f.last, f.search = f.search.whole, search{}
	}
}

// hear takes what the topic has reported since the follow last looked. It returns the items that are gone, and whether the
// workflow's history has begun anew; what was gone before that is of no interest then.
func (f *follow) hear() (gone []Gone, anew bool) {
	checked := f.given && f.checked() // before the tail, which is then at least as new
	tail := f.topic.tail.Load()
	if f.told != tail.news.count() {
		gone, anew = f.take(tail.news)
	}
	return gone, f.given && f.verify(tail, checked) || anew
}

func (f *follow) take(n *news) (gone []Gone, anew bool) {
	told := f.told
	f.told = n.count()
	if told < n.dropped { // some of it is no longer kept
		f.restart()
		return nil, true
	}
	for _, e := range n.events[told-n.dropped:] {
		switch e.kind {
		case itemGone:
			gone = append(gone, e.gone)
		case begunNew:
			if !f.given { // else the cursor may be of the new history already
				f.restart()
				gone, anew = nil, true
			}
		case wentBack:
			if f.joined < e.by && f.at > e.to && !f.given {
				f.at = e.to
			}
			f.again()
		}
	}
	return gone, anew
}

// verify compares a cursor that the client has given with what the source has. One from before the workflow was born is of
// a history that is erased. One that is beyond the head is the head; but that can be said only after the source has been
// asked, as the topic may just be behind.
func (f *follow) verify(t *tail, checked bool) (anew bool) {
	switch {
	case !t.loaded:
		return false
	case 0 < f.at && f.at < t.born:
		f.restart()
		return true
	case !checked || t.wanted > t.read:
		return false
	case f.at > t.read:
		anew = t.read == 0 // the workflow has nothing: all that the client has is erased
		f.at = t.read
	}
	f.given = false
	return anew
}

// checked reports whether the source has been asked about the topic since the follow came.
func (f *follow) checked() bool { return f.topic.contact.checked.Load() > uint64(f.joined) }

// place returns the tail, and whether the follow can take its place in it.
func (f *follow) place() (t *tail, ok bool) {
	unsure := f.given && f.at > 0 && !f.checked() // before the tail, which is then at least as new
	t = f.topic.tail.Load()
	// Where it is not known yet when the workflow was born, a cursor may be of another history.
	return t, t.loaded && f.told == t.news.count() && (!unsure || t.born != 0)
}

// reached reports whether the follow has passed all that there is, on the strength of a read or comparison that began
// after it came.
func (f *follow) reached() bool {
	checked := f.checked() // before the tail, which is then at least as new
	t, ok := f.place()
	return ok && checked && f.last < 0 && !f.given && t.reached(f.at)
}
