package rpc_test

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"chatfeed/feed"
	"chatfeed/rpc"
)

// past is a source of one workflow whose past changes.
type past struct {
	*source
	mu    sync.Mutex
	items []*feed.Item
	gone  []feed.Gone
	born  feed.Cursor
}

func newPast(born feed.Cursor, n int) *past {
	p := &past{source: &source{wake: make(chan string, 10)}}
	p.begin(born, n)
	<-p.wake
	p.after = func(at feed.Position, window feed.Window) (feed.Page, error) { return p.now().after(at, window) }
	p.before = func(at feed.Position, window feed.Window) (feed.Page, error) { return p.now().before(at, window) }
	p.head = func(string) feed.Head {
		p.mu.Lock()
		defer p.mu.Unlock()
		head := feed.Head{Born: p.born, Erased: int64(len(p.gone))}
		for _, item := range p.items {
			head.At = item.CreatedAt
		}
		return head
	}
	p.erased = func(after int64) []feed.Gone {
		p.mu.Lock()
		defer p.mu.Unlock()
		return slices.Clone(p.gone[after:])
	}
	return p
}

func (p *past) now() *source {
	p.mu.Lock()
	defer p.mu.Unlock()
	return fixed(slices.Clone(p.items)...)
}

// begin gives the workflow a new history.
func (p *past) begin(born feed.Cursor, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.born, p.items, p.gone = born, nil, nil
	for i := range n {
		at := born + feed.Cursor(i)
		p.items = append(p.items, complete(&feed.Item{ID: fmt.Sprint(at)}, at))
	}
	p.wake <- "wf"
}

func (p *past) erase(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.items = slices.DeleteFunc(p.items, func(item *feed.Item) bool { return item.ID == id })
	p.gone = append(p.gone, feed.Gone{WorkflowID: "wf", Type: "log", ID: id, CreatedAt: 7, Mark: int64(len(p.gone) + 1)})
	p.wake <- "wf"
}

func (tr transport) serve(t *testing.T, source *source) *server {
	t.Helper()
	return serve(t, source, config{tls: tr.tls, rpc: rpc.Config{Heartbeat: patience}})
}

func reportsErasedItems(t *testing.T, tr transport, _ *database) {
	p := newPast(10, 4)
	s := tr.serve(t, p.source)
	r := tr.follow(t, s, all("wf"))
	requireSame(t, []string{"10", "11", "12", "13"}, ids(r.history(t)))
	followers := []*reader{r}
	if tr.polls {
		followers = nil // an answer that was sent is not withdrawn
	} else {
		filtered := tr.follow(t, s, follow{from: []from{{workflow: "wf"}}, types: []string{"message"}})
		require.Empty(t, filtered.history(t))
		followers = append(followers, filtered)
	}
	p.erase("11")
	for _, r := range followers {
		told := r.frame(t)
		for len(told.gone) == 0 {
			told = r.frame(t)
		}
		requireSame(t, []feed.Gone{{WorkflowID: "wf", Type: "log", ID: "11", CreatedAt: 7}}, told.gone)
		require.Empty(t, told.anew)
		require.Empty(t, told.items)
	}
	requireSame(t, []string{"10", "12", "13"}, ids(tr.follow(t, s, all("wf")).history(t)))
	resumed := tr.follow(t, s, follow{from: []from{{workflow: "wf", after: 10}}})
	requireSame(t, []string{"12", "13"}, ids(resumed.history(t)))
}

func reportsNewHistories(t *testing.T, tr transport, _ *database) {
	p := newPast(10, 4)
	s := tr.serve(t, p.source)
	r := tr.follow(t, s, all("wf"))
	requireSame(t, []string{"10", "11", "12", "13"}, ids(r.history(t)))
	p.begin(20, 2)
	if tr.polls { // the cursor of the old history is before all of the new
		requireSame(t, []string{"20", "21"}, ids(r.items(t, 2)))
		return
	}
	resumed := tr.follow(t, s, follow{from: []from{{workflow: "wf", after: 12}}})
	for _, r := range []*reader{r, resumed} {
		told := r.frame(t)
		for len(told.anew) == 0 {
			require.Empty(t, told.items)
			told = r.frame(t)
		}
		require.Equal(t, []string{"wf"}, told.anew)
		items := told.items
		for !told.upToDate {
			told = r.frame(t)
			require.Empty(t, told.anew, "it is reported once")
			items = append(items, told.items...)
		}
		requireSame(t, []string{"20", "21"}, ids(items))
	}
}

func reportsOutages(t *testing.T, tr transport, _ *database) {
	if tr.polls {
		return // its answer is an error
	}
	var away atomic.Bool
	there := fixed(complete(&feed.Item{}, 5))
	reading := func(read func(feed.Position, feed.Window) (feed.Page, error)) func(feed.Position, feed.Window) (feed.Page, error) {
		return func(at feed.Position, window feed.Window) (feed.Page, error) {
			if away.Load() {
				return feed.Page{}, errInternal
			}
			return read(at, window)
		}
	}
	s := serve(t, &source{after: reading(there.after), before: reading(there.before)}, config{
		tls: tr.tls, rpc: rpc.Config{Heartbeat: patience}, feed: feed.Config{Sweep: 50 * time.Millisecond},
	})
	r := tr.follow(t, s, all("wf"))
	require.Len(t, r.history(t), 1)
	away.Store(true)
	requireSame(t, frame{}, r.frame(t))
	away.Store(false)
	requireSame(t, frame{upToDate: true}, r.frame(t))
}
