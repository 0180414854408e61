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

// input is the result of decoding an item from JSON. It is zero for an item that was not decoded.
type input struct {
	decoded       bool // so that a decoded item is never the zero value
	field, reason string
	ignored       []string // unknown fields
	accepted      string   // the known fields
}

func (in input) state() input { return in }

// invalid returns the error, or nil.
func (in input) invalid(index int) error {
	if in.field == "" {
		return nil
	}
	return &db.InvalidItemError{Index: index, Field: in.field, Reason: in.reason}
}

// decode decodes an item of a kind. An unknown field is not an error, because the workflow may be newer than its worker.
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
		in.checkFields(text, reflect.TypeOf(into).Elem(), kind)
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

// checkFields records the known and the unknown fields of an object, and an error if the fields that the kind needs are all
// missing or null. The error names the first of them.
func (in *input) checkFields(text []byte, t reflect.Type, kind *db.Kind) {
	var accepted []string
	for i := range t.NumField() {
		if name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ","); name != "" {
			accepted = append(accepted, name)
		}
	}
	in.accepted = strings.Join(accepted, ", ")
	var has map[string]json.RawMessage
	_ = json.Unmarshal(text, &has) // cannot fail: it was decoded before
	for _, name := range slices.Sorted(maps.Keys(has)) {
		if !slices.ContainsFunc(accepted, func(field string) bool { return strings.EqualFold(field, name) }) {
			in.ignored = append(in.ignored, name)
		}
	}
	fields, missing := kind.Needs()
	for name, value := range has {
		known := func(field string) bool { return strings.EqualFold(field, name) } // as in encoding/json
		if slices.ContainsFunc(fields, known) && string(value) != "null" {
			return
		}
	}
	in.field, in.reason = fields[0], missing
	if len(in.ignored) > 0 { // it may be misspelt
		in.reason += fmt.Sprintf("; %q is not a field of this item; accepted are %s", in.ignored, in.accepted)
	}
}

func jsonType(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Int64:
		return "a whole number"
	case reflect.Bool:
		return "true or false"
	default:
		return "a number"
	}
}
