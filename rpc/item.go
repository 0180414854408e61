package rpc

import (
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"chatfeed/feed"
	v1 "chatfeed/rpc/chatfeedv1"
)

// itemMessage makes the message for an item. The body's JSON names are those of the schema, so a new type needs no
// code here. Unknown fields are left out, but the item still moves its receiver's cursor.
func itemMessage(wire wireItem) (*v1.Item, error) {
	m := &v1.Item{WorkflowId: wire.workflowID, Id: wire.id, CreatedAt: timestamp(wire.at), Omitted: wire.omitted}
	if wire.field != nil && wire.body != nil {
		body := newBody(wire.field)
		if err := decodeBody(body, wire.body); err != nil {
			return nil, err
		}
		m.ProtoReflect().Set(wire.field, protoreflect.ValueOfMessage(body))
	}
	if wire.metadata != nil {
		m.Metadata = new(structpb.Value)
		if err := m.GetMetadata().UnmarshalJSON(wire.metadata); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// timestamp converts a cursor to a timestamp, clamped to the valid range.
func timestamp(c feed.Cursor) *timestamppb.Timestamp {
	return timestamppb.New(time.UnixMicro(int64(clamp(c))))
}
