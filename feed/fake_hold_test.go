package feed_test

import (
	"context"
	"slices"
)

// stage is a place within a query.
type stage int

const (
	beforeSnapshot stage = iota
	afterSnapshot
)

// hold stops one query at a stage until it is released.
type hold struct {
	op      op
	stage   stage
	reached chan struct{}
	release chan struct{}
}

// holdNext makes the next query of a kind stop at a stage.
func (s *source) holdNext(kind op, at stage) *hold {
	h := &hold{op: kind, stage: at, reached: make(chan struct{}), release: make(chan struct{})}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.holds = append(s.holds, h)
	return h
}

func (s *source) takeHold(kind op, at stage) *hold {
	for i, h := range s.holds {
		if h.op == kind && h.stage == at {
			s.holds = slices.Delete(s.holds, i, i+1)
			return h
		}
	}
	return nil
}

func (h *hold) wait(ctx context.Context) error {
	if h == nil {
		return nil
	}
	close(h.reached)
	select {
	case <-h.release:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
