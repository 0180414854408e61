package rpc

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	"chatfeed/feed"
	v1 "chatfeed/rpc/chatfeedv1"
)

func TestEveryTypeOfTheSchemaCanBeRequested(t *testing.T) {
	t.Parallel()
	fields := (*v1.Item)(nil).ProtoReflect().Descriptor().Oneofs().ByName("item").Fields()
	require.Len(t, kinds, fields.Len())
	for i, k := range kinds {
		require.Equal(t, fields.Get(i), k.field, "the kinds are the fields of the schema, in its order")
		require.Equal(t, k.name, string(k.field.Name()))
		require.Equal(t, k.field, oneof(k.name))
		types, err := wanted("types", []string{k.name})
		require.NoError(t, err)
		require.Equal(t, []string{k.name}, types)
	}
	require.Nil(t, oneof("reaction"))
	require.Nil(t, oneof(""))
}

// Clients that were written for these four types see no others.
func TestNoTypesMeansTheFourOfThePollingDesign(t *testing.T) {
	t.Parallel()
	types, err := wanted("types", nil)
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"message", "log", "stat", "progress"}, types)
}

// A type that is added to the schema is one that can be asked for and is encoded, and nobody is given it who has not asked.
func TestAFurtherTypeIsAMessageOfTheSchema(t *testing.T) {
	t.Parallel()
	file := protodesc.ToFileDescriptorProto((*v1.Item)(nil).ProtoReflect().Descriptor().ParentFile())
	text := descriptorpb.FieldDescriptorProto_TYPE_STRING.Enum()
	one := descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum()
	file.MessageType = append(file.MessageType, &descriptorpb.DescriptorProto{Name: proto.String("Note"), Field: []*descriptorpb.FieldDescriptorProto{
		{Name: proto.String("note"), JsonName: proto.String("note"), Number: proto.Int32(1), Type: text, Label: one},
	}})
	for _, m := range file.GetMessageType() {
		if m.GetName() == "Item" {
			last := slices.IndexFunc(m.GetField(), func(f *descriptorpb.FieldDescriptorProto) bool { return f.GetName() == "tool" })
			m.Field = slices.Insert(m.GetField(), last+1, &descriptorpb.FieldDescriptorProto{
				Name: proto.String("note"), JsonName: proto.String("note"), Number: proto.Int32(100), Label: one, OneofIndex: proto.Int32(0),
				Type: descriptorpb.FieldDescriptorProto_TYPE_MESSAGE.Enum(), TypeName: proto.String(".chatfeed.v1.Note"),
			})
		}
	}
	further, err := protodesc.NewFile(file, protoregistry.GlobalFiles)
	require.NoError(t, err)

	all := kindsOf(further.Messages().ByName("Item"))
	require.Len(t, all, len(kinds)+1)
	note := all[len(kinds)]
	require.Equal(t, "note", note.name)
	require.False(t, note.byDefault)
	wire := wireItem{workflowID: "wf", id: "1", at: 1, field: note.field, body: []byte(`{"note" : "hello"}`), flat: true}
	element, err := encodeJSON(wire)
	require.NoError(t, err)
	require.JSONEq(t, `{"workflowId": "wf", "id": "1", "_createdAt": "1970-01-01T00:00:00.000001Z", "note": {"note": "hello"}}`, string(element))
	require.Nil(t, wireKey(&feed.Item{Type: "note"}).field, "this schema does not know it")
}
