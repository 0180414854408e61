package rpc

import (
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"chatfeed/feed"
)

// The field numbers of the parts of Item that are written without making a message.
const (
	itemWorkflowID protowire.Number = 1
	itemID         protowire.Number = 2
	itemCreatedAt  protowire.Number = 3
)

// encodeFlat writes an element of SubscribeResponse.items directly from an item's JSON: tag, length, Item. Almost every body
// is a flat object of strings and numbers, for which this takes a third of the time of making a message first. It reports
// false for anything else.
func encodeFlat(item *feed.Item) (b []byte, ok bool) {
	defer func() {
		if recover() != nil { // encodeProto is used instead, which delivers the item at least in part
			b, ok = nil, false
		}
	}()
	wire := wireKey(item)
	field := wire.field
	if field == nil || item.Metadata != nil || item.WorkflowID == "" || item.ID == "" || wire.omitted != nil {
		return nil, false
	}
	// What precedes the body contains the body's length, so room is left for it, to be filled in when the body is written.
	const most = 64 // bytes of tags, lengths and the timestamp
	room := most + len(item.WorkflowID) + len(item.ID)
	b, ok = appendFields(make([]byte, room, room+len(item.Body)), field.Message(), item.Body)
	if !ok {
		return nil, false
	}
	body := len(b) - room
	at := appendTimestamp(make([]byte, 0, most), item.CreatedAt)
	size := protowire.SizeTag(itemWorkflowID) + protowire.SizeBytes(len(item.WorkflowID)) +
		protowire.SizeTag(itemID) + protowire.SizeBytes(len(item.ID)) +
		protowire.SizeTag(itemCreatedAt) + protowire.SizeBytes(len(at)) +
		protowire.SizeTag(field.Number()) + protowire.SizeBytes(body)
	b = b[room+body-protowire.SizeTag(1)-protowire.SizeBytes(size):]
	before := appendElement(b[:0], size)
	before = appendText(before, itemWorkflowID, item.WorkflowID)
	before = appendText(before, itemID, item.ID)
	before = protowire.AppendTag(before, itemCreatedAt, protowire.BytesType)
	before = protowire.AppendBytes(before, at)
	before = protowire.AppendTag(before, field.Number(), protowire.BytesType)
	protowire.AppendVarint(before, uint64(body)) //nolint:gosec // a length is not negative
	return b, true
}

// encodeProto writes the same as encodeFlat by making a message. It takes any item.
func encodeProto(wire wireItem) ([]byte, error) {
	m, err := itemMessage(wire)
	if err != nil {
		return nil, err
	}
	size := proto.Size(m)
	b := appendElement(make([]byte, 0, protowire.SizeTag(1)+protowire.SizeBytes(size)), size)
	return proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(b, m)
}

// appendElement begins an element of SubscribeResponse.items.
func appendElement(b []byte, size int) []byte {
	b = protowire.AppendTag(b, 1, protowire.BytesType)
	return protowire.AppendVarint(b, uint64(size)) //nolint:gosec // a size is not negative
}

// appendText appends a text unless it is empty: default values are not encoded.
func appendText(b []byte, number protowire.Number, text string) []byte {
	if text == "" {
		return b
	}
	b = protowire.AppendTag(b, number, protowire.BytesType)
	return protowire.AppendString(b, text)
}

// appendTimestamp appends the fields of a google.protobuf.Timestamp.
func appendTimestamp(b []byte, c feed.Cursor) []byte {
	t := time.UnixMicro(int64(c))
	if t.Unix() != 0 {
		b = protowire.AppendTag(b, 1, protowire.VarintType)
		b = protowire.AppendVarint(b, uint64(t.Unix())) //nolint:gosec // the wire has it so
	}
	if t.Nanosecond() != 0 {
		b = protowire.AppendTag(b, 2, protowire.VarintType)
		b = protowire.AppendVarint(b, uint64(t.Nanosecond())) //nolint:gosec // not negative
	}
	return b
}

// encodeJSON writes an item in proto3 JSON. A flat body and the metadata are copied as the source has them.
func encodeJSON(wire wireItem) ([]byte, error) {
	if wire.field != nil && wire.body != nil && !wire.flat {
		body := newBody(wire.field)
		if err := decodeBody(body, wire.body); err != nil {
			return nil, err
		}
		text, err := appendMessage(nil, body)
		if err != nil {
			return nil, err
		}
		wire.body, wire.flat = text, true
	}
	b := make([]byte, 0, 160+len(wire.workflowID)+len(wire.body)+len(wire.metadata))
	b = append(b, `{"workflowId":`...)
	b = appendString(b, wire.workflowID)
	b = append(b, `,"id":`...)
	b = appendString(b, wire.id)
	b = append(b, `,"_createdAt":`...)
	b = appendTime(b, wire.at)
	if wire.flat {
		b = append(b, `,"`...)
		b = append(b, wire.field.JSONName()...)
		b = append(b, `":`...)
		b = append(b, wire.body...)
	}
	if wire.metadata != nil {
		b = append(b, `,"metadata":`...)
		b = append(b, wire.metadata...)
	}
	for i, part := range wire.omitted {
		b = append(b, separator(i, `,"omitted":[`, `,`)...)
		b = appendString(b, part)
	}
	if wire.omitted != nil {
		b = append(b, ']')
	}
	return append(b, '}'), nil
}
