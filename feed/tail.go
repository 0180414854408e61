package feed

import (
	"cmp"
	"slices"
)

// tail is a topic at one instant. It is immutable; the topic replaces it. So subscriptions that are woken read it without a
// lock.
type tail struct {
	loaded bool // the first read is done; until then only target, drops and news are valid
	held        // every item after floor, up to read
	floor  Cursor
	read   Cursor // every item up to here has been read
	target Cursor // the newest head reported by a wake or a comparison
	born   Cursor // when the history of these items began; 0 if unknown
	drops  uint64 // how often the topic has dropped its tail; a read that began with another number is not valid for this tail
	news   *news
}

// held is the items that a tail holds in memory; they are shared and immutable. The array may hold a sixteenth more than is
// in use, in items and in bytes, so that not every new item copies all others.
type held struct {
	items     []*Item
	bytes     int
	gone      int // items that the array still holds before the first
	goneBytes int
}

const slack = 16

// append appends items that follow the tail's own, and drops the oldest to stay within the bound.
func (t *tail) append(items []*Item, bound Window) {
	for _, item := range items {
		t.bytes += item.Size()
	}
	t.items = append(t.items, items...) // beyond the part of the array that others see
	if n := len(t.items); n > 0 {
		t.read = max(t.read, t.items[n-1].CreatedAt)
	}
	for len(t.items) > bound.Items || t.bytes > bound.Bytes && len(t.items) > 1 {
		oldest := t.items[0]
		t.floor = oldest.CreatedAt
		t.bytes -= oldest.Size()
		t.items = t.items[1:] // others may share the array, so it is not changed
		t.gone++
		t.goneBytes += oldest.Size()
	}
	if t.gone > len(t.items)/slack || t.goneBytes > t.bytes/slack {
		t.items, t.gone, t.goneBytes = slices.Clone(t.items), 0, 0
	}
}

// after returns the items after a cursor, which must not be below the floor. They fit in a window, as the tail does.
func (t *tail) after(at Cursor) []*Item {
	if at >= t.read {
		return nil
	}
	first, _ := slices.BinarySearchFunc(t.items, at+1, func(i *Item, c Cursor) int { return cmp.Compare(i.CreatedAt, c) })
	return t.items[first:len(t.items):len(t.items)]
}

// reached reports whether the topic knows of nothing after the cursor.
func (t *tail) reached(at Cursor) bool { return t.loaded && at >= t.read && at >= t.target }

// final reports whether nothing can follow what has been read.
func (t *tail) final() bool {
	n := len(t.items)
	return n > 0 && t.items[n-1].Final
}

// newest returns the position before the newest n items of the given types, if the tail holds that many or the
// whole history. Otherwise it returns how many are missing from the tail.
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

// oldest is the cursor of the oldest item in the tail, or read if it has none; 0 means that no item is known.
func (t *tail) oldest() Cursor {
	if len(t.items) > 0 {
		return t.items[0].CreatedAt
	}
	return t.read
}
