package feed

import "sync"

// Cursor is an item's CreatedAt: microseconds since the Unix epoch. A client's cursor is that of the last item it has;
// zero means from the beginning.
type Cursor int64

// End is after every item.
const End Cursor = 1<<63 - 1

// Item is one row of the feed. It never changes, and one Item is shared by all who receive it.
type Item struct {
	WorkflowID string
	ID         string
	Type       string // message, log, stat, progress, or what else the source has
	CreatedAt  Cursor
	Body       []byte // the type's own fields, a JSON object
	Metadata   []byte // a JSON value, or nil when the item has none

	encodings [Formats]encoding
}

// Format numbers the encodings that an item keeps. The numbers below [Formats] are the transports' to give out.
type Format uint8

// Formats is how many formats an item can keep.
const Formats = 3

type encoding struct {
	once  sync.Once
	bytes []byte
}

// Encoded returns the item in the given format. The first call makes it with encode and all later ones share the bytes,
// which must not be changed; so encode must give the same bytes for one format wherever it is called from.
func (i *Item) Encoded(format Format, encode func(*Item) []byte) []byte {
	e := &i.encodings[format]
	e.once.Do(func() { e.bytes = encode(i) })
	return e.bytes
}

// Size is how many bytes of body and metadata the item has: what tails and pages are bounded by.
func (i *Item) Size() int { return len(i.Body) + len(i.Metadata) }

// Gone names an item that was erased from the source.
type Gone struct {
	WorkflowID string
	Type       string
	ID         string
	Mark       int64 // when, in the workflow's order of erasures
}

// Workflow is the newest state of a workflow that has items.
type Workflow struct {
	ID     string
	Head   Cursor // CreatedAt of its newest item
	Active Cursor // what workflows are listed by: at most a minute before the head
	Status string // status of its latest progress item, or empty
}
