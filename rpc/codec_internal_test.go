package rpc

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"unicode/utf8"

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

// testCodecs are those of a handler.
func testCodecs() []codec {
	t := newEncoder(slog.New(slog.DiscardHandler))
	return []codec{protoCodec{t.proto.element}, jsonCodec{"json", t.json.element}}
}

// message is what an item is to a client.
func message(t testing.TB, item *feed.Item) *v1.Item {
	t.Helper()
	m, err := itemMessage(toWire(item))
	require.NoError(t, err)
	return m
}

func TestAFrameDecodesToItsMessage(t *testing.T) {
	t.Parallel()
	gone := []feed.Gone{{WorkflowID: "wf", Type: "log", ID: "a \"b\"", CreatedAt: 1234567890_123456, Mark: 7}, {WorkflowID: "wf", Type: "stat", ID: "\xff"}}
	wantGone := []*v1.Gone{
		{WorkflowId: "wf", Type: "log", Id: "a \"b\"", CreatedAt: timestamp(1234567890_123456)},
		{WorkflowId: "wf", Type: "stat", Id: "\ufffd", CreatedAt: timestamp(0)},
	}
	for _, c := range testCodecs() {
		for parts := range 1 << 4 {
			var items []*feed.Item
			for i := range parts & 3 {
				items = append(items, newItem(feed.Cursor(1234567890_123456+i)))
			}
			batch := feed.Batch{Items: items, UpToDate: parts&4 != 0}
			want := &v1.SubscribeResponse{UpToDate: batch.UpToDate}
			for _, item := range items {
				want.Items = append(want.Items, message(t, item))
			}
			if parts&8 != 0 {
				batch.Gone, want.Gone = gone, wantGone
			}
			for _, anew := range [][]string{nil, {"wf", "x \u2028"}} {
				batch.Anew, want.Anew = anew, anew
				b, err := c.Marshal((*frame)(&batch))
				require.NoError(t, err)
				got := new(v1.SubscribeResponse)
				require.NoError(t, c.Unmarshal(b, got), "%s", b)
				require.Empty(t, cmp.Diff(want, got, protocmp.Transform()))
			}
		}
	}
}

func TestAnItemIsEncodedOncePerFormatHoweverManyReceiveIt(t *testing.T) {
	t.Parallel()
	item := newItem(5)
	codecs := newEncoder(slog.New(slog.DiscardHandler))
	for format, c := range map[*feed.Format]codec{
		codecs.proto.element: protoCodec{codecs.proto.element}, codecs.json.element: jsonCodec{"json", codecs.json.element},
	} {
		first, err := c.Marshal(&frame{Items: []*feed.Item{item}})
		require.NoError(t, err)
		kept, err := item.Encoded(format)
		require.NoError(t, err)
		require.True(t, bytes.Contains(first, kept), "the frame holds the bytes that the item keeps")
		for range 3 {
			b, err := c.Marshal(&frame{Items: []*feed.Item{newItem(4), item}, UpToDate: true})
			require.NoError(t, err)
			require.True(t, bytes.Contains(b, kept))
			again, err := item.Encoded(format)
			require.NoError(t, err)
			require.Same(t, &kept[0], &again[0], "one backing array")
		}
	}
	marked := feed.NewFormat(func(*feed.Item) ([]byte, error) { return []byte(`"kept"`), nil }) // what the item keeps is sent
	b, err := jsonCodec{"json", marked}.Marshal(&frame{Items: []*feed.Item{newItem(6)}})
	require.NoError(t, err)
	require.JSONEq(t, `{"items": ["kept"]}`, string(b))
}

func TestAFrameOfAnItemThatCannotBeEncodedIsAnError(t *testing.T) {
	t.Parallel()
	broken := feed.NewFormat(func(*feed.Item) ([]byte, error) { panic("out of range") })
	for _, c := range []codec{protoCodec{broken}, jsonCodec{"json", broken}} {
		for range 2 { // the second receiver gets the same error
			_, err := c.Marshal(&frame{Items: []*feed.Item{newItem(5)}, UpToDate: true})
			require.ErrorContains(t, err, "out of range")
		}
	}
}

func TestOnlyMessagesAreEncoded(t *testing.T) {
	t.Parallel()
	for _, c := range testCodecs() {
		_, err := c.Marshal("text")
		require.ErrorContains(t, err, "string is not a protobuf message")
		require.ErrorContains(t, c.Unmarshal([]byte("{}"), "text"), "string is not a protobuf message")
	}
	require.ErrorContains(t, jsonCodec{}.Unmarshal(nil, new(v1.Item)), "empty")
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
		if json.Unmarshal([]byte(body), &fields) != nil || len(fields) == 0 {
			return
		}
		item := &feed.Item{
			WorkflowID: workflowID, ID: id, Type: "reaction", CreatedAt: 1_500_000, Body: []byte(body), Metadata: []byte(metadata),
		}
		if toWire(item).omitted != nil {
			return
		}
		b, err := encodeREST(toWire(item))
		require.NoError(t, err)
		var got struct{ Item map[string]json.RawMessage }
		require.NoError(t, json.Unmarshal(b, &got), "%s", b)
		for name, want := range fields {
			switch name {
			case "id", "workflowId", "_createdAt", "metadata", "omitted":
				continue // the item's own have these names
			}
			require.Equal(t, compacted(t, want), compacted(t, got.Item[name]), "field %q of %s", name, b)
		}
		require.Equal(t, compacted(t, []byte(metadata)), compacted(t, got.Item["metadata"]))
		require.Equal(t, "1.5", string(got.Item["_createdAt"]))
		require.Equal(t, b, appendSpaced(nil, b), "it is spaced already")
	})
}

func compacted(t *testing.T, value []byte) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, json.Compact(&b, value))
	return b.String()
}

func FuzzProtoAndJSONOfAnItemAreEquivalent(f *testing.F) {
	f.Add("message", "id", int64(5), `{"message":"a","role":"user"}`, `{"a":[1]}`)
	f.Add("stat", "id", int64(5), `{"processingTime":1.5,"tokenCount":7}`, `1e400`)
	f.Add("stat", "id", int64(5), `{"processingTime":"NaN"}`, `[0.1, 9007199254740993]`)
	f.Add("progress", "", int64(1<<63-1), `{"progress":"x"}`, `nonsense`)
	f.Add("reaction", "\xff", int64(-1<<63), `{}`, ``)
	f.Add("message", "id", int64(5), `{"message":"\ud83d"}`, `{"a":"\ud83d\ude00","a":1}`)
	f.Add("log", "id", int64(5), `{"message":"a","further":[[1]]}`, "{\"\\u0000\": \"\xed\xa0\x80\"}")
	f.Fuzz(func(t *testing.T, itemType, id string, at int64, body, metadata string) {
		item := &feed.Item{
			WorkflowID: "wf", ID: id, Type: itemType, CreatedAt: feed.Cursor(at), Body: []byte(body), Metadata: []byte(metadata),
		}
		encoder := newEncoder(slog.New(slog.DiscardHandler))
		element, err := item.Encoded(encoder.proto.element)
		require.NoError(t, err)
		fromProto := new(v1.SubscribeResponse)
		require.NoError(t, proto.Unmarshal(element, fromProto))
		element, err = item.Encoded(encoder.json.element)
		require.NoError(t, err)
		fromJSON := new(v1.Item)
		require.NoError(t, jsonCodec{}.Unmarshal(element, fromJSON))
		if diff := cmp.Diff(fromProto.GetItems(), []*v1.Item{fromJSON}, protocmp.Transform()); diff != "" {
			require.Contains(t, strings.ToLower(diff), "nan") // which differs from itself
		}
		element, err = item.Encoded(encoder.rest)
		require.NoError(t, err)
		var rest struct {
			Item struct {
				Metadata json.RawMessage
				Omitted  []string
			}
		}
		require.True(t, utf8.Valid(element) && json.Valid(element), "%q", element)
		if itemType == "reaction" && len(body) > 2 {
			return // its body may have fields of any name
		}
		require.NoError(t, json.Unmarshal(element, &rest))
		require.Equal(t, fromJSON.GetOmitted(), rest.Item.Omitted)
		require.Equal(t, fromJSON.GetMetadata() != nil, rest.Item.Metadata != nil)
	})
}
