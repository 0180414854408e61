package feed_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"chatfeed/feed"
)

func TestAFollowerLearnsThatAWorkflowIsClosed(t *testing.T) {
	t.Parallel()
	for name, options := range map[string]feed.Options{
		"with its last item":          {From: all("w")},
		"though it asked for others":  {From: all("w"), Types: []string{"message"}},
		"from the last items":         {From: []feed.Start{last("w", 1)}, Types: []string{"message"}},
		"that wants only what is new": {From: []feed.Start{last("w", 0)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				src := newSource()
				src.messages("w", 10)
				f := run(t, src, small())
				s := follow(t, f, options)
				for batch := next(t, s); !batch.UpToDate; batch = next(t, s) {
					require.False(t, batch.Final)
				}
				closed := time.Now()
				src.commit("w", "final")
				batch := next(t, s)
				for !batch.UpToDate {
					require.False(t, batch.Final)
					batch = next(t, s)
				}
				require.True(t, batch.Final)
				require.Less(t, time.Since(closed), time.Second, "not with the next heartbeat")

				late := follow(t, f, options)
				for batch = next(t, late); !batch.UpToDate; batch = next(t, late) {
					require.False(t, batch.Final, "not before all has been delivered")
				}
				require.True(t, batch.Final, "also who comes later")
			})
		})
	}
}

func TestManyWorkflowsAreFinalWhenTheLastIsClosed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		src.commit("a", "message", "final")
		src.commit("b", "message")
		f := run(t, src, feed.Config{})
		s := follow(t, f, feed.Options{From: all("a", "b"), Idle: time.Second})
		received := 0
		for batch := next(t, s); ; batch = next(t, s) {
			require.False(t, batch.Final)
			if received += len(batch.Items); batch.UpToDate {
				break
			}
		}
		require.Equal(t, 3, received)
		require.True(t, s.Drop("b"))
		require.True(t, next(t, s).Final)
		require.NoError(t, s.Add(after("b", 0)))
		batch := next(t, s)
		require.Len(t, batch.Items, 1)
		require.False(t, batch.Final)
		src.commit("b", "final")
		require.True(t, next(t, s).Final)
	})
}

func TestAClosedWorkflowWhoseEndWasErasedIsNotFinal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		src.commit("w", "message", "message", "final")
		f := run(t, src, feed.Config{})
		s := follow(t, f, feed.Options{From: all("w"), Idle: time.Second})
		require.True(t, next(t, s).Final)
		src.redact("w", "w/3")
		batch := next(t, s)
		require.Len(t, batch.Gone, 1)
		require.False(t, batch.Final)
		for range 3 {
			require.False(t, next(t, s).Final)
		}
	})
}

func TestAReadLearnsThatAWorkflowIsClosed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := newSource()
		head := src.commit("w", "message", "message", "final")
		f := run(t, src, feed.Config{})
		read := func(at feed.Cursor, limit int, wait time.Duration) awaited {
			return <-await(t.Context(), f, feed.Read{Position: feed.Position{WorkflowID: "w", Cursor: at}, Limit: limit}, wait)
		}
		require.True(t, read(0, 0, 0).page.Final)
		require.False(t, read(0, 2, 0).page.Final, "there is more")
		got := read(head, 0, time.Minute)
		require.NoError(t, got.err)
		require.Empty(t, got.page.Items)
		require.True(t, got.page.Final)
		require.Less(t, got.took, time.Second, "there is nothing to wait for")
		page, err := f.Page(t.Context(), feed.Read{Position: feed.Position{WorkflowID: "w", Cursor: feed.End}, Backwards: true})
		require.NoError(t, err)
		require.False(t, page.Final, "what is before the end is asked for")
	})
}
