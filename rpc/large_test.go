package rpc_test

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"weak"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"chatfeed/feed"
	v1 "chatfeed/rpc/chatfeedv1"
)

// countingSource is a source of one workflow's items that makes new ones for each read, as a database does, and counts those that
// are still held at some of the reads after.
type countingSource struct {
	*source
	mu       sync.Mutex
	n        int // items 1 to n are there
	body     []byte
	metadata []byte
	grows    bool // an item is added for each read, and what is held is counted
	made     []weak.Pointer[feed.Item]
	reads    int
	most     int // held at once
}

func newCountingSource(n int, body, metadata string) *countingSource {
	s := &countingSource{n: n, body: []byte(`{"message":"` + body + `"}`)}
	if metadata != "" {
		s.metadata = []byte(metadata)
	}
	s.source = &source{
		after:  func(at feed.Position, window feed.Window) (feed.Page, error) { return s.page(at, 1, window), nil },
		before: func(at feed.Position, window feed.Window) (feed.Page, error) { return s.page(at, -1, window), nil },
	}
	return s
}

func (s *countingSource) page(at feed.Position, step int, window feed.Window) feed.Page {
	s.mu.Lock()
	defer s.mu.Unlock()
	from := int(min(at.Cursor, feed.Cursor(s.n)+1)) + step
	last := s.n
	if s.grows {
		s.n++
	}
	if s.reads++; s.grows && s.reads%8 == 0 {
		runtime.GC()
		held := 0
		for _, item := range s.made {
			if item.Value() != nil {
				held++
			}
		}
		s.most = max(s.most, held)
	}
	page := feed.Page{}
	for size := 0; from >= 1 && from <= last; from += step {
		if len(page.Items) == window.Items || size >= window.Bytes {
			page.More = true
			break
		}
		item := &feed.Item{
			WorkflowID: at.WorkflowID, ID: fmt.Sprint(from), Type: "message", CreatedAt: feed.Cursor(from), Body: s.body, Metadata: s.metadata,
		}
		if s.grows && from%7 == 0 {
			item.Body = []byte(`{}`) // so that pages begin elsewhere forwards than backwards
		}
		s.made = append(s.made, weak.Make(item))
		size += item.Size()
		page.Items = append(page.Items, item)
		if step < 0 {
			copy(page.Items[1:], page.Items)
			page.Items[0] = item
		}
	}
	return page
}

func numbered(from, to int) []string {
	var ids []string
	for n := from; n <= to; n++ {
		ids = append(ids, fmt.Sprint(n))
	}
	return ids
}

func TestTheLastOfManyLargeItemsAreSentWithoutHoldingThemAll(t *testing.T) {
	t.Parallel()
	const size, pageItems = 40 << 10, 4 // what reaches 100 KiB, at the most
	for _, c := range []struct {
		there, last int
		upToDate    bool
	}{
		{97, 60, false}, {98, 60, false}, {99, 60, false}, {100, 1000, true}, {100, 100, true}, {100, 1, false},
	} {
		source := newCountingSource(c.there, strings.Repeat("x", size), "")
		source.grows = true // those do not belong to the last
		s := serve(t, source, config{feed: feed.Config{Window: feed.Bounds{Bytes: 100 << 10}}})
		got := s.rest(t, "wf", "last", fmt.Sprint(c.last))
		newest := c.there
		requireSame(t, numbered(max(1, newest-c.last+1), newest), ids(got.items), c.last)
		require.Equal(t, c.upToDate, got.upToDate)
		require.LessOrEqual(t, source.most, 1<<20/size+4*pageItems, "items held at once")
	}
}

func TestTheLastOfManySmallItemsAreReadOnce(t *testing.T) {
	t.Parallel()
	source := newCountingSource(2000, strings.Repeat("x", 200), "")
	s := serve(t, source, config{})
	got := s.rest(t, "wf", "last", "1000")
	requireSame(t, numbered(1001, 2000), ids(got.items))
	require.Len(t, source.made, 1000, "items read")
	require.Equal(t, 4, source.reads)
}

func TestAnAnswerIsNoLargerThanClientsAccept(t *testing.T) {
	t.Parallel()
	for name, source := range map[string]*countingSource{
		"bodies":      newCountingSource(8, strings.Repeat("x", 200<<10), ""),
		"metadata":    newCountingSource(12, "", "["+strings.Repeat("1,", 15<<10)+"1]"), // which is six times as large in protobuf
		"the largest": newCountingSource(2, strings.Repeat("x", 1<<20), "["+strings.Repeat("1,", 32<<10-1)+"1]"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, source, config{})
			all := numbered(1, source.n)
			for _, backwards := range []bool{false, true} {
				var got []string
				request := &v1.GetChatDataRequest{WorkflowId: "wf", Limit: 1000}
				if backwards {
					request.Last, request.Limit = 1000, 0
				}
				for answers := 1; ; answers++ {
					answer, err := s.rpc().GetChatData(limited(t), request)
					require.NoError(t, err)
					require.NotEmpty(t, answer.GetItems())
					if len(answer.GetItems()) > 1 {
						require.LessOrEqual(t, proto.Size(answer), 1<<20+100)
					}
					require.Less(t, proto.Size(answer), 4<<20)
					var page []string
					for _, item := range answer.GetItems() {
						page = append(page, item.GetId())
					}
					if backwards {
						got = append(page, got...)
						request.Before = answer.GetItems()[0].GetCreatedAt()
					} else {
						got = append(got, page...)
						request.After = answer.GetItems()[len(page)-1].GetCreatedAt()
					}
					if answer.GetUpToDate() {
						require.GreaterOrEqual(t, answers, 2)
						break
					}
				}
				requireSame(t, all, got)
			}
		})
	}
}
