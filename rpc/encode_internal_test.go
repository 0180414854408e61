package rpc

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"chatfeed/feed"
	v1 "chatfeed/rpc/chatfeedv1"
)

// FuzzAnItemIsEncodedAsItsMessageWouldBe holds what is written straight from a body's JSON against protojson's reading.
func FuzzAnItemIsEncodedAsItsMessageWouldBe(f *testing.F) {
	for _, seed := range [][2]string{
		{"message", `{"message" : "a \"b\"\n\u0001\u2028 <é>", "role" : "user", "status" : ""}`},
		{"message", `{"message": "\ud83d\ude00 \uFFFD"}`},
		{"message", `{"message": "half \ud83d"}`},
		{"message", `{"message": "once", "message": "twice"}`},
		{"message", `{"message": null, "role": 5}`},
		{"message", `{"unknown": {"message": [1]}, "role": "x"}`},
		{"message", `["message"]`},
		{"message", `{"message": "open`},
		{"stat", `{"processingTime": 1.5, "tokenCount": 7}`},
		{"stat", `{"processing_time": 1.5, "token_count": 7}`},
		{"stat", `{"processingTime": "1.5", "tokenCount": 7.5}`},
		{"stat", `{"processingTime": -0, "tokenCount": 3e9}`},
		{"stat", `{"processingTime": 1e999, "tokenCount": 1e2}`},
		{"progress", `{"progress": 100, "status": "done", "result": ""}`},
		{"message", `{"message": "\udead\ud83d", "role": "\\u\"\ud83d\ude00"}`},
		{"stat", `{"processingTime": 0.1000000000000000055511151231257827, "tokenCount": 7.0}`},
		{"stat", `{"processingTime": "NaN", "tokenCount": 7.00000000000000000001}`},
		{"stat", `{"processingTime": "Infinity", "tokenCount": "7"}`},
		{"reaction", `{"message": "of a type that the schema does not know"}`},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, itemType, body string) {
		item := &feed.Item{WorkflowID: "wf", ID: "id", Type: itemType, CreatedAt: 1795311747_141100, Body: []byte(body)}
		want := message(t, item)
		b, ok := encodeFlat(item)
		require.Equal(t, toWire(item).flat, ok, "exactly the flat bodies are written directly")
		if ok {
			fromProto := new(v1.SubscribeResponse)
			require.NoError(t, proto.Unmarshal(b, fromProto))
			requireSame(t, want, fromProto.GetItems()[0])
			require.Empty(t, want.GetOmitted())
			require.NoError(t, protojson.UnmarshalOptions{}.Unmarshal(item.Body, newBody(oneof(itemType)).Interface()))
		}
		b, err := encodeJSON(toWire(item))
		require.NoError(t, err)
		fromJSON := new(v1.Item)
		require.NoError(t, jsonCodec{}.Unmarshal(b, fromJSON))
		requireSame(t, want, fromJSON)
	})
}

func TestAnItemOfAnySizeIsEncodedAsItsMessageWouldBe(t *testing.T) {
	t.Parallel()
	for _, id := range []int{1, 127, 128, 1000} {
		for _, at := range []feed.Cursor{maxStamp, 1795311747_141100, 1_000_000, 1, 0, -1, minStamp} {
			for _, text := range []int{0, 1, 100, 127, 128, 16383, 16384, 1 << 20} {
				item := &feed.Item{
					WorkflowID: strings.Repeat("w", id), ID: strings.Repeat("i", id), Type: "message", CreatedAt: at,
					Body: fmt.Appendf(nil, `{"role": "user", "message": %q}`, strings.Repeat("x", text)),
				}
				want, got := new(v1.SubscribeResponse), new(v1.SubscribeResponse)
				b, err := encodeProto(toWire(item))
				require.NoError(t, err)
				require.NoError(t, proto.Unmarshal(b, want))
				b, ok := encodeFlat(item)
				require.True(t, ok)
				require.NoError(t, proto.Unmarshal(b, got))
				require.True(t, proto.Equal(want, got), "ids of %d, %d µs, text of %d", id, at, text)
			}
		}
	}
}

func requireSame(t *testing.T, want, got *v1.Item) {
	t.Helper()
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		require.Contains(t, strings.ToLower(diff), "nan") // which differs from itself
	}
}

func BenchmarkEncode(b *testing.B) {
	item := newItem(1795311747_141100)
	with := newItem(1795311747_141100)
	item.Metadata = nil
	encoder := newEncoder(slog.New(slog.DiscardHandler))
	writing := func(encode func(wireItem) ([]byte, error)) func(*feed.Item) {
		return func(item *feed.Item) { _, _ = encodeItem(encoder, item, encode) }
	}
	for name, encode := range map[string]func(*feed.Item){
		"protobuf": func(item *feed.Item) { encodeFlat(item) }, "protobuf by way of a message": writing(encodeProto),
		"JSON": writing(encodeJSON), "REST": writing(encodeREST),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				encode(item)
			}
		})
		b.Run(name+" with metadata", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				encode(with)
			}
		})
	}
}
