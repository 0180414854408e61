package rpc

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	v1 "chatfeed/rpc/chatfeedv1"
)

// kind is a type of item that clients can be given.
type kind struct {
	name  string
	field protoreflect.FieldDescriptor // of Item, for the body
	// byDefault says that those who name no types are given it. It is false for every kind that is added, so that programs
	// which were written before it see nothing new.
	byDefault bool
}

// kinds are all that there are, one for each field of Item's oneof. A further type of item is a line here.
var kinds = []kind{
	{"message", bodyField("message"), true},
	{"log", bodyField("log"), true},
	{"stat", bodyField("stat"), true},
	{"progress", bodyField("progress"), true},
}

// bodyField returns the field of Item that holds the bodies of a type, or nil.
func bodyField(itemType string) protoreflect.FieldDescriptor {
	bodies := (*v1.Item)(nil).ProtoReflect().Descriptor().Oneofs().ByName("item").Fields()
	return bodies.ByName(protoreflect.Name(itemType))
}

// oneof returns the field of Item that holds items of a type, or nil for a type that clients cannot ask for.
func oneof(itemType string) protoreflect.FieldDescriptor {
	for i := range kinds {
		if kinds[i].name == itemType {
			return kinds[i].field
		}
	}
	return nil
}

// kindNames returns the names of the kinds that choose takes, in the order of the table.
func kindNames(choose func(kind) bool) []string {
	var names []string
	for _, k := range kinds {
		if choose(k) {
			names = append(names, k.name)
		}
	}
	return names
}

// wanted returns the types that a request asks for by naming these, and never nil: what the source has besides, of which
// this version knows nothing, is given to nobody.
func wanted(field string, types []string) ([]string, error) {
	if len(types) == 0 {
		return kindNames(func(k kind) bool { return k.byDefault }), nil
	}
	known := kindNames(func(kind) bool { return true })
	for _, t := range types {
		if !slices.Contains(known, t) {
			return nil, invalid(field, "%q is no type of item; accepted are %s", t, strings.Join(known, ", "))
		}
	}
	return types, nil
}
