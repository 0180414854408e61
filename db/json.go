package db

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
)

// malformed is what was wrong with the JSON that an item was decoded from; nil where nothing was. Decoding an item never
// fails: a program that is given one by others, as an activity is, learns of it with everything else that is wrong with
// the item, as an [InvalidItemError].
type malformed struct{ field, reason string }

// UnmarshalJSON decodes an item from JSON, strictly: a field that it does not know is a mistake. It never fails; what is
// wrong is reported when the item is written.
func (m *Message) UnmarshalJSON(text []byte) error {
	type plain Message
	m.malformed = decode(text, (*plain)(m))
	return nil
}

// UnmarshalJSON decodes as that of Message does.
func (l *Log) UnmarshalJSON(text []byte) error {
	type plain Log
	l.malformed = decode(text, (*plain)(l))
	return nil
}

// UnmarshalJSON decodes as that of Message does.
func (s *Stat) UnmarshalJSON(text []byte) error {
	type plain Stat
	s.malformed = decode(text, (*plain)(s))
	return nil
}

// UnmarshalJSON decodes as that of Message does.
func (p *Progress) UnmarshalJSON(text []byte) error {
	type plain Progress
	p.malformed = decode(text, (*plain)(p))
	return nil
}

func decode(text []byte, into any) *malformed {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(into)
	var mismatch *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &mismatch) && mismatch.Field != "":
		return &malformed{mismatch.Field, fmt.Sprintf("is a JSON %s; accepted is %s", mismatch.Value, kind(mismatch.Type))}
	case errors.As(err, &mismatch):
		return &malformed{"item", fmt.Sprintf("is a JSON %s; accepted is an object", mismatch.Value)}
	case errors.Is(err, io.EOF):
		return &malformed{"item", "is missing; a JSON object is accepted"}
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		accepted := fieldNames(reflect.TypeOf(into).Elem())
		return &malformed{strings.Trim(name, `"`), "is no field of this item; accepted are " + accepted}
	}
	return &malformed{"item", "is not valid JSON: " + err.Error()}
}

func kind(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Int64:
		return "a whole number"
	default:
		return "a number"
	}
}

func fieldNames(t reflect.Type) string {
	var names []string
	for i := range t.NumField() {
		if name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ","); name != "" {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}
