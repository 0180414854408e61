package rpc

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/tidwall/gjson"
)

// maxDepth is how deep JSON may be nested in an item. Metadata is three messages a level in protobuf, and the decoders of
// Python, of JavaScript and of gRPC for Node.js take a hundred in all.
const maxDepth = 32

// sound reports whether a text is JSON that every client reads, and reads the same: UTF-8, nested no deeper than maxDepth,
// of numbers that a double keeps and of strings that are text, each name once in its object.
func sound(text []byte) bool {
	return depth(text) <= maxDepth && utf8.Valid(text) && gjson.ValidBytes(text) && soundValue(gjson.ParseBytes(text))
}

// depth is how deep a JSON text is nested. Other text has a depth of no meaning. It comes first, since the other checks
// and decoders need a stack as deep as the text.
func depth(text []byte) int {
	depth, deepest := 0, 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			i = quoteEnd(text, i+1)
		case '[', '{':
			depth++
			deepest = max(deepest, depth)
		case ']', '}':
			depth--
		}
	}
	return deepest
}

// quoteEnd is where the string that begins at i ends: at a quote with no backslash before it, or two, or four.
func quoteEnd(text []byte, i int) int {
	for begin := i; ; i++ {
		next := bytes.IndexByte(text[i:], '"')
		if next < 0 {
			return len(text)
		}
		i += next
		first := i
		for first > begin && text[first-1] == '\\' {
			first--
		}
		if (i-first)%2 == 0 {
			return i
		}
	}
}

// soundValue is sound for what is valid.
func soundValue(value gjson.Result) bool {
	switch value.Type {
	case gjson.String:
		return soundText(value.Raw)
	case gjson.Number:
		return soundNumber(value.Raw)
	case gjson.JSON:
		ok := true
		names := names{}
		object := value.IsObject()
		value.ForEach(func(name, value gjson.Result) bool {
			ok = (!object || soundText(name.Raw) && names.add(name)) && soundValue(value)
			return ok
		})
		return ok
	}
	return true
}

// names are those of an object's fields.
type names struct {
	few  []string
	many map[string]bool
}

// add reports whether the name is new.
func (n *names) add(name gjson.Result) bool {
	text := name.Str
	if strings.Contains(name.Raw, `\`) {
		if json.Unmarshal([]byte(name.Raw), &text) != nil {
			return false
		}
	}
	if n.many != nil {
		if n.many[text] {
			return false
		}
		n.many[text] = true
		return true
	}
	for _, other := range n.few {
		if other == text {
			return false
		}
	}
	n.few = append(n.few, text)
	if len(n.few) == 16 { // from here on a map is faster
		n.many = make(map[string]bool, 64)
		for _, other := range n.few {
			n.many[other] = true
		}
	}
	return true
}

// soundText reports whether a quoted JSON string is text: no half of a surrogate pair is escaped in it.
func soundText(quoted string) bool {
	for {
		_, escape, ok := strings.Cut(quoted, `\`)
		if !ok {
			return true
		}
		if escape[0] != 'u' {
			quoted = escape[1:]
			continue
		}
		high := unit(escape[1:])
		quoted = escape[5:]
		if !utf16.IsSurrogate(high) {
			continue
		}
		if !strings.HasPrefix(quoted, `\u`) || utf16.DecodeRune(high, unit(quoted[2:])) == utf8.RuneError {
			return false
		}
		quoted = quoted[6:]
	}
}

// unit reads the four digits of an escape.
func unit(digits string) rune {
	n, err := strconv.ParseUint(digits[:4], 16, 16)
	if err != nil {
		return utf8.RuneError
	}
	return rune(n)
}

// soundNumber reports whether a JSON number is what a double makes of it, digit by digit: whoever reads it as a double and
// writes it as short as possible has the same number.
func soundNumber(number string) bool {
	if len(number) <= 15 && !strings.ContainsAny(number, "eE") {
		return true // a double keeps fifteen digits
	}
	double, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return false
	}
	var shortest [32]byte
	digits, exponent := decimal(number)
	same, sameExponent := decimal(string(strconv.AppendFloat(shortest[:0], double, 'e', -1, 64)))
	return digits == same && exponent == sameExponent
}

// decimal takes a number without its sign apart: 0.digits times ten to the exponent. The digits neither begin nor end
// with a zero.
func decimal(number string) (digits string, exponent int) {
	number = strings.TrimPrefix(number, "-")
	if at := strings.IndexAny(number, "eE"); at >= 0 {
		exponent, _ = strconv.Atoi(number[at+1:]) // one that is too large is that of a zero, or of what no double is near
		number = number[:at]
	}
	whole, fraction, _ := strings.Cut(number, ".")
	exponent += len(whole)
	digits = whole + fraction
	trimmed := strings.TrimLeft(digits, "0")
	exponent -= len(digits) - len(trimmed)
	trimmed = strings.TrimRight(trimmed, "0")
	if trimmed == "" {
		return "", 0
	}
	return trimmed, exponent
}

// isObject reports whether a sound JSON text is an object.
func isObject(text []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(text, " \t\r\n"), []byte("{"))
}
