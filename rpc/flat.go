package rpc

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"math"
	"math/bits"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/tidwall/gjson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// flatValue is the value of a field of a flat object.
type flatValue struct {
	raw    []byte // as in the object; for a string, without its quotes
	quoted bool
	size   int     // for a string: its length in bytes, unescaped
	number float64 // for a number
}

// flat reports whether an object has only fields of a message, each at most once, with a string or a number of the field's
// kind that every client reads the same.
func flat(message protoreflect.MessageDescriptor, object []byte) bool {
	return eachField(message, object, func(protoreflect.FieldDescriptor, flatValue) {})
}

// appendFields appends the fields of a message from a flat JSON object, under the rules of protojson. It reports false where
// flat does; protojson must be used then.
func appendFields(b []byte, message protoreflect.MessageDescriptor, object []byte) (_ []byte, ok bool) {
	ok = eachField(message, object, func(field protoreflect.FieldDescriptor, value flatValue) {
		b = appendField(b, field, value)
	})
	return b, ok
}

// eachField emits the fields of a flat object in their order, and reports false at the first that is not flat. It reads the
// object once, because a body may be 1 MiB.
func eachField(
	message protoreflect.MessageDescriptor, object []byte, emit func(protoreflect.FieldDescriptor, flatValue),
) bool {
	object = bytes.Trim(object, " \t\r\n")
	if len(object) < 2 || object[0] != '{' || object[len(object)-1] != '}' || !utf8.Valid(object) {
		return false
	}
	// The last brace ends every search below, so none needs to look at the length.
	last := len(object) - 1
	i := skipSpace(object, 1)
	if i == last {
		return true
	}
	var seen uint64 // the fields seen so far, by their index in the message
	for {
		name, end, ok := flatString(object, i)
		if !ok || name.size != len(name.raw) {
			return false
		}
		field := message.Fields().ByJSONName(string(name.raw))
		if field == nil || field.Index() >= 64 || seen&(1<<field.Index()) != 0 {
			return false
		}
		seen |= 1 << field.Index()
		if i = skipSpace(object, end); object[i] != ':' {
			return false
		}
		i = skipSpace(object, i+1)
		value, end, ok := flatString(object, i)
		if object[i] != '"' {
			value, end, ok = flatNumber(object, i)
		}
		if !ok || !encodable(field, value) {
			return false
		}
		emit(field, value)
		i = skipSpace(object, end)
		if object[i] != ',' {
			return i == last
		}
		i = skipSpace(object, i+1)
	}
}

func skipSpace(text []byte, i int) int {
	for text[i] == ' ' || text[i] == '\n' || text[i] == '\t' || text[i] == '\r' {
		i++
	}
	return i
}

// flatString reads the string that begins with the quote at i and returns the index after it. It is not ok if there is no
// string, or one that is not valid text: it has half of a surrogate pair as an escape.
func flatString(text []byte, i int) (value flatValue, end int, ok bool) {
	if text[i] != '"' {
		return flatValue{}, i, false
	}
	begin := i + 1
	saved := 0 // how many bytes the escapes are longer than their characters
	for i = begin; ; {
		if i = unescaped(text, i); i+1 >= len(text) {
			return flatValue{}, i, false
		}
		switch {
		case text[i] == '"':
			return flatValue{raw: text[begin:i], quoted: true, size: i - begin - saved}, i + 1, true
		case text[i] != '\\':
			return flatValue{}, i, false // a control character
		}
		r, width := escape(text[i:])
		if width == 0 {
			return flatValue{}, i, false
		}
		saved += width - utf8.RuneLen(r)
		i += width
	}
}

// unescaped returns the index, from i on, of the first quote, backslash or control character, or the text's length. It looks
// at eight bytes at once.
func unescaped(text []byte, i int) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	for ; i+8 <= len(text); i += 8 {
		eight := binary.LittleEndian.Uint64(text[i:])
		quote, backslash := eight^'"'*ones, eight^'\\'*ones
		// The top bit of a byte is set where the byte is less than what is subtracted from it; after such a byte it may
		// also be set wrongly, but that is never the first.
		found := ((eight-' '*ones)&^eight | (quote-ones)&^quote | (backslash-ones)&^backslash) & tops
		if found != 0 {
			return i + bits.TrailingZeros64(found)/8
		}
	}
	for i < len(text) && text[i] >= ' ' && text[i] != '"' && text[i] != '\\' {
		i++
	}
	return i
}

// escape reads the escape that a text begins with: its character and its length, which is 0 if there is no escape or only
// half of a surrogate pair.
func escape(text []byte) (r rune, width int) {
	if len(text) < 2 {
		return 0, 0
	}
	switch c := text[1]; c {
	case '"', '\\', '/':
		return rune(c), 2
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	}
	r, ok := codeUnit(text)
	if !ok || !utf16.IsSurrogate(r) {
		return r, map[bool]int{true: 6}[ok]
	}
	low, ok := codeUnit(text[6:])
	if r = utf16.DecodeRune(r, low); !ok || r == utf8.RuneError {
		return 0, 0
	}
	return r, 12
}

// codeUnit reads an escape of four hexadecimal digits.
func codeUnit(text []byte) (rune, bool) {
	var unit [2]byte
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return 0, false
	}
	_, err := hex.Decode(unit[:], text[2:6])
	return rune(binary.BigEndian.Uint16(unit[:])), err == nil
}

// flatNumber reads the number that begins at i and returns the index after it.
func flatNumber(text []byte, i int) (value flatValue, end int, ok bool) {
	for end = i; bytes.IndexByte([]byte("+-.0123456789Ee"), text[end]) >= 0; end++ {
	}
	value.raw = text[i:end]
	if len(value.raw) == 0 || !gjson.ValidBytes(value.raw) {
		return value, end, false
	}
	number, err := strconv.ParseFloat(string(value.raw), 64)
	value.number = number
	return value, end, err == nil
}

// encodable reports whether appendField supports the field's kind and the value is valid for it.
func encodable(field protoreflect.FieldDescriptor, value flatValue) bool {
	if field.IsList() || field.HasPresence() {
		return false
	}
	switch field.Kind() {
	case protoreflect.StringKind:
		return value.quoted
	case protoreflect.DoubleKind:
		return !value.quoted && portableNumber(string(value.raw))
	case protoreflect.Int32Kind:
		return !value.quoted && portableNumber(string(value.raw)) && float64(int32(value.number)) == value.number
	}
	return false
}

// appendField appends an encodable field unless it has the default value: default values are not encoded.
func appendField(b []byte, field protoreflect.FieldDescriptor, value flatValue) []byte {
	switch field.Kind() {
	case protoreflect.StringKind:
		if value.size > 0 {
			b = protowire.AppendTag(b, field.Number(), protowire.BytesType)
			b = protowire.AppendVarint(b, uint64(value.size))
			b = appendUnescaped(b, value.raw)
		}
	case protoreflect.DoubleKind:
		if double := math.Float64bits(value.number); double != 0 {
			b = protowire.AppendTag(b, field.Number(), protowire.Fixed64Type)
			b = protowire.AppendFixed64(b, double)
		}
	default:
		if n := int32(value.number); n != 0 {
			b = protowire.AppendTag(b, field.Number(), protowire.VarintType)
			b = protowire.AppendVarint(b, uint64(n)) //nolint:gosec // the wire has it so
		}
	}
	return b
}

// appendUnescaped appends the unescaped text of a string that flatString has read.
func appendUnescaped(b, raw []byte) []byte {
	for {
		at := bytes.IndexByte(raw, '\\')
		if at < 0 {
			return append(b, raw...)
		}
		r, width := escape(raw[at:])
		b = utf8.AppendRune(append(b, raw[:at]...), r)
		raw = raw[at+width:]
	}
}
