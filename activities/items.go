package activities

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"chatfeed/db"
)

// List is the input of RecordItems. In JSON it is a list of {"type": "message", "item": {...}} and so on, the form in
// which clients see items.
type List struct {
	items []Item // nil means that there is no list; an empty list is not nil
	err   error  // the error of the JSON
}

// Items makes the input of RecordItems.
func Items(items ...Item) List { return List{items: append([]Item{}, items...)} }

// errNotAList is the error for an input that is not a list.
func errNotAList(is string) error {
	return fmt.Errorf(`input: %s; accepted is a list of {"type": ..., "item": ...}`, is)
}

// element is an item with its type.
type element struct {
	Type string          `json:"type"`
	Item json.RawMessage `json:"item"`
}

// MarshalJSON implements [json.Marshaler].
func (l List) MarshalJSON() ([]byte, error) {
	elements := make([]element, len(l.items))
	for i, item := range l.items {
		if isNil(item) {
			return nil, fmt.Errorf("items[%d]: is nil; a Message, Log, Stat or Progress is accepted", i)
		}
		text, err := json.Marshal(item)
		if err != nil {
			return nil, fmt.Errorf("items[%d]: %w", i, err)
		}
		elements[i] = element{Type: db.KindOf(item.item()).Name(), Item: text}
	}
	return json.Marshal(elements)
}

// UnmarshalJSON implements [json.Unmarshaler]. It never fails, because the SDK would then retry the activity; the
// activity reports the error instead.
func (l *List) UnmarshalJSON(text []byte) error {
	*l = List{}
	var elements []json.RawMessage
	switch {
	case isNull(text):
		l.err = errNotAList("is null")
		return nil
	case json.Unmarshal(text, &elements) != nil:
		l.err = errNotAList("is not a list")
		return nil
	}
	l.items = make([]Item, 0, len(elements))
	for i, text := range elements {
		item, err := decodeElement(text)
		if err != nil {
			l.err = fmt.Errorf("items[%d]%w", i, err)
			return nil
		}
		l.items = append(l.items, item)
	}
	return nil
}

func decodeElement(text []byte) (Item, error) {
	var e element
	switch {
	case isNull(text):
		return nil, fmt.Errorf(`: is null; accepted is {"type": ..., "item": ...}`)
	case json.Unmarshal(text, &e) != nil:
		return nil, fmt.Errorf(`: is not an item; accepted is {"type": ..., "item": ...}`)
	}
	kind := db.KindNamed(e.Type)
	switch {
	case kind == nil:
		var names []string
		for _, kind := range db.Kinds() {
			names = append(names, kind.Name())
		}
		return nil, fmt.Errorf(".type: %q is no type of item; accepted are %s", e.Type, strings.Join(names, ", "))
	case e.Item == nil:
		return nil, fmt.Errorf(".item: is missing; a JSON object is accepted")
	case isNull(e.Item):
		return nil, fmt.Errorf(".item: is null; a JSON object is accepted")
	}
	item := kind.New()
	return other{item, decode(e.Item, item, kind)}, nil
}

func isNull(text []byte) bool { return string(bytes.TrimSpace(text)) == "null" }

func isNil(item Item) bool {
	v := reflect.ValueOf(item)
	return !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil()
}
