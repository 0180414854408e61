package rpc

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"chatfeed/feed"
	v1 "chatfeed/rpc/chatfeedv1"
)

type codec interface {
	Marshal(any) ([]byte, error)
	Unmarshal([]byte, any) error
}

func newItem(at feed.Cursor) *feed.Item {
	return &feed.Item{
		WorkflowID: "wf", ID: fmt.Sprint(at), Type: "message", CreatedAt: at,
		Body: []byte(`{"message": "<hello> \u2028", "role": "user", "status": ""}`), Metadata: []byte(`{"a": null}`),
	}
}

func TestAFrameIsTheMessageThatItStandsFor(t *testing.T) {
	t.Parallel()
	for _, c := range []codec{protoCodec{}, jsonCodec{"json"}} {
		for n := range 4 {
			for _, upToDate := range []bool{false, true} {
				var items []*feed.Item
				for i := range n {
					items = append(items, newItem(feed.Cursor(1234567890_123456+i)))
				}
				b, err := c.Marshal(&frame{Items: items, UpToDate: upToDate})
				require.NoError(t, err)
				got := new(v1.SubscribeResponse)
				require.NoError(t, c.Unmarshal(b, got), "%s", b)
				want := &v1.SubscribeResponse{Items: itemMessages(items), UpToDate: upToDate}
				require.Empty(t, cmp.Diff(want, got, protocmp.Transform()))
			}
		}
	}
}

func TestAnItemIsEncodedOncePerFormatHoweverManyReceiveIt(t *testing.T) {
	t.Parallel()
	item := newItem(5)
	again := func(*feed.Item) []byte {
		t.Error("it was encoded again")
		return nil
	}
	for format, c := range map[feed.Format]codec{formatProto: protoCodec{}, formatJSON: jsonCodec{"json"}} {
		first, err := c.Marshal(&frame{Items: []*feed.Item{item}})
		require.NoError(t, err)
		kept := item.Encoded(format, again)
		require.True(t, bytes.Contains(first, kept), "the frame holds the bytes that the item keeps")
		for range 3 {
			b, err := c.Marshal(&frame{Items: []*feed.Item{newItem(4), item}, UpToDate: true})
			require.NoError(t, err)
			require.True(t, bytes.Contains(b, kept))
			require.Same(t, &kept[0], &item.Encoded(format, again)[0], "one backing array")
		}
	}
	marked := newItem(6) // and what the item keeps is what is sent
	marked.Encoded(formatJSON, func(*feed.Item) []byte { return []byte(`"kept"`) })
	b, err := jsonCodec{"json"}.Marshal(&frame{Items: []*feed.Item{marked}})
	require.NoError(t, err)
	require.JSONEq(t, `{"items": ["kept"]}`, string(b))
}

func TestWhatIsNoMessageIsNotEncoded(t *testing.T) {
	t.Parallel()
	for _, c := range []codec{protoCodec{}, jsonCodec{"json"}} {
		_, err := c.Marshal("text")
		require.ErrorContains(t, err, "string is no protobuf message")
		require.ErrorContains(t, c.Unmarshal([]byte("{}"), "text"), "string is no protobuf message")
	}
	require.ErrorContains(t, jsonCodec{"json"}.Unmarshal(nil, new(v1.Item)), "empty")
}

func TestEveryTypeOfTheSchemaCanBeAskedFor(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{"message", "log", "stat", "progress"}, typeNames())
	for _, name := range typeNames() {
		require.NotNil(t, oneof(name))
		types, err := checkTypes("types", []string{name})
		require.NoError(t, err)
		require.Equal(t, []string{name}, types)
	}
	require.Nil(t, oneof("reaction"))
	require.Nil(t, oneof(""))
	none, err := checkTypes("types", nil)
	require.NoError(t, err)
	require.Nil(t, none)
}

func FuzzRESTItemIsJSONWithOneSpaceAfterColonsAndCommas(f *testing.F) {
	for _, seed := range [][2]string{
		{`{"message": "a, b: c\\", "role" : "\"", "n":[1,2 ,{"x":null}]}`, `null`},
		{"{\n\t\"a\" : \"\\u2028<\"\r\n}", ` [ 1 , "é\\\"," ] `},
		{`{"a":""}`, `"\\"`},
	} {
		f.Add("wf \"<>", "id\n", seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, workflowID, id, body, metadata string) {
		fields := map[string]json.RawMessage{}
		if json.Unmarshal([]byte(body), &fields) != nil || len(fields) == 0 || !json.Valid([]byte(metadata)) {
			return
		}
		b := encodeREST(&feed.Item{
			WorkflowID: workflowID, ID: id, Type: "message", CreatedAt: 1_500_000, Body: []byte(body), Metadata: []byte(metadata),
		})
		var got struct{ Item map[string]json.RawMessage }
		require.NoError(t, json.Unmarshal(b, &got), "%s", b)
		for name, want := range fields {
			switch name {
			case "id", "workflowId", "_createdAt", "metadata":
				continue // the item's own have these names
			}
			require.Equal(t, plain(t, want), plain(t, got.Item[name]), "field %q of %s", name, b)
		}
		require.Equal(t, plain(t, []byte(metadata)), plain(t, got.Item["metadata"]))
		require.Equal(t, "1.5", string(got.Item["_createdAt"]))
		require.Equal(t, b, appendSpaced(nil, b), "it is spaced already")
	})
}

func plain(t *testing.T, value []byte) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, json.Compact(&b, value))
	return b.String()
}

func FuzzProtoAndJSONOfAnItemSayTheSame(f *testing.F) {
	f.Add("message", `{"message":"a","role":"user"}`, `{"a":[1]}`)
	f.Add("stat", `{"processingTime":1.5,"tokenCount":7}`, `1e400`)
	f.Add("progress", `{"progress":"x"}`, `nonsense`)
	f.Add("reaction", `{}`, ``)
	f.Fuzz(func(t *testing.T, itemType, body, metadata string) {
		item := &feed.Item{WorkflowID: "wf", ID: "id", Type: itemType, CreatedAt: 5, Body: []byte(body), Metadata: []byte(metadata)}
		element := item.Encoded(formatProto, encodeProto)
		fromProto := new(v1.SubscribeResponse)
		require.NoError(t, proto.Unmarshal(element, fromProto))
		fromJSON := new(v1.Item)
		require.NoError(t, jsonCodec{"json"}.Unmarshal(item.Encoded(formatJSON, encodeJSON), fromJSON))
		if diff := cmp.Diff(fromProto.GetItems(), []*v1.Item{fromJSON}, protocmp.Transform()); diff != "" {
			require.Contains(t, strings.ToLower(diff), "nan") // which differs from itself
		}
	})
}
