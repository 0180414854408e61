package rpc_test

import (
	"encoding/json"
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

func TestAnItemOfAnUnknownTypeIsDeliveredWithoutItsBodyAndMovesTheCursor(t *testing.T) {
	t.Parallel()
	s := serve(t, grown(`{"emoji":"👍"}`), config{})
	for _, tr := range transports {
		if tr.tls || tr.polls {
			continue
		}
		got := tr.follow(t, s, all("wf")).history(t)
		requireSame(t, []string{"1", "2", "3", "4"}, ids(got), tr.name)
		require.Equal(t, item{Workflow: "wf", ID: "4", At: 4, Metadata: "1"}, got[3], tr.name)
		require.Equal(t, map[string]any{"level": "info", "message": "b"}, got[2].Body, tr.name)
		require.Empty(t, tr.follow(t, s, follow{from: []from{{workflow: "wf", after: got[3].At}}}).history(t))
	}
	read, err := s.rpc().GetChatData(limited(t), &v1.GetChatDataRequest{WorkflowId: "wf"})
	require.NoError(t, err)
	require.Len(t, read.GetItems(), 4)
	require.Nil(t, read.GetItems()[3].GetItem())
}

func TestRESTDeliversAnItemOfAnUnknownTypeAsItIs(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]map[string]any{
		`{"emoji":"👍"}`:   {"emoji": "👍"},
		`{ "a" : [ 1 ] }`: {"a": []any{1.0}},
		`{}`:              {}, // a type that has no fields but the common ones
		"{ \n}":           {},
	} {
		s := serve(t, grown(body), config{})
		answer, err := get(limited(t), s.h1, s.url+"/workflows/wf/chatData?afterTimestamp=0.000003")
		require.NoError(t, err, body)
		require.True(t, json.Valid(answer.body), "not JSON: %s", answer.body)
		got, err := readREST(answer.body)
		require.NoError(t, err)
		requireSame(t, []item{{Workflow: "wf", ID: "4", Type: "reaction", At: 4, Body: want, Metadata: "1"}}, got.items)
	}
}

func TestMetadataThatTheSchemaCannotHoldLeavesTheRestOfItsItem(t *testing.T) {
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
