package feed_test

import (
	"slices"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"chatfeed/feed"
)

// Two follows need a page. That of the first has nothing of the type that is wanted; the other must not wait for a heartbeat
// to ask for its own.
func TestAnEmptyPageIsFollowedByTheNextAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		src.commit("a", slices.Repeat([]string{"log"}, 20)...)
		src.messages("b", 1)
		src.messages("c", 20)
		f := run(t, src, small())
		s := follow(t, f, feed.Options{From: all("a", "b", "c"), Types: []string{"message"}})
		var got []string
		promptly(t, func() {
			for len(got) < 21 {
				batch, err := s.Next()
				require.NoError(t, err)
				for _, item := range batch.Items {
					got = append(got, item.ID)
				}
			}
		})
		require.ElementsMatch(t, append([]string{"b/1"}, numbered("c", 1, 20)...), got)
	})
}
