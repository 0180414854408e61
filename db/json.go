package db

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
)

// malformed is what was wrong with the JSON that an item was decoded from; nil where nothing was. Decoding an item never
// fails: a program that is given one by others, as an activity is, learns of it with everything else that is wrong with
// the item, as an [InvalidItemError].
type malformed struct{ field, reason string }

// given marks an item whose JSON has the field without which it would be nothing, with a value that is Go's zero. So the
// zero value of an item is never what JSON was decoded to. Its field is empty: it is no fault.
var given = new(malformed)

// UnmarshalJSON decodes an item from JSON, strictly: a field that it does not know is a mistake. It never fails; what is
// wrong is reported when the item is written. The message has to be there, and may be empty.
func (m *Message) UnmarshalJSON(text []byte) error {
	type plain Message
	m.malformed = decode(text, (*plain)(m))
	if m.malformed == nil && m.Message == "" {
		m.malformed = needs(text, "is missing; a string is accepted, also an empty one", "message")
	}
	return nil
}

// UnmarshalJSON decodes as that of Message does.
func (l *Log) UnmarshalJSON(text []byte) error {
	type plain Log
	l.malformed = decode(text, (*plain)(l))
	if l.malformed == nil && l.Message == "" {
		l.malformed = needs(text, "is missing; a string is accepted, also an empty one", "message")
	}
	return nil
}

// UnmarshalJSON decodes as that of Message does. One of the two numbers has to be there.
func (s *Stat) UnmarshalJSON(text []byte) error {
	type plain Stat
	s.malformed = decode(text, (*plain)(s))
	if s.malformed == nil && s.ProcessingTime == 0 && s.TokenCount == 0 {
		s.malformed = needs(text, "is missing, and so is tokenCount; one of them is required", "processingTime", "tokenCount")
	}
	return nil
}

// UnmarshalJSON decodes as that of Message does. The progress has to be there.
func (p *Progress) UnmarshalJSON(text []byte) error {
	type plain Progress
	p.malformed = decode(text, (*plain)(p))
	if p.malformed == nil && p.Progress == 0 {
		p.malformed = needs(text, "is missing; a number from 0 to 100 is accepted", "progress")
	}
	return nil
}

// needs returns given where one of the fields is there, and is not null. The first is the one that is named otherwise.
func needs(text []byte, reason string, fields ...string) *malformed {
	var has map[string]json.RawMessage
	_ = json.Unmarshal(text, &has) // decode has done so, too
	for name, value := range has {
		known := func(field string) bool { return strings.EqualFold(field, name) } // as decode takes it
		if slices.ContainsFunc(fields, known) && string(value) != "null" {
			return given
		}
	}
	return &malformed{fields[0], reason}
}

func decode(text []byte, into any) *malformed {
	if string(bytes.TrimSpace(text)) == "null" {
		return &malformed{"item", "is null; accepted is an object"}
	}
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
