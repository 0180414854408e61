package feed

import (
	"fmt"
	"slices"
)

// Add begins to follow one more workflow. Until its items have been delivered the subscription is not up to date. The
// error says that it is followed already, or is [ErrClosed].
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
	f.topic, f.joined, f.told = s.feed.join(start.WorkflowID, s)
	s.follows = append(s.follows, f)
	s.upToDate = false
	signal(s.ready)
	return nil
}

// Drop ends to follow a workflow, and reports whether it was followed. What Next returns may still be of the workflow
// where it was called before Drop has returned.
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
	signal(s.ready) // the others may be up to date without it, or wait for its page
	return true
}

// Positions returns where the subscription stands in each of its workflows, in the order in which they were added: with
// what Next has returned a client has all items up to there, and one that subscribes from there has the rest. A workflow
// that begins with its last items, of which none has been found yet, is as it was given: who subscribes again is given
// those that are the last then.
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
