package rpc

import (
	"testing"

	"github.com/stretchr/testify/require"

	v1 "chatfeed/rpc/chatfeedv1"
)

func TestEveryTypeOfTheSchemaCanBeAskedFor(t *testing.T) {
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

// Clients that were written for these four see nothing new, whatever kinds there are besides.
func TestNoTypesMeansTheFourOfThePollingDesign(t *testing.T) {
	t.Parallel()
	types, err := wanted("types", nil)
	require.NoError(t, err)
	require.Equal(t, []string{"message", "log", "stat", "progress"}, types)
}
