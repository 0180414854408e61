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
	Type       string // message, log, stat, progress, or what else the source has
	CreatedAt  Cursor
	Body       []byte // the type's own fields, a JSON object
	Metadata   []byte // a JSON value, or nil when the item has none

	encodings atomic.Pointer[encoding]
}

// Format is a way to write items as bytes. A transport makes each of its formats once.
type Format struct {
	encode func(*Item) ([]byte, error)
}

// NewFormat makes a format. For one item encode must give the same bytes whenever it is called.
func NewFormat(encode func(*Item) ([]byte, error)) *Format { return &Format{encode} }

// encoding is an item in one format. An item has them in a list, the newest first, that only grows.
type encoding struct {
	format *Format
	next   *encoding
	once   sync.Once
	bytes  []byte
	err    error
}

// Encoded returns the item in the given format. The first call makes it and all others wait for that one and share what it
// has made: the bytes, which must not be changed, or the error. There are bytes or an error, also where encode panics.
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

// add adds an encoding that is not made yet, unless another caller has added one for the format in the meantime.
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

// make fills the encoding. It leaves an error behind wherever encode does not come back with bytes.
func (e *encoding) make(i *Item) {
	e.err = errors.New("encode an item: it was broken off")
	defer func() {
		if reason := recover(); reason != nil {
			e.bytes, e.err = nil, fmt.Errorf("encode an item: panic: %v", reason)
		}
	}()
	e.bytes, e.err = e.format.encode(i)
	if e.err == nil && len(e.bytes) == 0 {
		e.err = errors.New("encode an item: nothing was made of it")
	}
}

// Size is how many bytes of body and metadata the item has: what tails and pages are bounded by.
func (i *Item) Size() int { return len(i.Body) + len(i.Metadata) }

// Gone names an item that was erased from the source. An item of the same workflow, type and id that was written since has a
// later CreatedAt, and is not meant.
type Gone struct {
	WorkflowID string
	Type       string
	ID         string
	CreatedAt  Cursor
	Mark       int64 // when, in the workflow's order of erasures
}

// Workflow is the newest state of a workflow that has items.
type Workflow struct {
	ID     string
	Head   Cursor // CreatedAt of its newest item
	Active Cursor // what workflows are listed by: at most a minute before the head
	Status string // status of its latest progress item, or empty
}
