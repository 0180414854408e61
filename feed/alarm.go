package feed

import (
	"sync"
	"sync/atomic"
	"time"
)

// defaultIdle is [Options.Idle] where it is not given.
const defaultIdle = 15 * time.Second

// alarm wakes a subscription that has waited for long enough. It comes back for the next time by itself, because setting a
// timer anew for each item costs more than the rest of Next.
type alarm struct {
	idle   time.Duration
	ready  chan<- struct{}
	opened time.Time
	asked  atomic.Int64 // how long after opened the subscription began to wait
	rang   atomic.Bool

	mu    sync.Mutex
	timer *time.Timer // nil when the alarm is stopped
}

// start begins to wait for the first time.
func (a *alarm) start(idle time.Duration, ready chan<- struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.idle, a.ready, a.opened = idle, ready, time.Now()
	a.timer = time.AfterFunc(idle, a.ring)
}

// set begins to wait.
func (a *alarm) set() {
	a.asked.Store(int64(time.Since(a.opened)))
	a.rang.Store(false)
}

func (a *alarm) ring() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.timer == nil {
		return
	}
	left := a.idle - (time.Since(a.opened) - time.Duration(a.asked.Load()))
	if left <= 0 {
		a.rang.Store(true)
		signal(a.ready)
		left = a.idle
	}
	a.timer.Reset(left)
}

func (a *alarm) stop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.timer.Stop()
	a.timer = nil
}
