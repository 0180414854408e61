package watcher

import (
	"context"
	"fmt"
	"time"
	"unicode/utf8"
)

// session is what a watcher does as long as it has its locks.
type session struct {
	w       *Watcher
	held    map[string]*running
	tried   map[string]time.Time // when the lock of a followed workflow was last tried, which another server has
	checked time.Time
	lost    time.Time // when locks were last lost, or could not be had
	failing string    // the error that was logged last
}

// running is a poller that runs.
type running struct {
	stop func()
	done chan struct{}
}

// turn brings what is watched in line with what is followed. An error means that the locks are lost.
func (s *session) turn(ctx context.Context) error {
	now := time.Now()
	if !s.lost.IsZero() && now.Sub(s.lost) < recheck {
		return nil
	}
	followed := make(map[string]bool)
	for _, id := range s.w.cfg.Followed() {
		followed[id] = len(id) <= maxWorkflowID && utf8.ValidString(id)
	}
	if err := s.leave(ctx, followed); err != nil {
		return err
	}
	var wanted []string
	for id, known := range followed {
		tried, other := s.tried[id]
		if known && s.held[id] == nil && (!other || now.Sub(tried) >= relock) {
			wanted = append(wanted, id)
			s.tried[id] = now
		}
	}
	switch {
	case len(wanted) > 0:
		got, err := s.w.cfg.Locks.Lock(ctx, wanted)
		if err != nil {
			return fmt.Errorf("lock workflows: %w", err)
		}
		for _, id := range got {
			delete(s.tried, id)
			s.start(ctx, id)
		}
	case len(s.held) > 0 && now.Sub(s.checked) >= recheck:
		if err := s.w.cfg.Locks.Check(ctx); err != nil {
			return fmt.Errorf("check the locks: %w", err)
		}
	default:
		return nil
	}
	s.checked = time.Now()
	if s.failing != "" {
		s.failing = ""
		s.w.cfg.Log.InfoContext(ctx, "workflows are watched again")
	}
	return nil
}

// leave stops watching workflows that nobody follows any more.
func (s *session) leave(ctx context.Context, followed map[string]bool) error {
	for id := range s.tried {
		if !followed[id] {
			delete(s.tried, id)
		}
	}
	var left []string
	for id, r := range s.held {
		if !followed[id] {
			left = append(left, id)
			r.stop()
		}
	}
	if len(left) == 0 {
		return nil
	}
	for _, id := range left {
		<-s.held[id].done // another server may ask as soon as the lock is free
		delete(s.held, id)
	}
	s.w.stats.watched.Store(int64(len(s.held)))
	if err := s.w.cfg.Locks.Unlock(ctx, left); err != nil {
		return fmt.Errorf("unlock workflows: %w", err)
	}
	return nil
}

func (s *session) start(ctx context.Context, id string) {
	ctx, stop := context.WithCancel(ctx)
	r, p := &running{stop: stop, done: make(chan struct{})}, &poller{w: s.w, workflowID: id}
	s.held[id] = r
	s.w.stats.watched.Store(int64(len(s.held)))
	go func() {
		defer close(r.done)
		defer stop()
		p.run(ctx)
	}()
}

// drop stops all pollers and releases all locks.
func (s *session) drop() {
	for _, r := range s.held {
		r.stop()
	}
	for _, r := range s.held {
		<-r.done
	}
	clear(s.held)
	clear(s.tried)
	s.w.stats.watched.Store(0)
	s.w.cfg.Locks.Close()
}

// lose is drop because of an error.
func (s *session) lose(ctx context.Context, err error) {
	s.drop()
	s.lost = time.Now()
	if err.Error() != s.failing {
		s.failing = err.Error()
		s.w.cfg.Log.WarnContext(ctx, "workflows are not watched by this server; retrying", "error", err)
	}
}
