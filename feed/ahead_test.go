package feed_test

import (
	"slices"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"chatfeed/feed"
)

// To find where a page ends the source looks at every item that it is asked for, and of large ones a page has few.
func TestAPageReadAheadRequestsFewLargeItems(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ bodySize, want int }{
		"one fills a page":            {2_000, 16},
		"ten fill a page":             {100, 64},
		"a window of them fills none": {1, 80},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				src := newSource()
				src.bodySize = c.bodySize
				src.messages("w", 400)
				f := run(t, src, feed.Config{Window: feed.Bounds{Items: 20, Bytes: 1_000}})
				s := follow(t, f, feed.Options{From: all("w")})
				requireSame(t, numbered("w", 1, 400), catchUp(t, s))
				var asked []int
				for _, q := range src.asked(opAfter) {
					asked = append(asked, q.window.Items)
				}
				require.Equal(t, 20, asked[0], "a page that is waited for has at most a window of items")
				asked = slices.Compact(asked[1:])
				require.Equal(t, c.want, slices.Max(asked))
			})
		})
	}
}
