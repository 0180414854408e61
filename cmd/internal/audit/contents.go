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

// item is what a client was given, or a row of the table: when it was stamped, its name, and a sum of its type, body and
// metadata.
type item struct {
	workflow, kind, id string
	at                 int64 // microseconds
	sum                uint64
}

// sums makes sums of contents: equal contents have equal sums, whether they came as protobuf or as JSON. Fields are added
// up, so that their order does not matter, and those that have their type's zero value do not count, as protobuf leaves
// them out.
type sums struct{ seed maphash.Seed }

// The kinds of values, so that no two of different kinds have one sum.
const (
	ofText byte = iota + 1
	ofNumber
	ofBool
	ofNull
	ofList
	ofObject
	ofMetadata
)

// contents is the sum of an item whose body's fields add up to body.
func (s sums) contents(kind string, body uint64, metadata uint64) uint64 {
	return s.field(kind, body) + metadata
}

func (s sums) field(name string, value uint64) uint64 {
	var h maphash.Hash
	h.SetSeed(s.seed)
	_, _ = h.WriteString(name)
	_ = h.WriteByte(0)
	return sealed(&h, value)
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
	return sealed(&h, value)
}

func sealed(h *maphash.Hash, value uint64) uint64 {
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

// message is the sum of a body that came as protobuf; its fields count under their JSON names.
func (s sums) message(m protoreflect.Message) (sum uint64) {
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		var v uint64
		switch value := value.Interface().(type) {
		case string:
			v = s.text(value)
		case float64:
			if value == 0 { // -0 counts for a value in protobuf
				return true
			}
			v = s.number(value)
		case int32:
			v = s.number(float64(value))
		case int64:
			v = s.number(float64(value))
		case bool:
			v = s.bool(value)
		}
		sum += s.field(field.JSONName(), v)
		return true
	})
	return sum
}

// object is the sum of a body that came as JSON.
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
		}
		sum += s.field(name, s.json(value))
	}
	return sum
}

// protoMetadata is the sum of metadata that came as protobuf, zero where there is none.
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

// jsonMetadata is the sum of metadata that came as JSON, decoded by decodeJSON.
func (s sums) jsonMetadata(v any) uint64 { return s.value(ofMetadata, s.json(v)) }

func (s sums) json(v any) uint64 {
	switch v := v.(type) {
	case string:
		return s.text(v)
	case json.Number:
		n, err := strconv.ParseFloat(string(v), 64)
		if err != nil { // PostgreSQL keeps numbers that no double can hold
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

// decodeJSON decodes and keeps numbers as they are written.
func decodeJSON(text []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	return decoder.Decode(into)
}
