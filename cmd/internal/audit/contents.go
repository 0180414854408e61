package audit

import (
	"bytes"
	"encoding/json"
	"hash/maphash"
	"math"
	"strconv"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/structpb"
)

// item is an item that a client has received, or a row of the table: its stamp, its name, and a sum of its type, body and
// metadata.
type item struct {
	workflow, kind, id string
	at                 int64 // microseconds
	sum                uint64
	shown              []byte // what a fold needs of it, as JSON; nil if its type is not shown
}

// sums makes sums (hashes) of contents: equal contents have equal sums, in protobuf or JSON. The hashes of fields are added,
// so their order does not matter, and fields with their type's zero value or null are skipped, because protobuf omits them.
type sums struct{ seed maphash.Seed }

// The kinds of values, so that values of different kinds have different sums.
const (
	ofText byte = iota + 1
	ofNumber
	ofBool
	ofNull
	ofList
	ofObject
	ofMetadata
)

// contents is the sum of an item; body is the sum of its body's fields.
func (s sums) contents(kind string, body uint64, metadata uint64) uint64 {
	return s.field(kind, body) + metadata
}

func (s sums) field(name string, value uint64) uint64 {
	var h maphash.Hash
	h.SetSeed(s.seed)
	_, _ = h.WriteString(name)
	_ = h.WriteByte(0)
	return sumWith(&h, value)
}

func (s sums) text(text string) uint64 {
	var h maphash.Hash
	h.SetSeed(s.seed)
	_ = h.WriteByte(ofText)
	_, _ = h.WriteString(text)
	return h.Sum64()
}

func (s sums) value(kind byte, value uint64) uint64 {
	var h maphash.Hash
	h.SetSeed(s.seed)
	_ = h.WriteByte(kind)
	return sumWith(&h, value)
}

func sumWith(h *maphash.Hash, value uint64) uint64 {
	var b [8]byte
	for i := range b {
		b[i] = byte(value >> (8 * i)) //nolint:gosec // the byte is what is wanted
	}
	_, _ = h.Write(b[:])
	return h.Sum64()
}

func (s sums) number(n float64) uint64 {
	if n == 0 {
		n = 0 // JSON and protobuf may have -0 where PostgreSQL has 0
	}
	return s.value(ofNumber, math.Float64bits(n))
}

func (s sums) bool(b bool) uint64 {
	if b {
		return s.value(ofBool, 1)
	}
	return s.value(ofBool, 0)
}

// message is the sum of a body in protobuf; its fields are named by their JSON names.
func (s sums) message(m protoreflect.Message) (sum uint64) {
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		var v uint64
		switch value := value.Interface().(type) {
		case string:
			v = s.text(value)
		case float64:
			if value == 0 { // -0 is a value in protobuf
				return true
			}
			v = s.number(value)
		case int32:
			v = s.number(float64(value))
		case int64:
			v = s.number(float64(value))
		case bool:
			v = s.bool(value)
		case protoreflect.Message:
			free, ok := value.Interface().(*structpb.Value)
			if _, null := free.GetKind().(*structpb.Value_NullValue); null || !ok {
				return true
			}
			v = s.protoValue(free)
		}
		sum += s.field(field.JSONName(), v)
		return true
	})
	return sum
}

// object is the sum of a body in JSON.
func (s sums) object(fields map[string]any) (sum uint64) {
	for name, value := range fields {
		switch value := value.(type) {
		case string:
			if value == "" {
				continue
			}
		case json.Number:
			if n, err := value.Float64(); err == nil && n == 0 {
				continue
			}
		case bool:
			if !value {
				continue
			}
		case nil:
			continue
		}
		sum += s.field(name, s.json(value))
	}
	return sum
}

// protoMetadata is the sum of metadata in protobuf, zero if there is none.
func (s sums) protoMetadata(v *structpb.Value) uint64 {
	if v == nil {
		return 0
	}
	return s.value(ofMetadata, s.protoValue(v))
}

func (s sums) protoValue(v *structpb.Value) uint64 {
	switch kind := v.GetKind().(type) {
	case *structpb.Value_StringValue:
		return s.text(kind.StringValue)
	case *structpb.Value_NumberValue:
		return s.number(kind.NumberValue)
	case *structpb.Value_BoolValue:
		return s.bool(kind.BoolValue)
	case *structpb.Value_ListValue:
		list := s.value(ofList, 0)
		for _, element := range kind.ListValue.GetValues() {
			list = s.value(ofList, list+s.protoValue(element))
		}
		return list
	case *structpb.Value_StructValue:
		var fields uint64
		for name, value := range kind.StructValue.GetFields() {
			fields += s.field(name, s.protoValue(value))
		}
		return s.value(ofObject, fields)
	}
	return s.value(ofNull, 0)
}

// jsonMetadata is the sum of metadata in JSON, decoded by decodeJSON.
func (s sums) jsonMetadata(v any) uint64 { return s.value(ofMetadata, s.json(v)) }

func (s sums) json(v any) uint64 {
	switch v := v.(type) {
	case string:
		return s.text(v)
	case json.Number:
		n, err := strconv.ParseFloat(string(v), 64)
		if err != nil { // PostgreSQL stores numbers beyond a double
			return s.text(string(v))
		}
		return s.number(n)
	case bool:
		return s.bool(v)
	case []any:
		list := s.value(ofList, 0)
		for _, element := range v {
			list = s.value(ofList, list+s.json(element))
		}
		return list
	case map[string]any:
		var fields uint64
		for name, value := range v {
			fields += s.field(name, s.json(value))
		}
		return s.value(ofObject, fields)
	}
	return s.value(ofNull, 0)
}

// decodeJSON decodes JSON and keeps the digits of numbers.
func decodeJSON(text []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	return decoder.Decode(into)
}
