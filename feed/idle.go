package feed

import (
	"sync"
	"sync/atomic"
	"time"
)

// defaultIdle is the default of [Options.Idle].
const defaultIdle = 15 * time.Second

// idleTimer wakes a subscription that has waited for the idle time. It runs on by itself and is not reset for each item,
// because resetting a timer costs more than the rest of Next.
type idleTimer struct {
	idle    time.Duration
	ready   chan<- struct{}
	opened  time.Time
	waiting atomic.Int64 // how long after opened the subscription began to wait
	expired atomic.Bool

	mu    sync.Mutex
	timer *time.Timer // nil when stopped
}

// start starts the timer; the first wait begins now.
func (t *idleTimer) start(idle time.Duration, ready chan<- struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.idle, t.ready, t.opened = idle, ready, time.Now()
	t.timer = time.AfterFunc(idle, t.expire)
}

// restart begins a new wait.
func (t *idleTimer) restart() {
	t.waiting.Store(int64(time.Since(t.opened)))
	t.expired.Store(false)
}

func (t *idleTimer) expire() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.timer == nil {
		return
	}
	left := t.idle - (time.Since(t.opened) - time.Duration(t.waiting.Load()))
	if left <= 0 {
		t.expired.Store(true)
		signal(t.ready)
		left = t.idle
	}
	t.timer.Reset(left)
}

func (t *idleTimer) stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.timer.Stop()
	t.timer = nil
}
