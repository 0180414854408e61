package feed

// agreement finds the newest item that a tail and the source have in common. It compares the tail with the pages that the
// source has after the tail's floor.
type agreement struct {
	tail  *tail
	had   map[identity]bool
	read  Cursor // how far the pages reach
	to    Cursor // the newest common item, or the floor
	found bool   // there is a common item
	lost  bool   // after it, the source has items that are missing from the tail
}

type identity struct {
	at       Cursor
	kind, id string
}

func newAgreement(t *tail) *agreement {
	a := &agreement{tail: t, had: make(map[identity]bool, len(t.items)), read: t.floor, to: t.floor}
	for _, item := range t.items {
		a.had[identity{item.CreatedAt, item.Type, item.ID}] = true
	}
	return a
}

// add compares the next page, and reports whether another is needed. Items after the end of the tail do not matter.
func (a *agreement) add(page Page) (more bool) {
	for _, item := range page.Items {
		a.read = item.CreatedAt
		switch {
		case a.read > a.tail.read:
			return false
		case a.had[identity{item.CreatedAt, item.Type, item.ID}]:
			a.to, a.found, a.lost = item.CreatedAt, true, false
		default:
			a.lost = true
		}
	}
	return page.More && len(page.Items) > 0
}
