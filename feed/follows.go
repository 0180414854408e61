package feed

import (
	"fmt"
	"slices"
)

// Add begins to follow one more workflow. Until its items have been delivered the subscription is not up to date. The
// error says that the workflow is followed already, or is [ErrClosed].
func (s *Subscription) Add(start Start) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed.Load():
		return ErrClosed
	case s.find(start.WorkflowID) >= 0:
		return fmt.Errorf("feed: workflow %q is followed already; each may be followed once", start.WorkflowID)
	}
	f := start.follow()
	f.topic, f.joined, f.newsSeen = s.feed.join(start.WorkflowID, s)
	s.follows = append(s.follows, f)
	s.upToDate = false
	signal(s.ready)
	return nil
}

// Drop stops following a workflow, and reports whether it was followed. A call of Next that began before Drop returned may
// still return items of the workflow.
func (s *Subscription) Drop(workflowID string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.find(workflowID)
	if i < 0 || s.closed.Load() {
		return false
	}
	f := s.follows[i]
	s.follows = slices.Delete(s.follows, i, i+1)
	if i < s.turn {
		s.turn--
	}
	s.forget(f)
	s.feed.leave(f.topic, s)
	s.awaitDrain()
	signal(s.ready) // the others may be up to date without it, or be waiting for its page
	return true
}

// Retype changes the types of the items that later calls of Next return; nil means all. What Next has passed is not looked at
// again. It may not be called during Next.
func (s *Subscription) Retype(types []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.types = sorted(types)
	for _, f := range s.follows {
		s.forget(f)
		f.restartSearch()
	}
	s.upToDate = false
	signal(s.ready)
}

// Positions returns the subscription's position in each of its workflows, in the order in which they were added. A client
// has every item up to there from what Next has returned, and a subscription from there delivers the rest. For a workflow
// that starts with its last items, as long as none has been found, it returns the Start that was given; a new subscription
// then looks for the items that are the last at that time.
func (s *Subscription) Positions() []Start {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := make([]Start, len(s.follows))
	for i, f := range s.follows {
		at[i] = f.position()
	}
	return at
}

func (s *Subscription) find(workflowID string) int {
	return slices.IndexFunc(s.follows, func(f *follow) bool { return f.topic.workflowID == workflowID })
}
