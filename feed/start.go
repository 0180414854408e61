package feed

// Start is where a subscription begins in one workflow. [After] and [Last] make one; [Subscription.Positions] returns them.
type Start struct {
	Position     // unused if last is set
	last     int // the number of items before the head, plus one; 0 means that Position is used
}

// After starts after a cursor; zero means from the beginning.
func After(workflowID string, cursor Cursor) Start {
	return Start{Position: Position{WorkflowID: workflowID, Cursor: cursor}}
}

// Last starts the given number of items before the head, counting only the subscription's types. Zero or less means only
// new items.
func Last(workflowID string, items int) Start {
	return Start{Position: Position{WorkflowID: workflowID}, last: max(0, items) + 1}
}

// Last returns the number of items before the head if the start was made by the function [Last]; otherwise use the cursor.
func (s Start) Last() (items int, ok bool) { return s.last - 1, s.last > 0 }

// follow makes a follow for the start. It has not joined its topic yet.
func (s Start) follow() *follow {
	if items, ok := s.Last(); ok {
		return &follow{last: items}
	}
	return &follow{at: s.Cursor, unverified: true, last: -1}
}
