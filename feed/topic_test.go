package feed

import (
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"
)

// A subscription that seeks its start asks its topic twice, and between the two a sweep may find the workflow erased.
// No test from outside can place a sweep there.
func TestATopicThatHasForgottenItsTailKnowsNoNewestItems(t *testing.T) {
	t.Parallel()
	topic := &topic{workflowID: "w"}
	bound := Window{Items: 4, Bytes: 100}
	topic.load(Page{Items: []*Item{{CreatedAt: 7, Type: "message"}}}, 0, bound)
	at, ok := topic.newest(0, nil)
	require.True(t, ok)
	require.EqualValues(t, 7, at)

	topic.sweep(0, false, false)
	for _, n := range []int{0, 1, 5} {
		at, ok = topic.newest(n, nil)
		require.False(t, ok, "newest(%d) gives %d of a topic that is not loaded: the subscription starts from there", n, at)
	}
}

func TestAStartAtTheHeadWaitsWhileItsTopicIsForgotten(t *testing.T) {
	t.Parallel()
	f, err := New(nil, Config{Log: slog.New(slog.DiscardHandler)}) // nothing runs, so nothing is read
	require.NoError(t, err)
	none := 0
	s, err := f.Subscribe(Options{From: []Start{{Position: Position{WorkflowID: "w"}, Last: &none}}})
	require.NoError(t, err)
	defer s.Close()
	follow := s.follows[0]
	follow.topic.load(Page{Items: []*Item{{CreatedAt: 7, Type: "message"}}}, 0, f.cfg.Window)
	seen := follow.topic.after(0)
	follow.topic.sweep(0, false, false)
	require.False(t, s.findStart(follow, seen))
	require.Nil(t, s.waiting, "it has asked for a page, and would begin before the items in it")
}
