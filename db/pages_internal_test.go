package db

import (
	"runtime"
	"testing"
	"weak"

	"github.com/stretchr/testify/require"

	"chatfeed/db/internal/dbsqlc"
	"chatfeed/feed"
)

func TestAKeptPageKeepsNoOtherPageInMemory(t *testing.T) {
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

func TestAKeptItemKeepsFewOthersInMemory(t *testing.T) {
	t.Parallel()
	kept, others := func() (*feed.Item, []weak.Pointer[feed.Item]) {
		rows := make([]dbsqlc.AfterRow, 256)
		for i := range rows {
			rows[i] = dbsqlc.AfterRow{Position: 1, Followed: i < len(rows)-1}
		}
		page := pages([]feed.Position{{WorkflowID: "v"}}, rows)[0]
		var others []weak.Pointer[feed.Item]
		for _, item := range page.Items[:255] {
			others = append(others, weak.Make(item))
		}
		return page.Items[255], others
	}()
	runtime.GC()
	alive := 0
	for _, other := range others {
		if other.Value() != nil {
			alive++
		}
	}
	require.LessOrEqual(t, alive, itemsAtOnce-1)
	runtime.KeepAlive(kept)
}
