package rpc_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"chatfeed/feed"
	v1 "chatfeed/rpc/chatfeedv1"
)

// grown is a workflow with a type of item that the schema does not know.
func grown(reaction string) *source {
	item := func(at feed.Cursor, itemType, body string) *feed.Item {
		return &feed.Item{WorkflowID: "wf", ID: fmt.Sprint(at), Type: itemType, CreatedAt: at, Body: []byte(body), Metadata: []byte("1")}
	}
	return fixed(
		item(1, "log", `{"level":"info","message":"a"}`),
		item(2, "reaction", reaction),
		item(3, "log", `{"level":"info","message":"b","further":"field"}`), // as a newer schema might have
		item(4, "reaction", reaction),
	)
}

// A server that is older than the database, or a type that a client has not asked for.
func TestAnItemOfAnUnknownTypeIsSkipped(t *testing.T) {
	t.Parallel()
	s := serve(t, grown(`{"emoji":"👍"}`), config{})
	for _, tr := range transports {
		if tr.tls {
			continue
		}
		got := tr.follow(t, s, all("wf")).history(t)
		requireSame(t, []string{"1", "3"}, ids(got), tr.name)
		require.Equal(t, "b", got[1].Body["message"], tr.name)
		require.Empty(t, tr.follow(t, s, follow{from: []from{{workflow: "wf", after: got[1].At}}}).history(t))
	}
	read, err := s.rpc().GetChatData(limited(t), &v1.GetChatDataRequest{WorkflowId: "wf"})
	require.NoError(t, err)
	require.Len(t, read.GetItems(), 2)
	require.True(t, read.GetUpToDate())
}

func TestAnItemWithMetadataThatCannotBeEncodedIsDeliveredWithoutIt(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000)
	for _, metadata := range []string{`1e400`, `{"a": -1e999}`, deep} { // PostgreSQL's jsonb takes them
		s := serve(t, fixed(&feed.Item{
			WorkflowID: "wf", ID: "one", Type: "log", CreatedAt: 1, Body: []byte(`{"message": "a"}`), Metadata: []byte(metadata),
		}), config{})
		got := transports[0].follow(t, s, all("wf")).history(t)
		require.Len(t, got, 1)
		require.Equal(t, "a", got[0].Body["message"])
	}
}
