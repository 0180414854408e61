package feed

// Start is where a subscription begins in one workflow, and how it is told where it stands: After or Last makes one.
type Start struct {
	Position     // not used where the start is one of Last
	last     int // one more than the items before the head; 0 where the position counts
}

// After begins after a cursor; after zero is from the beginning.
func After(workflowID string, cursor Cursor) Start {
	return Start{Position: Position{WorkflowID: workflowID, Cursor: cursor}}
}

// Last begins that many items before the head, of the types that the subscription takes. None, or less, is only what is
// new.
func Last(workflowID string, items int) Start {
	return Start{Position: Position{WorkflowID: workflowID}, last: max(0, items) + 1}
}

// Last returns how many items before the head the start is, where it is one of [Last]; else the cursor counts.
func (s Start) Last() (items int, ok bool) { return s.last - 1, s.last > 0 }

// follow makes what a subscription keeps of the start. It has yet to join its topic.
func (s Start) follow() *follow {
	if items, ok := s.Last(); ok {
		return &follow{last: items}
	}
	return &follow{at: s.Cursor, given: true, last: -1}
}
