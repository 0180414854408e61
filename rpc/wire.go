package rpc

import (
	"bytes"
	"context"
	"fmt"
	"hash/maphash"
	"log/slog"
	"strings"
	"sync"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"

	"chatfeed/feed"
	v1 "chatfeed/rpc/chatfeedv1"
)

// wireItem is the part of an item that can be encoded. It is the same for every format, so that clients of all transports
// receive the same items.
type wireItem struct {
	itemType       string
	workflowID, id string
	at             feed.Cursor
	field          protoreflect.FieldDescriptor // of Item, for the body; nil for a type that the schema does not know
	body           []byte                       // an object; nil if it is left out
	flat           bool                         // the body is of a known type and can be copied to proto3 JSON unchanged
	metadata       []byte                       // nil if there is none or it is left out
	omitted        []string                     // the parts that are left out or differ from the row
}

// toWire determines which part of an item can be encoded.
func toWire(item *feed.Item) wireItem {
	w := wireKey(item)
	switch {
	case w.field != nil && flat(w.field.Message(), item.Body):
		w.body, w.flat = item.Body, true
	case portable(item.Body) && isObject(item.Body) && fits(w.field, item.Body):
		w.body = item.Body
	default:
		w.omitted = append(w.omitted, w.itemType)
	}
	switch {
	case item.Metadata == nil:
	case portable(item.Metadata):
		w.metadata = item.Metadata
	default:
		w.omitted = append(w.omitted, "metadata")
	}
	return w
}

// wireKey is an item's position and ids, without its content.
func wireKey(item *feed.Item) wireItem {
	w := wireItem{
		itemType: validText(item.Type), workflowID: item.WorkflowID, id: item.ID, at: clamp(item.CreatedAt),
		field: oneof(item.Type),
	}
	if !utf8.ValidString(w.workflowID) {
		w.workflowID = validText(w.workflowID)
		w.omitted = append(w.omitted, "workflowId")
	}
	if !utf8.ValidString(w.id) {
		w.id = validText(w.id)
		w.omitted = append(w.omitted, "id")
	}
	if w.at != item.CreatedAt {
		w.omitted = append(w.omitted, "_createdAt")
	}
	return w
}

// keyOnly is the fallback for an item that cannot be encoded otherwise.
func keyOnly(item *feed.Item) wireItem {
	w := wireKey(item)
	w.omitted = append(w.omitted, w.itemType)
	if item.Metadata != nil {
		w.omitted = append(w.omitted, "metadata")
	}
	return w
}

// fits reports whether an object can be decoded as the message of a field. Any object fits a nil field.
func fits(field protoreflect.FieldDescriptor, object []byte) bool {
	return field == nil || decodeBody(newBody(field), object) == nil
}

// newBody makes an empty message for a field of Item.
func newBody(field protoreflect.FieldDescriptor) protoreflect.Message {
	return (&v1.Item{}).ProtoReflect().NewField(field).Message()
}

// decodeBody decodes a body into its message. Unknown fields are skipped.
func decodeBody(body protoreflect.Message, object []byte) error {
	return protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(object, body.Interface())
}

func validText(text string) string { return strings.ToValidUTF8(text, string(utf8.RuneError)) }

// The first and the last microsecond of a google.protobuf.Timestamp: of the years 1 to 9999.
const (
	minStamp feed.Cursor = -62135596800_000000
	maxStamp feed.Cursor = 253402300799_999999
)

func clamp(c feed.Cursor) feed.Cursor { return min(max(c, minStamp), maxStamp) }

// encoder encodes items in the formats of this package. It logs each item of which a part is left out once.
type encoder struct {
	log         *slog.Logger
	proto, json liveFormat
	socket      liveFormat
	rest        *feed.Format // an element of socket
	bare        *feed.Format // an item of rest, without the type and the cursor around it
	event       *feed.Format // a whole server-sent event, for streams of one workflow

	mu     sync.Mutex
	seed   maphash.Seed
	logged map[uint64]struct{} // hashes of items
}

// maxLogged is how many items are remembered as logged. When there are more, all are dropped and may be logged again.
const maxLogged = 10_000

func newEncoder(log *slog.Logger) *encoder {
	e := &encoder{log: log, seed: maphash.MakeSeed(), logged: make(map[uint64]struct{})}
	e.proto = newLiveFormat("", "\x10\x01", func(item *feed.Item) ([]byte, error) { // field 2, up_to_date
		if b, ok := encodeFlat(item); ok {
			return b, nil
		}
		return encodeItem(e, item, encodeProto)
	})
	e.json = newLiveFormat(`{"items":[`, `],"upToDate":true}`, func(item *feed.Item) ([]byte, error) {
		return encodeItem(e, item, encodeJSON)
	})
	e.socket = newLiveFormat(`{"items": [`, `], "upToDate": true}`, func(item *feed.Item) ([]byte, error) {
		return encodeItem(e, item, encodeREST)
	})
	e.rest = e.socket.element
	e.bare = feed.NewFormat(func(item *feed.Item) ([]byte, error) {
		element, err := item.Encoded(e.rest)
		if err != nil {
			return nil, err
		}
		_, bare, _ := bytes.Cut(element, []byte(`, "item": `)) // only a type and a number come before
		return bare[: len(bare)-1 : len(bare)-1], nil
	})
	e.event = feed.NewFormat(func(item *feed.Item) ([]byte, error) {
		data, err := item.Encoded(e.rest)
		if err != nil {
			return nil, err
		}
		return appendEvent(make([]byte, 0, len(data)+64), item.Type, formatTimestamp(item.CreatedAt), data), nil
	})
	return e
}

// encodeItem encodes the part of an item that can be encoded or, if encode still fails, only its position and ids. So no
// item ends the streams that reach it, and none is skipped silently.
func encodeItem[T any](e *encoder, item *feed.Item, encode func(wireItem) (T, error)) (T, error) {
	wire, written, err := attempt(item, toWire, encode)
	failure := err
	if err != nil {
		wire, written, err = attempt(item, keyOnly, encode)
	}
	if wire.omitted != nil {
		e.report(item, wire.omitted, failure)
	}
	return written, err
}

// attempt tries to encode an item. It returns a panic as an error.
func attempt[T any](
	item *feed.Item, toWire func(*feed.Item) wireItem, encode func(wireItem) (T, error),
) (wire wireItem, written T, err error) {
	defer func() {
		if reason := recover(); reason != nil {
			err = fmt.Errorf("panic: %v", reason)
		}
	}()
	wire = toWire(item)
	written, err = encode(wire)
	return wire, written, err
}

// report logs what is left out of an item, unless it was logged before.
func (e *encoder) report(item *feed.Item, omitted []string, failure error) {
	var h maphash.Hash
	h.SetSeed(e.seed)
	for _, part := range []string{item.WorkflowID, item.Type, item.ID} {
		_, _ = h.WriteString(part)
		_ = h.WriteByte(0)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, ok := e.logged[h.Sum64()]; ok {
		return
	}
	if len(e.logged) >= maxLogged {
		clear(e.logged)
	}
	e.logged[h.Sum64()] = struct{}{}
	attrs := []slog.Attr{
		slog.String("workflow_id", item.WorkflowID), slog.String("type", item.Type), slog.String("id", item.ID),
		slog.Any("omitted", omitted),
	}
	if failure != nil {
		attrs = append(attrs, slog.Any("error", failure))
	}
	e.log.LogAttrs(context.Background(), slog.LevelWarn, "an item is delivered without the parts that cannot be encoded", attrs...)
}
