package rpc

import (
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

// telling is what of an item can be put on the wire. It is the same in every format, so that clients of all transports
// have the same items.
type telling struct {
	itemType       string
	workflowID, id string
	at             feed.Cursor
	field          protoreflect.FieldDescriptor // of Item, for the body; nil for a type that the schema does not know
	body           []byte                       // an object; nil when it is left out
	flat           bool                         // the body is that of a known type and can be copied to proto3 JSON as it is
	metadata       []byte                       // nil when there is none or it is left out
	omitted        []string                     // what is left out, and what is not quite that of the row
}

// tell finds what of an item can be put on the wire.
func tell(item *feed.Item) telling {
	t := bare(item)
	if t.field != nil && flat(t.field.Message(), item.Body) {
		t.body, t.flat = item.Body, true
	} else if sound(item.Body) && isObject(item.Body) && fits(t.field, item.Body) {
		t.body = item.Body
	} else {
		t.omitted = append(t.omitted, t.itemType)
	}
	if item.Metadata != nil && sound(item.Metadata) {
		t.metadata = item.Metadata
	} else if item.Metadata != nil {
		t.omitted = append(t.omitted, "metadata")
	}
	return t
}

// bare is the telling of an item's place in the feed, and of nothing else.
func bare(item *feed.Item) telling {
	t := telling{
		itemType: validText(item.Type), workflowID: item.WorkflowID, id: item.ID, at: clamp(item.CreatedAt),
		field: oneof(item.Type),
	}
	if !utf8.ValidString(t.workflowID) {
		t.workflowID = validText(t.workflowID)
		t.omitted = append(t.omitted, "workflowId")
	}
	if !utf8.ValidString(t.id) {
		t.id = validText(t.id)
		t.omitted = append(t.omitted, "id")
	}
	if t.at != item.CreatedAt {
		t.omitted = append(t.omitted, "_createdAt")
	}
	return t
}

// nothing is the telling of an item that cannot be written otherwise.
func nothing(item *feed.Item) telling {
	t := bare(item)
	t.omitted = append(t.omitted, t.itemType)
	if item.Metadata != nil {
		t.omitted = append(t.omitted, "metadata")
	}
	return t
}

// fits reports whether an object can be read as the message of a field. Anything fits where there is no field.
func fits(field protoreflect.FieldDescriptor, object []byte) bool {
	return field == nil || decodeBody(newBody(field), object) == nil
}

// newBody makes an empty message for a field of Item.
func newBody(field protoreflect.FieldDescriptor) protoreflect.Message {
	return (&v1.Item{}).ProtoReflect().NewField(field).Message()
}

// decodeBody reads a body into its message. What the schema does not know is skipped.
func decodeBody(body protoreflect.Message, object []byte) error {
	return protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(object, body.Interface())
}

func validText(text string) string { return strings.ToValidUTF8(text, string(utf8.RuneError)) }

// The first and the last microsecond that a google.protobuf.Timestamp can be: of the years 1 to 9999.
const (
	minStamp feed.Cursor = -62135596800_000000
	maxStamp feed.Cursor = 253402300799_999999
)

func clamp(c feed.Cursor) feed.Cursor { return min(max(c, minStamp), maxStamp) }

// teller writes items in the formats of this package, and logs each item of which a part is left out once.
type teller struct {
	log               *slog.Logger
	proto, json, rest *feed.Format

	mu     sync.Mutex
	seed   maphash.Seed
	logged map[uint64]struct{} // hashes of items
}

// maxLogged is how many items are remembered as logged. When there are more, all are forgotten and may be logged again.
const maxLogged = 10_000

func newTeller(log *slog.Logger) *teller {
	t := &teller{log: log, seed: maphash.MakeSeed(), logged: make(map[uint64]struct{})}
	t.proto = feed.NewFormat(func(item *feed.Item) ([]byte, error) {
		if b, ok := encodeFlat(item); ok {
			return b, nil
		}
		return write(t, item, encodeProto)
	})
	t.json = feed.NewFormat(func(item *feed.Item) ([]byte, error) { return write(t, item, encodeJSON) })
	t.rest = feed.NewFormat(func(item *feed.Item) ([]byte, error) { return write(t, item, encodeREST) })
	return t
}

// write writes an item: what can be told of it or, where encode fails all the same, its place in the feed. So one item
// neither ends the streams that come by it nor goes unseen.
func write[T any](t *teller, item *feed.Item, encode func(telling) (T, error)) (T, error) {
	told, written, err := attempt(item, tell, encode)
	failure := err
	if err != nil {
		told, written, err = attempt(item, nothing, encode)
	}
	if told.omitted != nil {
		t.report(item, told.omitted, failure)
	}
	return written, err
}

// attempt is one try to write an item. A panic is an error.
func attempt[T any](
	item *feed.Item, tell func(*feed.Item) telling, encode func(telling) (T, error),
) (told telling, written T, err error) {
	defer func() {
		if reason := recover(); reason != nil {
			err = fmt.Errorf("panic: %v", reason)
		}
	}()
	told = tell(item)
	written, err = encode(told)
	return told, written, err
}

// report logs what is left out of an item, unless that is done.
func (t *teller) report(item *feed.Item, omitted []string, failure error) {
	var h maphash.Hash
	h.SetSeed(t.seed)
	for _, part := range []string{item.WorkflowID, item.Type, item.ID} {
		_, _ = h.WriteString(part)
		_ = h.WriteByte(0)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.logged[h.Sum64()]; ok {
		return
	}
	if len(t.logged) >= maxLogged {
		clear(t.logged)
	}
	t.logged[h.Sum64()] = struct{}{}
	attrs := []slog.Attr{
		slog.String("workflow_id", item.WorkflowID), slog.String("type", item.Type), slog.String("id", item.ID),
		slog.Any("omitted", omitted),
	}
	if failure != nil {
		attrs = append(attrs, slog.Any("error", failure))
	}
	t.log.LogAttrs(context.Background(), slog.LevelWarn, "an item is delivered without what cannot be put on the wire", attrs...)
}
