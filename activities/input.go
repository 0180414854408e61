package activities

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	"chatfeed/db"
)

// Record is an item with its type, as RecordItems takes it and as clients see it.
type Record struct {
	Type string          `json:"type"` // message, log, stat or progress
	Item json.RawMessage `json:"item"`
}

// Records puts items into the form that RecordItems takes.
func Records(items ...db.Item) ([]Record, error) {
	records := make([]Record, len(items))
	for i, item := range items {
		text, err := json.Marshal(item)
		if err != nil {
			return nil, fmt.Errorf("items[%d]: %w", i, err)
		}
		records[i] = Record{Type: typeOf(item), Item: text}
	}
	return records, nil
}

func typeOf(item db.Item) string {
	return strings.ToLower(reflect.TypeOf(item).Name())
}

func (r Record) decode() (db.Item, error) {
	var item db.Item
	var err error
	switch r.Type {
	case "message":
		item, err = strict[Message](r.Item)
	case "log":
		item, err = strict[Log](r.Item)
	case "stat":
		item, err = strict[Stat](r.Item)
	case "progress":
		item, err = strict[Progress](r.Item)
	default:
		return nil, fmt.Errorf("type: %q is no type of item; accepted are message, log, stat, progress", r.Type)
	}
	if err != nil {
		return nil, fmt.Errorf("item.%w", err)
	}
	return item, nil
}

// input is an activity's argument. It keeps what is wrong with the JSON instead of failing, since the SDK would have the
// activity retried for it.
type input[T any] struct {
	value T
	err   error
}

// UnmarshalJSON implements [json.Unmarshaler]; it never fails.
func (in *input[T]) UnmarshalJSON(text []byte) error {
	in.value, in.err = strict[T](text)
	return nil
}

// strict decodes one JSON value and takes a field that it does not know for a mistake. The error begins with the field.
func strict[T any](text []byte) (value T, err error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	err = decoder.Decode(&value)
	var mismatch *json.UnmarshalTypeError
	switch {
	case err == nil:
		return value, nil
	case errors.As(err, &mismatch):
		field := mismatch.Field
		if field == "" {
			field = "input"
		}
		return value, fmt.Errorf("%s: is a JSON %s; accepted is %s", field, mismatch.Value, kind(mismatch.Type))
	case errors.Is(err, io.EOF):
		return value, errors.New("input: is empty; a JSON object is accepted")
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return value, fmt.Errorf("%s: is no field here; accepted are %s", strings.Trim(name, `"`), names(reflect.TypeFor[T]()))
	}
	return value, fmt.Errorf("input: is not valid JSON: %w", err)
}

func kind(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Int64:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	case reflect.Slice:
		return "a list"
	default:
		return "an object"
	}
}

func names(t reflect.Type) string {
	if t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	names := make([]string, t.NumField())
	for i := range names {
		names[i], _, _ = strings.Cut(t.Field(i).Tag.Get("json"), ",")
	}
	return strings.Join(names, ", ")
}
