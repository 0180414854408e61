package feed

import (
	"cmp"
	"slices"
	"time"
)

// life is what a topic knows of its workflow's history: which one it is, and what of it was erased.
type life struct {
	known   bool   // else nothing below means anything, and the next load begins it
	exists  bool   // the source has given a head of this history
	silent  bool   // the source gives no head though there are items, so that it has none says nothing
	born    Cursor // when the history began
	first   Cursor // of the items that came before the source gave a head, the first; the next comparison has the head
	mark    int64  // of the newest erasure that followers have been told of
	dropped *tail  // what the topic had before it has to be loaded again; nil if it may have been anything
	behind  bool   // the source's head has been seen below what dropped had read
	alarmed bool   // a wake has told of an erasure since the load began
	redone  int    // loads in a row that such a wake has spoilt

	glimpsed Head // what a comparison has given since the load began
}

// maxRedone is how many loads in a row a wake that tells of an erasure can spoil. Whoever erases without a pause would
// otherwise keep the topic from ever being loaded; what the last load may have too much goes with the comparison after it.
const maxRedone = 3

// alarm notes that items of the workflow were erased. It reports whether anyone follows it, and whether the topic has to
// be compared; a load that is under way begins anew.
func (t *topic) alarm() (followed, compare bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.life.alarmed = true
	return len(t.subscriptions) > 0, t.tail.Load().loaded
}

// farAhead is how far beyond the source's head a wake is that nobody's items explain: an hour.
const farAhead Cursor = 3600_000000

// verdict is what a comparison with the source has come to.
type verdict struct {
	grow bool // the topic has to read what comes after its tail
	load bool // the topic has dropped its tail and has to be loaded
	lost bool // a notification is lost
}

// compare compares the topic with the head that the source has. What began before the topic dropped its tail says
// nothing of it any more.
func (t *topic) compare(g glance, head Head, exists, expected bool, now time.Duration) (v verdict) {
	t.mu.Lock()
	defer t.mu.Unlock()
	g.at = now
	tail := t.tail.Load()
	if tail.drops != g.tail.drops {
		return v
	}
	if tail.loaded && g.tail.loaded {
		switch {
		case !exists && !t.life.exists && !t.life.silent && g.tail.oldest() > 0:
			t.drop(tail) // whether there are items is for a load to say
			return verdict{load: true}
		case t.life.differs(g.tail, head, exists):
			t.begunNew(now)
			return verdict{load: true}
		case exists && (head.Erased != t.life.mark || head.At < g.tail.read):
			t.drop(tail)
			t.life.mark = min(t.life.mark, head.Erased) // a failover may have lost erasures, too
			t.life.behind = head.At < g.tail.read
			return verdict{load: true}
		}
		if exists && (!t.life.exists || tail.born != head.Born) {
			t.life.exists, t.life.silent, t.life.born, t.life.first = true, false, head.Born, 0
			adopted := *tail
			adopted.born = head.Born
			t.tail.Store(&adopted)
		}
		t.sourceHead = max(t.sourceHead, head.At)
	}
	if !tail.loaded && head.Erased >= t.life.glimpsed.Erased {
		t.life.glimpsed = head
	}
	if dropped := t.life.dropped; !tail.loaded && dropped != nil && exists && head.At < dropped.read {
		t.life.behind = true // it may no longer be when the topic is loaded
	}
	v.grow = t.behind(head.At)
	if v.grow {
		t.wakes.swept = g.tail.loaded && !expected
	}
	t.checked(g)
	return v
}

// sweep is compare by the sweep. It reports as lost an item that the sweep before had to find and that has still not been
// heard of. What a sweep finds that is expected to find something, because the listener was away, is not held against the
// listener.
func (t *topic) sweep(g glance, head Head, exists, expected bool, now time.Duration) verdict {
	t.mu.Lock()
	if t.wakes.heard > head.At+farAhead {
		t.wakes.heard = head.At // it was forged, and would hide every loss from now on
	}
	lost := t.wakes.unannounced > t.wakes.heard
	t.wakes.unannounced = 0
	if kept := t.tail.Load(); len(kept.news.events) > 0 {
		aged := *kept
		aged.news = kept.news.since(now - newsFor)
		t.tail.Store(&aged)
	}
	t.mu.Unlock()
	v := t.compare(g, head, exists, expected, now)
	v.lost = lost
	return v
}

// differs reports whether the source has another history than the one that a tail is of. A tail that was loaded for this
// history is of it, also where an item is older than the history says it is: what else there is will not change that.
func (l *life) differs(t *tail, head Head, exists bool) bool {
	if !exists {
		return l.exists && t.oldest() > 0
	}
	oldest := cmp.Or(l.first, t.oldest())
	return l.born != 0 && l.born != head.Born || t.born != head.Born && 0 < oldest && oldest < head.Born
}

// drop forgets the tail, which the source no longer agrees with. Nobody is served from it any more, and what is being read
// for it is not taken. The caller holds mu.
func (t *topic) drop(dropped *tail) {
	t.tail.Store(&tail{drops: dropped.drops + 1, news: dropped.news})
	t.life.dropped = dropped
	t.sourceHead, t.wakes = 0, wakes{}
}

// begunNew drops the tail because the workflow has been erased, and tells the followers. The caller holds mu.
func (t *topic) begunNew(now time.Duration) {
	t.drop(t.tail.Load())
	t.life = life{alarmed: t.life.alarmed, redone: t.life.redone}
	t.report(event{kind: begunNew, when: now})
}

// report adds to the news and tells the followers. The caller holds mu.
func (t *topic) report(events ...event) {
	told := *t.tail.Load()
	told.news = told.news.with(events...)
	t.tail.Store(&told)
	t.tellAll()
}

// meet compares a topic that is being loaded with the head that the source has. It returns the mark after which erasures
// have to be read, if any have, and the tail that the topic had before, if the source may have lost what it had read.
func (t *topic) meet(head Head, exists bool, now time.Duration) (erased bool, after int64, before *tail) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.life.known || t.life.dropped == nil {
		return false, 0, nil
	}
	if t.life.differs(t.life.dropped, head, exists) {
		t.begunNew(now)
		return false, 0, nil
	}
	if exists && (t.life.behind || t.life.dropped.read > head.At) {
		before = t.life.dropped
	}
	return head.Erased > t.life.mark, t.life.mark, before
}

// tellGone tells the followers of items that were erased.
func (t *topic) tellGone(gone []Gone, now time.Duration) {
	events := make([]event, len(gone))
	for i, g := range gone {
		events[i] = event{kind: itemGone, when: now, gone: g}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.life.mark = max(t.life.mark, gone[len(gone)-1].Mark)
	t.report(events...)
}

// goBack sends the positions of the followers back to where the source agrees with what they have had.
func (t *topic) goBack(g glance, to Cursor, now time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.life.behind = false
	agreed := *t.life.dropped
	if to >= agreed.read {
		return
	}
	agreed.read = to // so that a load that fails after this does not find it again
	agreed.items = slices.DeleteFunc(slices.Clone(agreed.items), func(i *Item) bool { return i.CreatedAt > to })
	t.life.dropped = &agreed
	t.report(event{kind: wentBack, when: now, to: to, by: g.began})
}

// startOver tells the followers that what they have may not be what the source has.
func (t *topic) startOver(now time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.begunNew(now)
}

// load takes the newest items as the topic's tail. The head was read before them, so the tail is at least as new as its
// mark. A load that an erasure may have overtaken is done again; at last it is taken, and has to be compared.
func (t *topic) load(g glance, head Head, exists bool, page Page, bound Window) (redo, compare, behind bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.tail.Load()
	if now.loaded {
		return false, false, false
	}
	seen := t.life.glimpsed
	overtaken := t.life.alarmed || seen != (Head{}) && (seen.Erased > head.Erased || seen.Born != head.Born)
	if overtaken && t.life.redone < maxRedone {
		t.life.redone++
		return true, false, false
	}
	dropped := t.life.dropped
	if dropped != nil && !exists && len(page.Items) == 0 {
		t.begunNew(g.at)
		now, dropped = t.tail.Load(), nil
	}
	mark := head.Erased
	if t.life.known {
		mark = max(mark, t.life.mark)
	}
	t.life = life{known: true, exists: exists, born: head.Born, mark: mark}
	t.life.silent = !exists && len(page.Items) > 0 && dropped != nil
	fresh := tail{loaded: true, wanted: now.wanted, born: head.Born, drops: now.drops, news: now.news}
	if page.More && len(page.Items) > 0 {
		fresh.floor = page.Items[0].CreatedAt - 1
	}
	t.extend(fresh, page.Items, head.At, bound)
	if read := t.tail.Load().read; dropped != nil && read < dropped.read {
		t.report(event{kind: wentBack, when: g.at, to: read, by: g.began}) // nobody has moved on since the tail was dropped
	}
	t.checked(g)
	t.tellAll()
	return false, overtaken || !exists && len(page.Items) > 0 && !t.life.silent, t.stale
}

// isReload reports whether the topic had a tail before.
func (t *topic) isReload() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.life.dropped != nil
}
