package rpc

import (
	"context"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"chatfeed/feed"
	v1 "chatfeed/rpc/chatfeedv1"
)

// bodies returns the fields of Item that hold the bodies, one for each type and under its name.
func bodies() protoreflect.FieldDescriptors {
	return (*v1.Item)(nil).ProtoReflect().Descriptor().Oneofs().ByName("item").Fields()
}

// oneof returns the field of Item that holds items of a type, or nil.
func oneof(itemType string) protoreflect.FieldDescriptor {
	return bodies().ByName(protoreflect.Name(itemType))
}

// typeNames returns the types of items that the schema knows, in its order.
func typeNames() []string {
	names := make([]string, bodies().Len())
	for i := range names {
		names[i] = string(bodies().Get(i).Name())
	}
	return names
}

// itemMessage makes the message for an item. The body's JSON names are those of the schema, so a further type needs no
// code here. What the schema does not know is left out: the item still moves its receiver's cursor.
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

// timestamp is the nearest that a timestamp can be to a cursor.
func timestamp(c feed.Cursor) *timestamppb.Timestamp {
	return timestamppb.New(time.UnixMicro(int64(clamp(c))))
}

// cursor reads a timestamp of a request; what is finer than microseconds falls away, as no item has it.
func cursor(field string, t *timestamppb.Timestamp) (feed.Cursor, error) {
	if t == nil {
		return 0, nil
	}
	if err := t.CheckValid(); err != nil {
		return 0, invalid(field, "is not a time from the year 1 to the year 9999")
	}
	return feed.Cursor(t.AsTime().UnixMicro()), nil
}

// clockSkew is how far the database's clock may be ahead of ours.
const clockSkew = time.Minute

// neverGiven returns the first of the positions whose cursor is of no item that a client can have been given, or -1: it is
// ahead of the clock and later than the workflow's newest item. The clock alone does not say so, as items keep their order,
// and their stamps, when it is set back. Where the newest items cannot be read soon, nobody knows.
func (s *feedService) neverGiven(ctx context.Context, at ...feed.Position) int {
	latest := feed.Cursor(time.Now().Add(clockSkew).UnixMicro())
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	for i, position := range at {
		if position.Cursor <= latest {
			continue
		}
		newest, err := s.Feed.Page(ctx, feed.Read{
			Position: feed.Position{WorkflowID: position.WorkflowID, Cursor: feed.End}, Backwards: true, Limit: 1,
		})
		switch {
		case err != nil:
			return -1
		case len(newest.Items) == 0 || newest.Items[len(newest.Items)-1].CreatedAt < position.Cursor:
			return i
		}
	}
	return -1
}

// ahead is the error of a cursor that was never given.
func ahead(field string, t *timestamppb.Timestamp) error {
	return invalid(field, "%s is ahead of the server's clock and later than the workflow's newest item; the created_at of an "+
		"item that was delivered is accepted", t.AsTime().Format(time.RFC3339Nano))
}

// checkTypes returns the types to read, nil for all.
func checkTypes(field string, types []string) ([]string, error) {
	if len(types) == 0 {
		return nil, nil
	}
	known := typeNames()
	for _, t := range types {
		if !slices.Contains(known, t) {
			return nil, invalid(field, "%q is no type of item; accepted are %s", t, strings.Join(known, ", "))
		}
	}
	return types, nil
}

const maxWorkflowID = 1000

func checkWorkflowID(field, id string) error {
	switch {
	case id == "":
		return invalid(field, "is empty; 1 to %d bytes are accepted", maxWorkflowID)
	case len(id) > maxWorkflowID:
		return invalid(field, "is %d bytes long; 1 to %d bytes are accepted", len(id), maxWorkflowID)
	}
	return checkText(field, id)
}

func checkRange(field string, n, least, most int32) error {
	if n < least || n > most {
		return invalid(field, "is %d; %d to %d are accepted", n, least, most)
	}
	return nil
}

// checkText refuses what PostgreSQL cannot take as text.
func checkText(field, text string) error {
	switch {
	case strings.ContainsRune(text, 0):
		return invalid(field, "contains a NUL byte; text without NUL is accepted")
	case !utf8.ValidString(text):
		return invalid(field, "is not valid UTF-8; UTF-8 text is accepted")
	}
	return nil
}
