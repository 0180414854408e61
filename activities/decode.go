package activities

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"chatfeed/db"
)

// input is what is known of the JSON that an item was decoded from. It is zero of an item that was not.
type input struct {
	decoded       bool // so that what was decoded is never Go's zero
	field, reason string
	ignored       []string // fields that this version does not know
	accepted      string   // those that it knows
}

func (in input) state() input { return in }

// invalid returns what was wrong, or nil.
func (in input) invalid(index int) error {
	if in.field == "" {
		return nil
	}
	return &db.InvalidItemError{Index: index, Field: in.field, Reason: in.reason}
}

// decode decodes an item of a kind. A field that the type does not have is not wrong, as the workflow may be newer than its worker.
func decode(text []byte, into any, kind *db.Kind) input {
	in := input{decoded: true}
	if isNull(text) {
		in.field, in.reason = "item", "is null; accepted is an object"
		return in
	}
	err := json.Unmarshal(text, into)
	var mismatch *json.UnmarshalTypeError
	switch {
	case err == nil:
		in.sort(text, reflect.TypeOf(into).Elem(), kind)
	case errors.As(err, &mismatch) && mismatch.Field != "":
		in.field, in.reason = mismatch.Field, fmt.Sprintf("is a JSON %s; accepted is %s", mismatch.Value, jsonType(mismatch.Type))
	case errors.As(err, &mismatch):
		in.field, in.reason = "item", fmt.Sprintf("is a JSON %s; accepted is an object", mismatch.Value)
	case len(bytes.TrimSpace(text)) == 0:
		in.field, in.reason = "item", "is missing; a JSON object is accepted"
	default:
		in.field, in.reason = "item", "is not valid JSON: "+err.Error()
	}
	return in
}

// sort notes which fields of an object the type has and which it does not have, and what is wrong where none is there of
// those that the kind needs, or each is null. The first is the one that is named.
func (in *input) sort(text []byte, t reflect.Type, kind *db.Kind) {
	var accepted []string
	for i := range t.NumField() {
		if name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ","); name != "" {
			accepted = append(accepted, name)
		}
	}
	in.accepted = strings.Join(accepted, ", ")
	var has map[string]json.RawMessage
	_ = json.Unmarshal(text, &has) // it has been decoded
	for _, name := range slices.Sorted(maps.Keys(has)) {
		if !slices.ContainsFunc(accepted, func(field string) bool { return strings.EqualFold(field, name) }) {
			in.ignored = append(in.ignored, name)
		}
	}
	fields, missing := kind.Needs()
	for name, value := range has {
		known := func(field string) bool { return strings.EqualFold(field, name) } // as encoding/json takes it
		if slices.ContainsFunc(fields, known) && string(value) != "null" {
			return
		}
	}
	in.field, in.reason = fields[0], missing
	if len(in.ignored) > 0 { // perhaps it is misspelt
		in.reason += fmt.Sprintf("; %q is no field of this item; accepted are %s", in.ignored, in.accepted)
	}
}

func jsonType(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Int64:
		return "a whole number"
	default:
		return "a number"
	}
}
