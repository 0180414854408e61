package rpc

import (
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tidwall/gjson"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"chatfeed/feed"
)

// The formats that items are kept encoded in.
const (
	formatProto feed.Format = iota // an element of SubscribeResponse.items on the wire: tag, length, Item
	formatJSON                     // an Item in proto3 JSON
	formatREST                     // an element of chatData's items
)

// The field numbers of Item, of what comes to the wire without a message being made.
const (
	itemWorkflowID protowire.Number = 1
	itemID         protowire.Number = 2
	itemCreatedAt  protowire.Number = 3
)

// encodeProto writes an item for the wire. Almost every body is a flat object of strings and numbers, which is written
// straight from its JSON: making a message first costs ten times as much, once for each item that is read.
func encodeProto(item *feed.Item) []byte {
	field := oneof(item.Type)
	if field == nil || item.Metadata != nil || item.WorkflowID == "" || item.ID == "" {
		return encodeMessage(item)
	}
	// What stands before the body has the body's length in it, so room for that is left and filled when the body is there.
	const most = 64 // bytes of tags, lengths and the timestamp
	room := most + len(item.WorkflowID) + len(item.ID)
	b, ok := appendFields(make([]byte, room, room+len(item.Body)), field.Message(), item.Body)
	if !ok {
		return encodeMessage(item)
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
	return b
}

// encodeMessage is encodeProto by way of a message, for what is not flat.
func encodeMessage(item *feed.Item) []byte {
	m := itemMessage(item)
	size := proto.Size(m)
	b := appendElement(make([]byte, 0, protowire.SizeTag(1)+protowire.SizeBytes(size)), size)
	b, err := proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(b, m)
	if err != nil {
		panic(fmt.Sprintf("item %s of workflow %q cannot be marshalled: %v", item.ID, item.WorkflowID, err))
	}
	return b
}

// appendElement begins an element of SubscribeResponse.items.
func appendElement(b []byte, size int) []byte {
	b = protowire.AppendTag(b, 1, protowire.BytesType)
	return protowire.AppendVarint(b, uint64(size)) //nolint:gosec // a size is not negative
}

// appendText appends a text unless it is empty, which is not put on the wire.
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

// appendFields appends the fields of a message from a flat JSON object, under the rules of protojson. It reports false
// for what it leaves to protojson: values that are not strings, numbers or booleans as the fields are, and odd text.
func appendFields(b []byte, message protoreflect.MessageDescriptor, object []byte) (_ []byte, ok bool) {
	if !gjson.ValidBytes(object) || !utf8.Valid(object) {
		return b, false
	}
	parsed := gjson.ParseBytes(object)
	if !parsed.IsObject() {
		return b, false
	}
	ok = true
	var seen uint64 // the fields that were there, by their place in the message
	parsed.ForEach(func(name, value gjson.Result) bool {
		field := message.Fields().ByJSONName(name.Str)
		if field == nil || field.Index() >= 64 || seen&(1<<field.Index()) != 0 {
			ok = false
			return false
		}
		seen |= 1 << field.Index()
		b, ok = appendField(b, field, value)
		return ok
	})
	return b, ok
}

// appendField appends one field unless it has the default value, which is not put on the wire.
func appendField(b []byte, field protoreflect.FieldDescriptor, value gjson.Result) (_ []byte, ok bool) {
	if field.IsList() || field.HasPresence() {
		return b, false
	}
	switch kind := field.Kind(); {
	case kind == protoreflect.StringKind && value.Type == gjson.String:
		if strings.Contains(value.Raw, `\u`) && strings.ContainsRune(value.Str, utf8.RuneError) {
			return b, false // perhaps half of a surrogate pair
		}
		return appendText(b, field.Number(), value.Str), true
	case kind == protoreflect.DoubleKind && value.Type == gjson.Number:
		if math.IsInf(value.Num, 0) {
			return b, false
		}
		if math.Float64bits(value.Num) != 0 {
			b = protowire.AppendTag(b, field.Number(), protowire.Fixed64Type)
			b = protowire.AppendFixed64(b, math.Float64bits(value.Num))
		}
		return b, true
	case kind == protoreflect.Int32Kind && value.Type == gjson.Number:
		n := int32(value.Num)
		if float64(n) != value.Num {
			return b, false
		}
		if n != 0 {
			b = protowire.AppendTag(b, field.Number(), protowire.VarintType)
			b = protowire.AppendVarint(b, uint64(n)) //nolint:gosec // the wire has it so
		}
		return b, true
	}
	return b, false
}

// encodeJSON writes an item in proto3 JSON. The body of a known type stands in it as the source has it, if it is flat.
func encodeJSON(item *feed.Item) []byte {
	field := oneof(item.Type)
	if field == nil || item.Metadata != nil {
		return encodeJSONMessage(item)
	}
	if _, ok := appendFields(make([]byte, 0, len(item.Body)), field.Message(), item.Body); !ok {
		return encodeJSONMessage(item)
	}
	b := make([]byte, 0, 120+len(item.WorkflowID)+item.Size())
	b = append(b, `{"workflowId":`...)
	b = appendString(b, item.WorkflowID)
	b = append(b, `,"id":`...)
	b = appendString(b, item.ID)
	b = append(b, `,"_createdAt":"`...)
	b = time.UnixMicro(int64(item.CreatedAt)).UTC().AppendFormat(b, "2006-01-02T15:04:05.000000Z")
	b = append(b, `","`...)
	b = append(b, field.JSONName()...)
	b = append(b, `":`...)
	b = append(b, item.Body...)
	return append(b, '}')
}

func encodeJSONMessage(item *feed.Item) []byte {
	b, err := protojson.Marshal(itemMessage(item))
	if err != nil {
		panic(fmt.Sprintf("item %s of workflow %q cannot be marshalled: %v", item.ID, item.WorkflowID, err))
	}
	return b
}
