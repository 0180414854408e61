package db

import (
	"runtime"
	"testing"
	"weak"

	"github.com/stretchr/testify/require"

	"chatfeed/db/internal/dbsqlc"
	"chatfeed/feed"
)

func TestAPageThatIsKeptKeepsNoOtherOfItsQuery(t *testing.T) {
	t.Parallel()
	kept, dropped := func() (feed.Page, weak.Pointer[feed.Item]) {
		rows := []dbsqlc.AfterRow{{Position: 1, ID: "a", Followed: true}, {Position: 2, ID: "b"}, {Position: 1, ID: "c"}}
		read := pages([]feed.Position{{WorkflowID: "v"}, {WorkflowID: "w"}}, rows)
		return read[0], weak.Make(read[1].Items[0])
	}()
	runtime.GC()
	require.Nil(t, dropped.Value())
	require.Equal(t, []string{"a", "c"}, []string{kept.Items[0].ID, kept.Items[1].ID})
}
