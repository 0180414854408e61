package audit

import (
	"encoding/json"
	"fmt"
	"hash/maphash"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	v1 "chatfeed/rpc/chatfeedv1"
)

// What a delivery costs from a frame's bytes to the client's record, in frames of 64 items of half a KiB.
func BenchmarkTake(b *testing.B) {
	const frame = pageLimit
	text := strings.Repeat(`the "quick" bröwn fox `, 512/22)
	response, rest := &v1.SubscribeResponse{}, []map[string]any{}
	for i := range frame {
		response.Items = append(response.Items, &v1.Item{
			WorkflowId: "wf_1", Id: fmt.Sprintf("audit_0123456789_%d", i), CreatedAt: timestamppb.New(time.UnixMicro(int64(i + 1))),
			Item: &v1.Item_Message{Message: &v1.Message{Message: text, Role: "assistant", Status: "complete"}},
		})
		at := json.Number(seconds(int64(i + 1)))
		rest = append(rest, map[string]any{"type": "message", "createdAt": at, "item": map[string]any{
			"id": response.Items[i].GetId(), "workflowId": "wf_1", "message": text, "role": "assistant", "status": "complete", "_createdAt": at,
		}})
	}
	inProto, err := proto.Marshal(response)
	require.NoError(b, err)
	inJSON, err := protojson.Marshal(response)
	require.NoError(b, err)
	inREST, err := json.Marshal(map[string]any{"items": rest, "upToDate": true})
	require.NoError(b, err)
	s := sums{maphash.MakeSeed()}
	for name, read := range map[string]func() ([]item, error){
		"proto": func() ([]item, error) {
			m := new(v1.SubscribeResponse)
			err := proto.Unmarshal(inProto, m)
			return s.protoItems(nil, m.GetItems()), err
		},
		"JSON": func() ([]item, error) {
			m := new(v1.SubscribeResponse)
			err := protojson.Unmarshal(inJSON, m)
			return s.protoItems(nil, m.GetItems()), err
		},
		"REST": func() ([]item, error) { return s.restItems(inREST) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				c := &client{workflow: "wf_1", counts: new(counts), findings: new(findings), fates: new(ledger), log: slog.New(slog.DiscardHandler)}
				items, err := read()
				require.NoError(b, err)
				c.take(b.Context(), items)
				require.Len(b, c.had, frame)
			}
			b.ReportMetric(float64(b.N*frame)/b.Elapsed().Seconds(), "deliveries/s")
		})
	}
}
