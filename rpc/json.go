package rpc

import (
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"chatfeed/feed"
	v1 "chatfeed/rpc/chatfeedv1"
)

// appendMessage appends a message in proto3 JSON, with six decimals in each time of ours. protojson writes none, three or six,
// as the time needs; but a cursor is compared as text by some, and ten in the same second should look alike.
func appendMessage(b []byte, m protoreflect.Message) ([]byte, error) {
	if at, ok := m.Interface().(*timestamppb.Timestamp); ok {
		return appendTime(b, feed.Cursor(at.AsTime().UnixMicro())), nil
	}
	plain := m // what has no message of ours in it
	var parts []protoreflect.FieldDescriptor
	if ours(m.Descriptor()) {
		plain = m.New()
		m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
			if part := field.Message(); part != nil && (ours(part) || part == timestampType) {
				parts = append(parts, field)
			} else {
				plain.Set(field, value)
			}
			return true
		})
	}
	b, err := protojson.MarshalOptions{}.MarshalAppend(b, plain.Interface())
	if err != nil || parts == nil {
		return b, err
	}
	b = b[:len(b)-1] // without the brace
	for _, field := range parts {
		if b[len(b)-1] != '{' {
			b = append(b, ',')
		}
		b = append(append(append(b, '"'), field.JSONName()...), `":`...)
		if b, err = appendValue(b, field, m.Get(field)); err != nil {
			return nil, err
		}
	}
	return append(b, '}'), nil
}

// appendValue appends a message or a list of them.
func appendValue(b []byte, field protoreflect.FieldDescriptor, value protoreflect.Value) (_ []byte, err error) {
	if !field.IsList() {
		return appendMessage(b, value.Message())
	}
	b = append(b, '[')
	for i := range value.List().Len() {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = appendMessage(b, value.List().Get(i).Message()); err != nil {
			return nil, err
		}
	}
	return append(b, ']'), nil
}

var timestampType = (*timestamppb.Timestamp)(nil).ProtoReflect().Descriptor()

// ours reports whether a message is one of package chatfeed.v1.
func ours(m protoreflect.MessageDescriptor) bool {
	return m.ParentFile().Package() == v1.File_chatfeed_v1_feed_proto.Package()
}

// appendTime appends a time in quotes, with six decimals.
func appendTime(b []byte, c feed.Cursor) []byte {
	return time.UnixMicro(int64(c)).UTC().AppendFormat(b, `"2006-01-02T15:04:05.000000Z"`)
}
