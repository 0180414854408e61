package feed

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// topic is what the feed keeps in memory of one workflow that someone follows.
type topic struct {
	workflowID string
	queued     bool      // on the dirty list; guarded by Feed.mu
	idleSince  time.Time // when the last subscription left; guarded by Feed.mu

	mu            sync.RWMutex
	subscriptions map[*Subscription]struct{}
	loaded        bool    // the first read is done; until then nothing below but wanted and heard means anything
	items         []*Item // the tail: every item after floor, up to read
	bytes         int
	floor         Cursor
	read          Cursor // every item up to here has been read
	wanted        Cursor // the newest head that anyone told of
	stale         bool   // someone told of a head since the last read began
	proven        Cursor // the newest head that the source itself gave: whatever reads from now on reaches it
	heard         Cursor // the newest head that a wake told of
	swept         bool   // the next read is the sweep's doing
	unheard       Cursor // CreatedAt of an item that a sweep found and no wake has told of yet
}

// want notes a head that a wake told of and reports whether the topic has to read. A wake is only a hint: it may be
// wrong, and moves nothing but wanted.
func (t *topic) want(head Cursor) (behind bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.heard = max(t.heard, head)
	if t.loaded && head <= t.read {
		return false
	}
	t.wanted = max(t.wanted, head)
	t.stale = true
	return true
}

// sweep compares the topic with the head that the source has. It reports whether the topic has to read, and whether an
// item that the sweep before had to find has still not been heard of: its notification is lost. What a sweep finds that
// is expected to find something, because the listener was away, is not held against the listener.
func (t *topic) sweep(head Cursor, exists, expected bool) (behind, lost bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	lost = t.unheard > t.heard
	t.unheard = 0
	if !exists && t.loaded && t.read > 0 { // erased: what is in memory is no longer true
		t.loaded, t.items, t.bytes = false, nil, 0
		t.floor, t.read, t.wanted, t.proven, t.heard = 0, 0, 0, 0, 0
		return true, lost
	}
	t.proven = head
	if t.loaded && head <= t.read {
		return false, lost
	}
	// A topic that is not loaded is being read already, but that read may have begun before the head was there.
	t.wanted = max(t.wanted, head)
	t.stale = true
	t.swept = t.loaded && !expected
	return true, lost
}

// begin says how the topic is to be read: by its newest items or, if it is behind, by those after read. A read that
// starts from now on is sure to reach proven.
func (t *topic) begin() (loaded, behind bool, read, proven Cursor) {
	t.mu.Lock()
	defer t.mu.Unlock()
	behind = t.stale && t.wanted > t.read // else an earlier read has served the wake
	t.stale = false
	return t.loaded, behind, t.read, t.proven
}

// failed notes that a read that began has come to nothing.
func (t *topic) failed() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stale = true
}

// load takes the newest items as the topic's tail.
func (t *topic) load(page Page, proven Cursor, bound Window) (behind bool) {
	defer t.tell()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.loaded = true
	t.floor = 0
	if page.More && len(page.Items) > 0 {
		t.floor = page.Items[0].CreatedAt - 1
	}
	t.items, t.bytes, t.read = nil, 0, 0
	return t.extend(page.Items, proven, bound)
}

// grow appends a page that was read after t.read and reports whether there is still more to read.
func (t *topic) grow(page Page, proven Cursor, bound Window) (behind bool) {
	defer t.tell()
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := len(page.Items); n > 0 && t.swept && page.Items[n-1].CreatedAt > t.heard {
		t.unheard = page.Items[n-1].CreatedAt
	}
	t.swept = t.swept && page.More
	if page.More { // the page says nothing of what is after its last item
		proven = 0
		t.stale = true
		t.wanted = max(t.wanted, page.Items[len(page.Items)-1].CreatedAt+1)
	}
	return t.extend(page.Items, proven, bound)
}

func (t *topic) extend(items []*Item, proven Cursor, bound Window) (behind bool) {
	for _, item := range items {
		t.bytes += item.Size()
	}
	t.items = append(t.items, items...)
	if n := len(t.items); n > 0 {
		t.read = max(t.read, t.items[n-1].CreatedAt)
	}
	t.read = max(t.read, proven)
	for len(t.items) > bound.Items || t.bytes > bound.Bytes && len(t.items) > 1 {
		t.floor = t.items[0].CreatedAt
		t.bytes -= t.items[0].Size()
		t.items = t.items[1:] // subscriptions may hold the array, so it is left as it is
	}
	if !t.stale {
		t.wanted = t.read // all that there was has been read, whatever a wake had promised
	}
	return t.stale
}

// tell wakes every subscription, without waiting for any. Those that wake look at the topic while others are being told.
func (t *topic) tell() {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for s := range t.subscriptions {
		select {
		case s.ready <- struct{}{}:
		default: // it has been told and has not looked yet
		}
	}
}

// view is what a topic offers to a subscription at one position.
type view struct {
	loaded  bool
	tail    bool    // the position is at or above the floor: items is all there is to read next
	items   []*Item // from the tail; shared, not to be changed
	read    Cursor  // the topic has read up to here
	current bool    // nobody has told of anything after read, or after the position if that is later
}

// after returns the next items after the cursor, if the tail reaches back to it. They are no more than a window, as the
// tail is not.
func (t *topic) after(at Cursor) view {
	t.mu.RLock()
	defer t.mu.RUnlock()
	v := view{loaded: t.loaded, tail: t.loaded && at >= t.floor, read: t.read, current: max(at, t.read) >= t.wanted}
	if !v.tail || at >= t.read {
		return v
	}
	first, _ := slices.BinarySearchFunc(t.items, at+1, func(i *Item, c Cursor) int { return cmp.Compare(i.CreatedAt, c) })
	v.items = t.items[first:len(t.items):len(t.items)]
	return v
}

// reached reports whether nothing that the topic knows of comes after the cursor.
func (t *topic) reached(at Cursor) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.loaded && at >= t.read && at >= t.wanted
}

// newest returns the position before the newest n items of the given types, if the tail holds that many or everything.
func (t *topic) newest(n int, types []string) (at Cursor, ok bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if !t.loaded {
		return 0, false
	}
	if n == 0 {
		return t.read, true
	}
	for i := len(t.items) - 1; i >= 0; i-- {
		if types != nil && !slices.Contains(types, t.items[i].Type) {
			continue
		}
		if n--; n == 0 {
			return t.items[i].CreatedAt - 1, true
		}
	}
	return 0, t.floor == 0
}
