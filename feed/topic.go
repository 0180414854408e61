package feed

import (
	"sync"
	"sync/atomic"
	"time"
)

// topic is what the feed keeps in memory of one workflow that someone follows.
type topic struct {
	workflowID string
	queued     bool                 // on the dirty list; guarded by Feed.mu
	idleSince  time.Time            // when the last subscription left; guarded by Feed.mu
	tail       atomic.Pointer[tail] // replaced by who holds mu, read by whoever likes

	mu            sync.Mutex
	subscriptions map[*Subscription]struct{}
	stale         bool   // someone told of a head since the last read began
	proven        Cursor // the newest head that the source itself gave: whatever reads from now on reaches it
	heard         Cursor // the newest head that a wake told of
	swept         bool   // the next read is the sweep's doing
	unheard       Cursor // CreatedAt of an item that a sweep found and no wake has told of yet
}

func newTopic(workflowID string) *topic {
	t := &topic{workflowID: workflowID, subscriptions: make(map[*Subscription]struct{})}
	t.tail.Store(&tail{})
	return t
}

// want notes a head that a wake told of and reports whether the topic has to read. A wake is only a hint: it may be
// wrong, and moves nothing but wanted.
func (t *topic) want(head Cursor) (behind bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.heard = max(t.heard, head)
	return t.behind(head)
}

// behind notes a head and reports whether the topic has to read.
func (t *topic) behind(head Cursor) bool {
	tail := *t.tail.Load()
	// A topic that is not loaded is being read already, but that read may have begun before the head was there.
	if tail.loaded && head <= tail.read {
		return false
	}
	t.stale = true
	if head > tail.wanted {
		tail.wanted = head
		t.tail.Store(&tail)
	}
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
	now := t.tail.Load()
	if !exists && now.loaded && now.read > 0 { // erased: what is in memory is no longer true
		t.tail.Store(&tail{})
		t.proven, t.heard = 0, 0
		return true, lost
	}
	t.proven = head
	behind = t.behind(head)
	if behind {
		t.swept = now.loaded && !expected
	}
	return behind, lost
}

// begin says how the topic is to be read: by its newest items or, if it is behind, by those after read. A read that
// starts from now on is sure to reach proven.
func (t *topic) begin() (loaded, behind bool, read, proven Cursor) {
	t.mu.Lock()
	defer t.mu.Unlock()
	tail := t.tail.Load()
	behind = t.stale && tail.wanted > tail.read // else an earlier read has served the wake
	t.stale = false
	return tail.loaded, behind, tail.read, t.proven
}

// failed notes that a read that began has come to nothing.
func (t *topic) failed() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stale = true
}

// load takes the newest items as the topic's tail.
func (t *topic) load(page Page, proven Cursor, bound Window) (behind bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fresh := tail{loaded: true, wanted: t.tail.Load().wanted}
	if page.More && len(page.Items) > 0 {
		fresh.floor = page.Items[0].CreatedAt - 1
	}
	return t.extend(fresh, page.Items, proven, bound)
}

// grow appends a page that was read after the tail and reports whether there is still more to read.
func (t *topic) grow(page Page, proven Cursor, bound Window) (behind bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := len(page.Items); n > 0 && t.swept && page.Items[n-1].CreatedAt > t.heard {
		t.unheard = page.Items[n-1].CreatedAt
	}
	t.swept = t.swept && page.More
	grown := *t.tail.Load()
	if page.More { // the page says nothing of what is after its last item
		proven = 0
		t.stale = true
		grown.wanted = max(grown.wanted, page.Items[len(page.Items)-1].CreatedAt+1)
	}
	return t.extend(grown, page.Items, proven, bound)
}

// extend appends items to a tail, makes it the topic's and tells its subscriptions.
func (t *topic) extend(extended tail, items []*Item, proven Cursor, bound Window) (behind bool) {
	extended.append(items, bound)
	extended.read = max(extended.read, proven)
	if !t.stale {
		extended.wanted = extended.read // all that there was has been read, whatever a wake had promised
	}
	t.tail.Store(&extended)
	t.tellAll()
	return t.stale
}

// tell wakes every subscription, without waiting for any.
func (t *topic) tell() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tellAll()
}

func (t *topic) tellAll() {
	for s := range t.subscriptions {
		signal(s.ready)
	}
}
