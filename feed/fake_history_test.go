package feed_test

import (
	"context"
	"slices"

	"chatfeed/feed"
)

// past is what a source keeps of a workflow besides its items.
type past struct {
	born feed.Cursor
	made int // items so far
	mark int64
	gone []feed.Gone
}

// pastOf returns a workflow's past, which begins with its first stamp. The caller holds mu.
func (s *source) pastOf(workflowID string) *past {
	if s.pasts[workflowID] == nil {
		s.pasts[workflowID] = &past{born: s.heads[workflowID]}
	}
	return s.pasts[workflowID]
}

// erase removes a workflow with its head, without a notification.
func (s *source) erase(workflowID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.items, workflowID)
	delete(s.heads, workflowID)
	delete(s.notified, workflowID)
	s.changed[workflowID] = true
	delete(s.pasts, workflowID)
	delete(s.given, workflowID)
}

// eraseItems removes items of a workflow, without a notification. Its head is then that of the newest item that is left.
func (s *source) eraseItems(workflowID string, ids ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	past := s.pasts[workflowID]
	s.changed[workflowID] = true
	s.items[workflowID] = slices.DeleteFunc(slices.Clone(s.items[workflowID]), func(i *feed.Item) bool {
		erased := slices.Contains(ids, i.ID)
		if erased {
			past.mark++
			past.gone = append(past.gone, feed.Gone{WorkflowID: workflowID, Type: i.Type, ID: i.ID, Mark: past.mark})
		}
		return erased
	})
	s.setHead(workflowID)
}

// eraseSome is eraseItems by their numbers among all that there are.
func (s *source) eraseSome(workflowID string, numbers []int) {
	s.mu.Lock()
	var ids []string
	for _, n := range numbers {
		if items := s.items[workflowID]; len(items) > 0 {
			ids = append(ids, items[n%len(items)].ID)
		}
	}
	s.mu.Unlock()
	if len(ids) > 0 {
		s.eraseItems(workflowID, ids...)
	}
}

// redact is eraseItems with its notification.
func (s *source) redact(workflowID string, ids ...string) {
	s.eraseItems(workflowID, ids...)
	s.notify(workflowID, 0)
}

// lose removes the newest n items of a workflow as a failover does that loses the last commits, without a notification.
func (s *source) lose(workflowID string, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	items := s.items[workflowID]
	for _, item := range items[len(items)-n:] {
		s.lostAt[workflowID] = append(s.lostAt[workflowID], item.CreatedAt)
	}
	s.changed[workflowID] = true
	s.items[workflowID] = slices.Clone(items[:len(items)-n])
	s.setHead(workflowID)
}

// loseSome loses some of the newest items of a workflow, but never all, and returns their stamps.
func (s *source) loseSome(workflowID string, number int) []feed.Cursor {
	s.mu.Lock()
	had := len(s.items[workflowID])
	s.mu.Unlock()
	if had < 2 {
		return nil
	}
	n := 1 + number%min(3, had-1)
	s.lose(workflowID, n)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lostAt[workflowID][len(s.lostAt[workflowID])-n:]
}

// isLost reports whether a cursor is beyond what the source has kept in a failover.
func (s *source) isLost(workflowID string, at feed.Cursor) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.lostAt[workflowID], func(lost feed.Cursor) bool { return at >= lost-1 })
}

// isChanged reports whether items of the workflow have been erased or lost.
func (s *source) isChanged(workflowID string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed[workflowID]
}

// setHead sets a workflow's head to its newest item's. The caller holds mu.
func (s *source) setHead(workflowID string) {
	items := s.items[workflowID]
	delete(s.heads, workflowID)
	if len(items) > 0 {
		s.heads[workflowID] = items[len(items)-1].CreatedAt
	}
	s.given[workflowID] = min(s.given[workflowID], s.heads[workflowID])
	s.notified[workflowID] = min(s.notified[workflowID], s.heads[workflowID])
}

// Erased implements [feed.Source].
func (s *source) Erased(ctx context.Context, workflowID string, after int64, limit int) ([]feed.Gone, error) {
	var gone []feed.Gone
	err := s.run(ctx, query{op: opErased, ids: []string{workflowID}}, func() {
		if past := s.pasts[workflowID]; past != nil {
			for _, g := range past.gone {
				if g.Mark > after && len(gone) < limit {
					gone = append(gone, g)
				}
			}
		}
	})
	return gone, err
}
