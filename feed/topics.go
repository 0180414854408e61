package feed

import (
	"sync"
	"time"
)

// topics holds the topics of the feed.
type topics struct {
	mu   sync.Mutex // locked before a topic's, never after
	byID map[string]*topic
}

func (k *topics) count() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.byID)
}

func (k *topics) find(workflowID string) *topic {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.byID[workflowID]
}

// drops returns a workflow's topic, and how often it has dropped its tail.
func (k *topics) drops(workflowID string) (*topic, uint64) {
	t := k.find(workflowID)
	if t == nil {
		return nil, 0
	}
	return t, t.tail.Load().drops
}

// join registers a subscription with a workflow's topic, creating it if there is none, before anything is read.
func (f *Feed) join(workflowID string, s *Subscription) (t *topic, joined tick, newsSeen uint64) {
	f.mu.Lock()
	t, known := f.byID[workflowID]
	if !known {
		t = newTopic(workflowID, f.clock())
		f.byID[workflowID] = t
	}
	t.idleSince = time.Time{}
	joined, newsSeen = t.join(s, f.now)
	f.mu.Unlock()
	load, grow := t.needs()
	if load {
		f.loads.put(t)
	}
	if grow {
		f.grows.put(t)
	}
	if known { // otherwise the load serves as the comparison
		f.compares.put(t)
	}
	return t, joined, newsSeen
}

// leave undoes join.
func (f *Feed) leave(t *topic, s *Subscription) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if t.leave(s) {
		t.idleSince = time.Now()
	}
}

// drop removes a topic, unless someone follows it, and reports whether it did.
func (k *topics) drop(t *topic) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if t.wanted() {
		return false
	}
	if k.byID[t.workflowID] == t {
		delete(k.byID, t.workflowID)
	}
	return true
}

// followed returns the topics with subscriptions.
func (k *topics) followed() []*topic {
	k.mu.Lock()
	defer k.mu.Unlock()
	followed := make([]*topic, 0, len(k.byID))
	for _, t := range k.byID {
		if t.idleSince.IsZero() {
			followed = append(followed, t)
		}
	}
	return followed
}

// Followed returns the workflows that have a subscription now, in no particular order. One that is only kept for Config.Linger
// is not among them. It takes time in proportion to the number of topics, so it is for a caller that asks a few times a second.
func (f *Feed) Followed() []string {
	topics := f.followed()
	ids := make([]string, len(topics))
	for i, t := range topics {
		ids[i] = t.workflowID
	}
	return ids
}

// dropExpired drops the topics that have had no subscription for Config.Linger, and returns all others.
func (f *Feed) dropExpired(now time.Time) []*topic {
	f.mu.Lock()
	defer f.mu.Unlock()
	kept := make([]*topic, 0, len(f.byID))
	for id, t := range f.byID {
		if !t.idleSince.IsZero() && now.Sub(t.idleSince) >= f.cfg.Linger {
			delete(f.byID, id)
			continue
		}
		kept = append(kept, t)
	}
	return kept
}
