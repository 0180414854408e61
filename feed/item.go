package feed

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
)

// Cursor is an item's CreatedAt: microseconds since the Unix epoch. A client's cursor is that of the last item it has;
// zero means from the beginning.
type Cursor int64

// End is after every item.
const End Cursor = 1<<63 - 1

// Item is one row of the feed. It never changes, and one Item is shared by all who receive it.
type Item struct {
	WorkflowID string
	ID         string
	Type       string // message, log, stat, progress, or another type that the source has
	CreatedAt  Cursor
	Body       []byte // the type's own fields, a JSON object
	Metadata   []byte // a JSON value, or nil when the item has none
	Final      bool   // the workflow is closed: no item can follow

	encodings atomic.Pointer[encoding]
}

// Format encodes items as bytes. A transport makes each of its formats once.
type Format struct {
	encode func(*Item) ([]byte, error)
}

// NewFormat makes a format. encode must always return the same bytes for the same item.
func NewFormat(encode func(*Item) ([]byte, error)) *Format { return &Format{encode} }

// encoding is an item in one format. An item keeps its encodings in a list, newest first, that only grows.
type encoding struct {
	format *Format
	next   *encoding
	once   sync.Once
	bytes  []byte
	err    error
}

// Encoded returns the item in the given format. The first call encodes it; all others wait for that call and share its
// result: the bytes, which must not be changed, or the error. If encode panics, the result is an error.
func (i *Item) Encoded(format *Format) ([]byte, error) {
	e := i.encodings.Load()
	for e != nil && e.format != format {
		e = e.next
	}
	if e == nil {
		e = i.add(format)
	}
	e.once.Do(func() { e.make(i) })
	return e.bytes, e.err
}

// add adds an empty encoding for the format, unless another caller has added one meanwhile.
func (i *Item) add(format *Format) *encoding {
	for {
		first := i.encodings.Load()
		for e := first; e != nil; e = e.next {
			if e.format == format {
				return e
			}
		}
		if e := (&encoding{format: format, next: first}); i.encodings.CompareAndSwap(first, e) {
			return e
		}
	}
}

// make fills the encoding. If encode returns no bytes, panics or ends the goroutine, it sets an error.
func (e *encoding) make(i *Item) {
	e.err = errors.New("encode an item: the encoder did not return")
	defer func() {
		if reason := recover(); reason != nil {
			e.bytes, e.err = nil, fmt.Errorf("encode an item: panic: %v", reason)
		}
	}()
	e.bytes, e.err = e.format.encode(i)
	if e.err == nil && len(e.bytes) == 0 {
		e.err = errors.New("encode an item: the encoder returned no bytes")
	}
}

// Size is the number of bytes of body and metadata. Tails and pages are bounded by it.
func (i *Item) Size() int { return len(i.Body) + len(i.Metadata) }

// Gone names an item that was erased from the source. An item with the same workflow, type and id that was written later has a
// later CreatedAt and is not affected.
type Gone struct {
	WorkflowID string
	Type       string
	ID         string
	CreatedAt  Cursor
	Mark       int64 // its place in the workflow's order of erasures
}

// Workflow is the newest state of a workflow that has items.
type Workflow struct {
	ID     string
	Head   Cursor // CreatedAt of its newest item
	Active Cursor // workflows are listed in this order; at most a minute before the head

	// Of its latest progress item; zero if it has none.
	Status   string
	Progress float64 // per cent
	Final    bool    // the workflow is closed
}
