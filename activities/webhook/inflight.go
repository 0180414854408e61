package webhook

import "sync"

// The deliveries that may be in flight: what is more is tried again later. They wait in Temporal and not in the worker, where they would
// hold what other endpoints and the recording of items need.
const (
	perEndpoint = 8
	inAll       = 256
)

// inFlight counts the deliveries in flight. The zero value is ready for use.
type inFlight struct {
	mu        sync.Mutex
	all       int
	endpoints map[string]int
}

// take counts one more for an endpoint, unless it has as many as it may. The caller releases it.
func (f *inFlight) take(endpoint string) (release func(), ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.all >= inAll || f.endpoints[endpoint] >= perEndpoint {
		return nil, false
	}
	if f.endpoints == nil {
		f.endpoints = make(map[string]int)
	}
	f.all++
	f.endpoints[endpoint]++
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.all--
		if f.endpoints[endpoint]--; f.endpoints[endpoint] == 0 {
			delete(f.endpoints, endpoint)
		}
	}, true
}
