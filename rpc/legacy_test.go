package rpc_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"chatfeed/db"
	"chatfeed/rpc"
)

func TestLegacyEndpointsHaveTheItemsOfOneTypeAndNameTheirSuccessor(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := serve(t, d.source(t), config{rpc: rpc.Config{LegacyEndpoints: true}})
	d.append(t,
		db.Message{WorkflowID: "a, \"item\": b", ID: "m1", Message: `says "item": {}`, Role: "user"},
		db.Log{WorkflowID: "a, \"item\": b", ID: "l1", Level: "info", Message: "one"},
		db.Stat{WorkflowID: "a, \"item\": b", ID: "s1", ProcessingTime: 1.5, TokenCount: 7},
		db.Message{WorkflowID: "a, \"item\": b", ID: "m2", Message: "two", Role: "user"},
	)
	path := s.url + "/workflows/a,%20%22item%22:%20b/"
	for name, itemType := range map[string]string{"messages": "message", "logs": "log", "stats": "stat"} {
		answer, err := get(limited(t), s.h1, path+name)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, answer.status)
		var got map[string][]json.RawMessage
		require.NoError(t, json.Unmarshal(answer.body, &got), "%s", answer.body)
		require.Len(t, got, 1)

		answered, err := get(limited(t), s.h1, path+"chatData?types="+itemType)
		require.NoError(t, err)
		var all struct {
			Items []struct{ Item json.RawMessage }
		}
		require.NoError(t, json.Unmarshal(answered.body, &all))
		require.NotEmpty(t, all.Items)
		require.Len(t, got[name], len(all.Items))
		for i, want := range all.Items {
			require.Equal(t, string(want.Item), string(got[name][i]))
		}

		require.Regexp(t, "^@[0-9]+$", answer.header.Get("Deprecation"))
		require.Equal(t, `<chatData?types=`+itemType+`>; rel="successor-version"`, answer.header.Get("Link"))
		again, err := get(limited(t), s.h1, path+name, "If-None-Match", answer.header.Get("ETag"))
		require.NoError(t, err)
		require.Equal(t, http.StatusNotModified, again.status)
	}

	at := seconds(d.cursors(t, "a, \"item\": b")["m1"])
	answer, err := get(limited(t), s.h1, path+"messages?types=log&afterTimestamp="+at)
	require.NoError(t, err)
	require.Equal(t, 1, strings.Count(string(answer.body), `"id"`))
	require.Contains(t, string(answer.body), `"id": "m2"`)
	answer, err = get(limited(t), s.h1, path+"messages?afterTimestamp=never")
	require.NoError(t, err)
	require.Equal(t, "afterTimestamp", answer.header.Get("Chatfeed-Ignored"))
	require.Equal(t, 2, strings.Count(string(answer.body), `"id"`))
}

func TestLegacyEndpointsAreServedOnlyWhereAskedFor(t *testing.T) {
	t.Parallel()
	s := serve(t, newDatabase(t).source(t), config{})
	answer, err := get(limited(t), s.h1, s.url+"/workflows/a/messages")
	require.NoError(t, err)
	require.Equal(t, http.StatusNotFound, answer.status)
}
