package feed

import (
	"cmp"
	"slices"
)

// tail is a topic at one instant. It does not change; the topic gets another. So those who are woken look at it without
// waiting for each other.
type tail struct {
	loaded bool // the first read is done; until then nothing below but wanted, drops and news means anything
	held        // every item after floor, up to read
	floor  Cursor
	read   Cursor // every item up to here has been read
	wanted Cursor // the newest head that anyone told of
	born   Cursor // when the history began of which these are the newest items; 0 where that is not known
	drops  uint64 // how often the topic has dropped its tail: what was read for another number is not of this tail
	news   *news
}

// held is the items that a tail holds in memory; they are shared, not to be changed. Its array may hold a sixteenth more
// than it offers, in items and in bytes, so that not every item that comes copies all others.
type held struct {
	items     []*Item
	bytes     int
	gone      int // items that the array still holds before the first
	goneBytes int
}

const slack = 16

// append appends items that follow the tail's own, and lets the oldest go as far as the bound demands.
func (t *tail) append(items []*Item, bound Window) {
	for _, item := range items {
		t.bytes += item.Size()
	}
	t.items = append(t.items, items...) // beyond the end of what others see of the same array
	if n := len(t.items); n > 0 {
		t.read = max(t.read, t.items[n-1].CreatedAt)
	}
	for len(t.items) > bound.Items || t.bytes > bound.Bytes && len(t.items) > 1 {
		oldest := t.items[0]
		t.floor = oldest.CreatedAt
		t.bytes -= oldest.Size()
		t.items = t.items[1:] // others may hold the array, so it is left as it is
		t.gone++
		t.goneBytes += oldest.Size()
	}
	if t.gone > len(t.items)/slack || t.goneBytes > t.bytes/slack {
		t.items, t.gone, t.goneBytes = slices.Clone(t.items), 0, 0
	}
}

// after returns the items after a cursor that is not below the floor. They are no more than a window, as the tail is not.
func (t *tail) after(at Cursor) []*Item {
	if at >= t.read {
		return nil
	}
	first, _ := slices.BinarySearchFunc(t.items, at+1, func(i *Item, c Cursor) int { return cmp.Compare(i.CreatedAt, c) })
	return t.items[first:len(t.items):len(t.items)]
}

// reached reports whether nothing that the topic knows of comes after the cursor.
func (t *tail) reached(at Cursor) bool { return t.loaded && at >= t.read && at >= t.wanted }

// newest returns the position before the newest n items of the given types, if the tail holds that many or everything.
// Else it says how many the tail lacks.
func (t *tail) newest(n int, types []string) (at Cursor, lacks int) {
	if n == 0 {
		return t.read, 0
	}
	for _, item := range slices.Backward(t.items) {
		if types != nil && !slices.Contains(types, item.Type) {
			continue
		}
		if n--; n == 0 {
			return item.CreatedAt - 1, 0
		}
	}
	if t.floor == 0 {
		return 0, 0
	}
	return 0, n
}

// oldest is the cursor of the oldest item that is known of; 0 means that there is none.
func (t *tail) oldest() Cursor {
	if len(t.items) > 0 {
		return t.items[0].CreatedAt
	}
	return t.read
}
