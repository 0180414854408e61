package feed

import "time"

const (
	// maxNews is how many events of a topic are kept for followers that have not read them yet.
	maxNews = 1000
	// newsMaxAge is how long they are kept.
	newsMaxAge = time.Minute
)

// event is a change of a topic's history other than a new item.
type event struct {
	kind eventKind
	when time.Duration // a [Feed.clock]
	gone Gone          // for itemGone
	to   Cursor        // for rewound
	// by is the tick of the read that found the head gone back. It does not affect followers that joined later.
	by tick
}

type eventKind uint8

const (
	itemGone   eventKind = iota // an item was erased
	newHistory                  // the workflow was erased; later items are of a new history
	rewound                     // the source has lost the items after a cursor
)

// news is the events of a topic, oldest first. It is immutable; the topic replaces it. A follower remembers how many events
// it has read.
type news struct {
	dropped uint64 // how many earlier events are no longer kept
	events  []event
}

// count is the number of events ever, kept or not.
func (n *news) count() uint64 { return n.dropped + uint64(len(n.events)) }

// with returns the news with further events, without the oldest beyond maxNews.
func (n *news) with(events ...event) *news {
	all := append(n.events[:len(n.events):len(n.events)], events...)
	over := max(0, len(all)-maxNews)
	return &news{n.dropped + uint64(over), all[over:]}
}

// since returns the news without the events before a time.
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
