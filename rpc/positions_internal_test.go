package rpc

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"chatfeed/feed"
)

// starts are of so many workflows, each at the position that at gives; none below -1.
func startsOf(n int, at func(int) feed.Cursor) []start {
	from := make([]start, n)
	for i := range from {
		from[i].workflowID = fmt.Sprint("wf", i)
		if c := at(i); c >= 0 {
			from[i].after = &c
		}
	}
	return from
}

func none(int) feed.Cursor { return -1 }

func TestThePositionsOfManyWorkflowsRoundTrip(t *testing.T) {
	t.Parallel()
	for _, at := range []func(int) feed.Cursor{
		none,
		func(int) feed.Cursor { return 0 },
		func(i int) feed.Cursor { return feed.Cursor(i%3 - 1) },
		func(i int) feed.Cursor { return 1_764_150_000_123_456 + feed.Cursor(i)*7 },
		func(i int) feed.Cursor { return maxStamp - feed.Cursor(i) },
		func(i int) feed.Cursor { return feed.End * feed.Cursor(i%2) },
	} {
		for _, n := range []int{2, 3, 100} {
			from, back := startsOf(n, at), startsOf(n, none)
			text := formatPositions(from)
			require.True(t, parsePositions(text, back), text)
			require.Equal(t, from, back)
			require.LessOrEqual(t, len(text), 40+14*n)
			for i := range text { // cut short
				require.False(t, parsePositions(text[:i], back), text[:i])
			}
			require.False(t, parsePositions(text, startsOf(n+1, none)))
			back[0].workflowID, back[1].workflowID = back[1].workflowID, back[0].workflowID
			require.False(t, parsePositions(text, back), "the same workflows in another order")
		}
	}
}

func FuzzParsePositions(f *testing.F) {
	for _, text := range []string{"", "p", "p____", "12.5", "null", formatPositions(startsOf(3, none)), formatPositions(startsOf(3, func(i int) feed.Cursor { return feed.Cursor(i) }))} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		from := startsOf(3, none)
		if !parsePositions(text, from) {
			require.Equal(t, startsOf(3, none), from)
			return
		}
		again := startsOf(3, none)
		require.True(t, parsePositions(formatPositions(from), again))
		require.Equal(t, from, again)
	})
}
