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

// kinds are all that there are.
var kinds = kindsOf((*v1.Item)(nil).ProtoReflect().Descriptor())

// defaultTypes are those of who names none, sorted, so that all subscriptions share them.
var defaultTypes = slices.Sorted(slices.Values(kindNames(func(k kind) bool { return k.byDefault })))

// kindsOf returns a kind for each field of the schema's oneof, which has the name of the type. A further type of item is a
// field there.
func kindsOf(item protoreflect.MessageDescriptor) []kind {
	fields := item.Oneofs().ByName("item").Fields()
	all := make([]kind, fields.Len())
	for i := range all {
		name := string(fields.Get(i).Name())
		all[i] = kind{name, fields.Get(i), slices.Contains([]string{"message", "log", "stat", "progress"}, name)}
	}
	return all
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
		return defaultTypes, nil
	}
	known := kindNames(func(kind) bool { return true })
	for _, t := range types {
		if !slices.Contains(known, t) {
			return nil, invalid(field, "%q is no type of item; accepted are %s", t, strings.Join(known, ", "))
		}
	}
	return types, nil
}
