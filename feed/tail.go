package feed

import (
	"cmp"
	"slices"
)

// tail is a topic at one instant. It does not change; the topic gets another. So those who are woken look at it without
// waiting for each other.
type tail struct {
	loaded bool    // the first read is done; until then nothing below but wanted means anything
	items  []*Item // every item after floor, up to read; shared, not to be changed
	bytes  int
	gone   int // how many items the array of items still holds in memory before them
	floor  Cursor
	read   Cursor // every item up to here has been read
	wanted Cursor // the newest head that anyone told of
}

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
		t.floor = t.items[0].CreatedAt
		t.bytes -= t.items[0].Size()
		t.items = t.items[1:] // others may hold the array, so it is left as it is
		t.gone++
	}
	if t.gone > len(t.items)/4 {
		t.items, t.gone = slices.Clone(t.items), 0
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
func (t *tail) newest(n int, types []string) (at Cursor, ok bool) {
	if n == 0 {
		return t.read, true
	}
	for i := len(t.items) - 1; i >= 0; i-- {
		if types != nil && !slices.Contains(types, t.items[i].Type) {
			continue
		}
		if n--; n == 0 {
			return t.items[i].CreatedAt - 1, true
		}
	}
	return 0, t.floor == 0
}
