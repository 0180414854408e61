package feed

import (
	"cmp"
	"sync"
	"sync/atomic"
	"time"
)

// tick is a logical clock: it numbers reads, comparisons and subscriptions in the order in which they begin. The result of a
// read covers every subscription with an earlier tick.
type tick uint64

// topic is what the feed keeps in memory of one workflow that someone follows.
type topic struct {
	workflowID string
	idleSince  time.Time            // when the last subscription left; guarded by topics.mu
	tail       atomic.Pointer[tail] // replaced with mu held, read without
	contact    contact

	mu            sync.Mutex
	subscriptions map[*Subscription]struct{}
	newcomers     map[*Subscription]tick // subscriptions without a check that began after they joined
	stale         bool                   // a head was reported since the last read began
	sourceHead    Cursor                 // the newest head that the source returned: later reads reach at least this far
	wakes         wakes
	history       history
}

// contact records when the source last answered for a topic.
type contact struct {
	checked atomic.Uint64 // the tick of the newest read or comparison that has succeeded
	at      atomic.Int64  // when the source last answered: a [Feed.clock]
	lost    atomic.Bool   // at is too long ago for subscriptions to be up to date
}

// wakes tells lost notifications from late ones.
type wakes struct {
	head        Cursor // the newest head that a wake reported
	bySweep     bool   // the next read was requested by the sweep
	unannounced Cursor // CreatedAt of an item that a sweep found and no wake has reported yet
}

func newTopic(workflowID string, now time.Duration) *topic {
	t := &topic{workflowID: workflowID, subscriptions: make(map[*Subscription]struct{})}
	t.contact.at.Store(int64(now))
	t.tail.Store(&tail{news: &news{}})
	return t
}

func (t *topic) workflow() string { return t.workflowID }

// wanted reports whether anyone follows the topic.
func (t *topic) wanted() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.subscriptions) > 0
}

// refuse reports false: a topic is followed, so its read is retried.
func (*topic) refuse(error) bool { return false }

// noteWake records a head that a wake reported, and reports whether the topic has to read. A wake is only a hint: it may be
// wrong, and changes nothing but target.
func (t *topic) noteWake(head Cursor) (behind bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.wakes.head = max(t.wakes.head, head)
	return t.behind(head)
}

// behind records a head and reports whether the topic has to read. The caller holds mu.
func (t *topic) behind(head Cursor) bool {
	now := t.tail.Load()
	// A topic that is not loaded is being read already, but that read may have begun before the head was committed.
	if now.loaded && head <= now.read {
		return false
	}
	t.stale = true
	if head > now.target {
		updated := *now
		updated.target = head
		t.tail.Store(&updated)
	}
	return true
}

// needs reports what a topic has to read when a subscription joins.
func (t *topic) needs() (load, grow bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	loaded := t.tail.Load().loaded
	return !loaded, loaded && t.stale
}

// snapshot is the state of a topic when a read or comparison of it began.
type snapshot struct {
	began      tick
	at         time.Duration // when the source answered
	tail       *tail
	sourceHead Cursor
}

func (t *topic) snapshot(began tick) snapshot {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.look(began)
}

func (t *topic) look(began tick) snapshot {
	return snapshot{began: began, tail: t.tail.Load(), sourceHead: t.sourceHead}
}

// beginLoad reports whether the topic is not loaded yet.
func (t *topic) beginLoad(began tick) (g snapshot, fresh bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	g = t.look(began)
	if g.tail.loaded {
		return g, false
	}
	t.stale, t.history.erasureNoted, t.history.compared = false, false, Head{}
	return g, true
}

// beginGrow reports whether the topic has to read the items after its tail: not if an earlier read has reached the wake's
// head.
func (t *topic) beginGrow(began tick) (g snapshot, behind bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	g = t.look(began)
	if !g.tail.loaded {
		return g, false
	}
	behind = t.stale && g.tail.target > g.tail.read
	t.stale = false
	return g, behind
}

// failed records that a read has failed.
func (t *topic) failed() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stale = true
}

// grow appends a page that was read after the tail, and reports whether there is more to read. If the topic has dropped that
// tail since, the page may contain erased items and is dropped as well.
func (t *topic) grow(g snapshot, page Page, bound Window) (behind bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.tail.Load()
	if !now.loaded || now.drops != g.tail.drops {
		return false // the next load reads the items
	}
	n := len(page.Items)
	if n > 0 && t.wakes.bySweep && page.Items[n-1].CreatedAt > t.wakes.head {
		t.wakes.unannounced = page.Items[n-1].CreatedAt
	}
	t.wakes.bySweep = t.wakes.bySweep && page.More
	grown := *now
	head := g.sourceHead
	if page.More && n > 0 { // the page does not cover what is after its last item
		head = 0
		t.stale = true
		grown.target = max(grown.target, page.Items[n-1].CreatedAt+1)
	}
	t.extend(grown, page.Items, head, bound)
	if n > 0 && !t.history.exists && !t.history.headless {
		t.history.first = cmp.Or(t.history.first, page.Items[0].CreatedAt)
	}
	if t.history.first == 0 {
		t.checked(g)
	} else {
		t.answered(g) // only a comparison can tell which history this is: the cursor of a newcomer may belong to another
	}
	t.notifyLocked()
	return t.stale
}

// extend appends items to a tail and makes it the topic's. The caller holds mu and wakes the subscriptions.
func (t *topic) extend(extended tail, items []*Item, head Cursor, bound Window) {
	extended.append(items, bound)
	extended.read = max(extended.read, head)
	if !t.stale {
		extended.target = extended.read // everything has been read, even if a wake reported more
	}
	t.tail.Store(&extended)
}

// checked records that a read or comparison has succeeded; its result must be in the tail already. It wakes newcomers that
// joined before it began. The caller holds mu.
func (t *topic) checked(g snapshot) {
	t.contact.checked.Store(max(t.contact.checked.Load(), uint64(g.began)))
	t.answered(g)
	for s, joined := range t.newcomers {
		if joined < g.began {
			delete(t.newcomers, s)
			signal(s.ready)
		}
	}
	if len(t.newcomers) == 0 {
		t.newcomers = nil // a map never releases memory
	}
}

// answered records that the source has answered. The caller holds mu.
func (t *topic) answered(g snapshot) {
	t.contact.at.Store(max(t.contact.at.Load(), int64(g.at)))
	if t.contact.lost.Swap(false) {
		t.notifyLocked()
	}
}

// checkContact marks the contact as lost if the source has not answered for the topic since the given time.
func (t *topic) checkContact(since time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.contact.at.Load() < int64(since) && !t.contact.lost.Swap(true) {
		t.notifyLocked()
	}
}

// notify wakes every subscription, without waiting for any.
func (t *topic) notify() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.notifyLocked()
}

func (t *topic) notifyLocked() {
	for s := range t.subscriptions {
		signal(s.ready)
	}
}

// join registers a subscription. Reads that begin later have a later tick than the subscription.
func (t *topic) join(s *Subscription, now func() tick) (joined tick, newsSeen uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	joined = now()
	t.subscriptions[s] = struct{}{}
	if t.newcomers == nil {
		t.newcomers = make(map[*Subscription]tick)
	}
	t.newcomers[s] = joined
	return joined, t.tail.Load().news.count()
}

// leave undoes join, and reports whether no subscription is left.
func (t *topic) leave(s *Subscription) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.subscriptions, s)
	delete(t.newcomers, s)
	return len(t.subscriptions) == 0
}
