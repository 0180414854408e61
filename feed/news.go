package feed

import "time"

const (
	// newsKept is how many events of a topic are kept for those who have not been told of them yet.
	newsKept = 1000
	// newsFor is for how long they are kept.
	newsFor = time.Minute
)

// event is what has become of items that a topic had, or of the topic's order.
type event struct {
	kind eventKind
	when time.Duration // a [Feed.clock]
	gone Gone          // of itemGone
	to   Cursor        // of wentBack
	// by is when the read began that found a head gone back. It says nothing of the positions of those who came later.
	by tick
}

type eventKind uint8

const (
	itemGone eventKind = iota // an item was erased
	begunNew                  // the workflow was erased; what comes now is a new history
	wentBack                  // the source has lost what came after a cursor
)

// news is the events of a topic, oldest first. It does not change; the topic gets another. A follower remembers how many
// it has been told of.
type news struct {
	dropped uint64 // how many came before and are no longer kept
	events  []event
}

// count is how many events there have ever been.
func (n *news) count() uint64 { return n.dropped + uint64(len(n.events)) }

// with returns the news and further events, without the oldest that are too many.
func (n *news) with(events ...event) *news {
	all := append(n.events[:len(n.events):len(n.events)], events...)
	over := max(0, len(all)-newsKept)
	return &news{n.dropped + uint64(over), all[over:]}
}

// since returns the news without the events from before a time.
func (n *news) since(when time.Duration) *news {
	over := 0
	for over < len(n.events) && n.events[over].when < when {
		over++
	}
	if over == 0 {
		return n
	}
	return &news{n.dropped + uint64(over), append([]event(nil), n.events[over:]...)}
}
