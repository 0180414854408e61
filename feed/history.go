package feed

import (
	"cmp"
	"slices"
	"time"
)

// history is what a topic knows about its workflow's history: which one it is, and what was erased of it.
type history struct {
	known        bool   // otherwise the fields below are not valid, and the next load sets them
	exists       bool   // the source has returned a head of this history
	headless     bool   // the source returns no head though there are items, so a missing head means nothing
	born         Cursor // when the history began
	first        Cursor // the first item that came before the source returned a head; the next comparison returns it
	mark         int64  // of the newest erasure that followers know
	dropped      *tail  // the tail before it was dropped to be loaded again; nil if it is unknown
	behind       bool   // the source's head was seen below dropped.read
	erasureNoted bool   // a wake has reported an erasure since the load began
	reloads      int    // loads in a row that such a wake has invalidated

	compared Head // the head from a comparison since the load began
}

// maxReloads is how many loads in a row can be invalidated by a wake that reports an erasure. Without a limit, continuous
// erasing would keep the topic from ever being loaded. If the last load has erased items, the comparison after it finds them.
const maxReloads = 3

// noteErasure records that items of the workflow were erased. It reports whether anyone follows the topic, and whether it has
// to be compared; a load in flight is repeated.
func (t *topic) noteErasure() (followed, compare bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.history.erasureNoted = true
	return len(t.subscriptions) > 0, t.tail.Load().loaded
}

// farAhead is how far a wake may be ahead of the source's head before it is regarded as forged: an hour.
const farAhead Cursor = 3600_000000

// comparison is the result of a comparison with the source.
type comparison struct {
	grow bool // the topic has to read the items after its tail
	load bool // the topic has dropped its tail and has to be loaded
	lost bool // a notification was lost
}

// compare compares the topic with the source's head. A comparison that began before the topic dropped its tail is ignored.
func (t *topic) compare(g snapshot, head Head, exists, expected bool, now time.Duration) (v comparison) {
	t.mu.Lock()
	defer t.mu.Unlock()
	g.at = now
	tail := t.tail.Load()
	if tail.drops != g.tail.drops {
		return v
	}
	if tail.loaded && g.tail.loaded {
		switch {
		case !exists && !t.history.exists && !t.history.headless && g.tail.oldest() > 0:
			t.drop(tail) // a load finds out whether there are items
			return comparison{load: true}
		case t.history.differs(g.tail, head, exists):
			t.resetLocked(now)
			return comparison{load: true}
		case exists && (head.Erased != t.history.mark || head.At < g.tail.read):
			t.drop(tail)
			t.history.mark = min(t.history.mark, head.Erased) // a failover may have lost erasures too
			t.history.behind = head.At < g.tail.read
			return comparison{load: true}
		}
		if exists && (!t.history.exists || tail.born != head.Born) {
			t.history.exists, t.history.headless, t.history.born, t.history.first = true, false, head.Born, 0
			adopted := *tail
			adopted.born = head.Born
			t.tail.Store(&adopted)
		}
		t.sourceHead = max(t.sourceHead, head.At)
	}
	if !tail.loaded && head.Erased >= t.history.compared.Erased {
		t.history.compared = head
	}
	if dropped := t.history.dropped; !tail.loaded && dropped != nil && exists && head.At < dropped.read {
		t.history.behind = true // the head may have grown again by the time the topic is loaded
	}
	v.grow = t.behind(head.At)
	if v.grow {
		t.wakes.bySweep = g.tail.loaded && !expected
	}
	t.checked(g)
	return v
}

// sweep is compare for the sweep. It reports a lost notification if the previous sweep found an item for which no wake has
// come since. If expected is set, because the listener was not connected, what the sweep finds does not count as lost.
func (t *topic) sweep(g snapshot, head Head, exists, expected bool, now time.Duration) comparison {
	t.mu.Lock()
	if t.wakes.head > head.At+farAhead {
		t.wakes.head = head.At // it was forged, and would hide all later losses
	}
	lost := t.wakes.unannounced > t.wakes.head
	t.wakes.unannounced = 0
	if kept := t.tail.Load(); len(kept.news.events) > 0 {
		aged := *kept
		aged.news = kept.news.since(now - newsMaxAge)
		t.tail.Store(&aged)
	}
	t.mu.Unlock()
	v := t.compare(g, head, exists, expected, now)
	v.lost = lost
	return v
}

// differs reports whether the source has another history than the tail. A tail that was loaded for this history belongs to
// it even if an item is older than the history: loading again would not change that.
func (h *history) differs(t *tail, head Head, exists bool) bool {
	if !exists {
		return h.exists && t.oldest() > 0
	}
	oldest := cmp.Or(h.first, t.oldest())
	return h.born != 0 && h.born != head.Born || t.born != head.Born && 0 < oldest && oldest < head.Born
}

// drop drops the tail, which no longer matches the source. No subscription is served from it any more, and reads in flight
// for it are discarded. The caller holds mu.
func (t *topic) drop(dropped *tail) {
	t.tail.Store(&tail{drops: dropped.drops + 1, news: dropped.news})
	t.history.dropped = dropped
	t.sourceHead, t.wakes = 0, wakes{}
}

// resetLocked drops the tail because the workflow was erased, and notifies the followers. The caller holds mu.
func (t *topic) resetLocked(now time.Duration) {
	t.drop(t.tail.Load())
	t.history = history{erasureNoted: t.history.erasureNoted, reloads: t.history.reloads}
	t.report(event{kind: newHistory, when: now})
}

// report adds events to the news and wakes the followers. The caller holds mu.
func (t *topic) report(events ...event) {
	updated := *t.tail.Load()
	updated.news = updated.news.with(events...)
	t.tail.Store(&updated)
	t.notifyLocked()
}

// compareReload compares a topic that is being loaded again with the source's head. It returns whether erasures have to be
// read and after which mark, and the previous tail if the source may have lost items of it.
func (t *topic) compareReload(head Head, exists bool, now time.Duration) (erased bool, after int64, before *tail) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.history.known || t.history.dropped == nil {
		return false, 0, nil
	}
	if t.history.differs(t.history.dropped, head, exists) {
		t.resetLocked(now)
		return false, 0, nil
	}
	if exists && (t.history.behind || t.history.dropped.read > head.At) {
		before = t.history.dropped
	}
	return head.Erased > t.history.mark, t.history.mark, before
}

// reportGone reports erased items to the followers.
func (t *topic) reportGone(gone []Gone, now time.Duration) {
	events := make([]event, len(gone))
	for i, g := range gone {
		events[i] = event{kind: itemGone, when: now, gone: g}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.history.mark = max(t.history.mark, gone[len(gone)-1].Mark)
	t.report(events...)
}

// rewind moves the positions of the followers back to the newest item that they and the source have in common.
func (t *topic) rewind(g snapshot, to Cursor, now time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.history.behind = false
	agreed := *t.history.dropped
	if to >= agreed.read {
		return
	}
	agreed.read = to // so that the rewind is not repeated if the load fails after this
	agreed.items = slices.DeleteFunc(slices.Clone(agreed.items), func(i *Item) bool { return i.CreatedAt > to })
	t.history.dropped = &agreed
	t.report(event{kind: rewound, when: now, to: to, by: g.began})
}

// reset tells the followers to start again from the beginning.
func (t *topic) reset(now time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.resetLocked(now)
}

// load takes the newest items as the topic's tail. The head was read before them, so the tail is at least as new as its
// mark. If items may have been erased during the load, it is repeated, up to maxReloads times; then the result is used and
// must be compared.
func (t *topic) load(g snapshot, head Head, exists bool, page Page, bound Window) (retry, compare, behind bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.tail.Load()
	if now.loaded {
		return false, false, false
	}
	seen := t.history.compared
	overtaken := t.history.erasureNoted || seen != (Head{}) && (seen.Erased > head.Erased || seen.Born != head.Born)
	if overtaken && t.history.reloads < maxReloads {
		t.history.reloads++
		return true, false, false
	}
	dropped := t.history.dropped
	if dropped != nil && !exists && len(page.Items) == 0 {
		t.resetLocked(g.at)
		now, dropped = t.tail.Load(), nil
	}
	mark := head.Erased
	if t.history.known {
		mark = max(mark, t.history.mark)
	}
	t.history = history{known: true, exists: exists, born: head.Born, mark: mark}
	t.history.headless = !exists && len(page.Items) > 0 && dropped != nil
	fresh := tail{loaded: true, target: now.target, born: head.Born, drops: now.drops, news: now.news}
	if page.More && len(page.Items) > 0 {
		fresh.floor = page.Items[0].CreatedAt - 1
	}
	t.extend(fresh, page.Items, head.At, bound)
	if read := t.tail.Load().read; dropped != nil && read < dropped.read {
		t.report(event{kind: rewound, when: g.at, to: read, by: g.began}) // no follower has advanced since the tail was dropped
	}
	t.checked(g)
	t.notifyLocked()
	return false, overtaken || !exists && len(page.Items) > 0 && !t.history.headless, t.stale
}

// isReload reports whether the topic had a tail before.
func (t *topic) isReload() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.history.dropped != nil
}
