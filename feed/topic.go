package feed

import (
	"cmp"
	"sync"
	"sync/atomic"
	"time"
)

// tick numbers what a feed begins, in order: reads, comparisons and subscriptions. What a read says is true of everything
// that has an earlier tick.
type tick uint64

// topic is what the feed keeps in memory of one workflow that someone follows.
type topic struct {
	workflowID string
	idleSince  time.Time            // when the last subscription left; guarded by Feed.mu
	tail       atomic.Pointer[tail] // replaced by who holds mu, read by whoever likes
	contact    contact

	mu            sync.Mutex
	subscriptions map[*Subscription]struct{}
	newcomers     map[*Subscription]tick // those who wait for a check that began after they came
	stale         bool                   // someone told of a head since the last read began
	sourceHead    Cursor                 // the newest head that the source itself gave: whatever reads from now on reaches it
	wakes         wakes
	life          life
}

// contact is when the source last said how a topic is.
type contact struct {
	checked atomic.Uint64 // the tick of the newest read or comparison that has succeeded
	at      atomic.Int64  // when it was answered: a [Feed.clock]
	lost    atomic.Bool   // it is too long ago to say that anyone is up to date
}

// wakes is what tells a lost notification from one that is late.
type wakes struct {
	heard       Cursor // the newest head that a wake told of
	swept       bool   // the next read is the sweep's doing
	unannounced Cursor // CreatedAt of an item that a sweep found and no wake has told of yet
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

// refuse never settles a topic: somebody follows it, so it is tried again.
func (*topic) refuse(error) bool { return false }

// want notes a head that a wake told of and reports whether the topic has to read. A wake is only a hint: it may be
// wrong, and moves nothing but wanted.
func (t *topic) want(head Cursor) (behind bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.wakes.heard = max(t.wakes.heard, head)
	return t.behind(head)
}

// behind notes a head and reports whether the topic has to read.
func (t *topic) behind(head Cursor) bool {
	now := t.tail.Load()
	// A topic that is not loaded is being read already, but that read may have begun before the head was there.
	if now.loaded && head <= now.read {
		return false
	}
	t.stale = true
	if head > now.wanted {
		wanting := *now
		wanting.wanted = head
		t.tail.Store(&wanting)
	}
	return true
}

// needs reports what a topic that someone joins has to read.
func (t *topic) needs() (load, grow bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	loaded := t.tail.Load().loaded
	return !loaded, loaded && t.stale
}

// glance is what a topic was when a read or a comparison of it began.
type glance struct {
	began      tick
	at         time.Duration // when it was answered
	tail       *tail
	sourceHead Cursor
}

func (t *topic) glance(began tick) glance {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.look(began)
}

func (t *topic) look(began tick) glance {
	return glance{began: began, tail: t.tail.Load(), sourceHead: t.sourceHead}
}

// beginLoad says whether the topic has yet to be loaded.
func (t *topic) beginLoad(began tick) (g glance, fresh bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	g = t.look(began)
	if g.tail.loaded {
		return g, false
	}
	t.stale, t.life.alarmed, t.life.glimpsed = false, false, Head{}
	return g, true
}

// beginGrow says whether the topic has to read what comes after its tail. It has not where an earlier read has served the
// wake.
func (t *topic) beginGrow(began tick) (g glance, behind bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	g = t.look(began)
	if !g.tail.loaded {
		return g, false
	}
	behind = t.stale && g.tail.wanted > g.tail.read
	t.stale = false
	return g, behind
}

// failed notes that a read that began has come to nothing.
func (t *topic) failed() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stale = true
}

// grow appends a page that was read after the tail. It reports whether there is still more to read. A page that was read for a tail that the topic has dropped since may have what is
// erased by now, and is dropped as well.
func (t *topic) grow(g glance, page Page, bound Window) (behind bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.tail.Load()
	if !now.loaded || now.drops != g.tail.drops {
		return false // the load that follows reads it
	}
	n := len(page.Items)
	if n > 0 && t.wakes.swept && page.Items[n-1].CreatedAt > t.wakes.heard {
		t.wakes.unannounced = page.Items[n-1].CreatedAt
	}
	t.wakes.swept = t.wakes.swept && page.More
	grown := *now
	head := g.sourceHead
	if page.More && n > 0 { // the page says nothing of what is after its last item
		head = 0
		t.stale = true
		grown.wanted = max(grown.wanted, page.Items[n-1].CreatedAt+1)
	}
	t.extend(grown, page.Items, head, bound)
	if n > 0 && !t.life.exists && !t.life.silent {
		t.life.first = cmp.Or(t.life.first, page.Items[0].CreatedAt)
	}
	if t.life.first == 0 {
		t.checked(g)
	} else {
		t.answered(g) // whose history this is, only a comparison can say: the cursor of who has just come may be of another
	}
	t.tellAll()
	return t.stale
}

// extend appends items to a tail and makes it the topic's. The caller holds mu and tells the subscriptions.
func (t *topic) extend(extended tail, items []*Item, head Cursor, bound Window) {
	extended.append(items, bound)
	extended.read = max(extended.read, head)
	if !t.stale {
		extended.wanted = extended.read // all that there was has been read, whatever a wake had promised
	}
	t.tail.Store(&extended)
}

// checked notes that a read or comparison has succeeded, after its result is in the tail. Those who have waited for one
// that began after they came are told.
func (t *topic) checked(g glance) {
	t.contact.checked.Store(max(t.contact.checked.Load(), uint64(g.began)))
	t.answered(g)
	for s, joined := range t.newcomers {
		if joined < g.began {
			delete(t.newcomers, s)
			signal(s.ready)
		}
	}
	if len(t.newcomers) == 0 {
		t.newcomers = nil // a map keeps the memory of all that were ever in it
	}
}

// answered notes that the source is not away. The caller holds mu.
func (t *topic) answered(g glance) {
	t.contact.at.Store(max(t.contact.at.Load(), int64(g.at)))
	if t.contact.lost.Swap(false) {
		t.tellAll()
	}
}

// silent notes whether the source has not answered for the topic since a time.
func (t *topic) silent(since time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.contact.at.Load() < int64(since) && !t.contact.lost.Swap(true) {
		t.tellAll()
	}
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

// join registers a subscription. What the feed begins later has a later tick than the subscription.
func (t *topic) join(s *Subscription, now func() tick) (joined tick, told uint64) {
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

// leave ends what join began, and reports whether nobody follows the topic any more.
func (t *topic) leave(s *Subscription) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.subscriptions, s)
	delete(t.newcomers, s)
	return len(t.subscriptions) == 0
}
