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

// maxDepth is how deep JSON may be nested in an item. In protobuf, metadata needs three messages per level, and the decoders
// of Python, JavaScript and gRPC for Node.js accept a hundred in total.
const maxDepth = 32

// portable reports whether a text is JSON that every client can read with the same result: UTF-8, nested no deeper than
// maxDepth, numbers that a double represents exactly, strings without half surrogate pairs, no duplicate names.
func portable(text []byte) bool {
	return depth(text) <= maxDepth && utf8.Valid(text) && gjson.ValidBytes(text) && portableValue(gjson.ParseBytes(text))
}

// depth is how deep a JSON text is nested; for other text the result has no meaning. It is checked first, because the other
// checks and decoders need a stack as deep as the text.
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

// portableValue is portable for valid JSON.
func portableValue(value gjson.Result) bool {
	switch value.Type {
	case gjson.String:
		return portableText(value.Raw)
	case gjson.Number:
		return portableNumber(value.Raw)
	case gjson.JSON:
		ok := true
		names := names{}
		object := value.IsObject()
		value.ForEach(func(name, value gjson.Result) bool {
			ok = (!object || portableText(name.Raw) && names.add(name)) && portableValue(value)
			return ok
		})
		return ok
	}
	return true
}

// names is the set of an object's field names.
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

// portableText reports whether a quoted JSON string is valid text: it has no escape that is half of a surrogate pair.
func portableText(quoted string) bool {
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

// portableNumber reports whether a double represents a JSON number exactly: reading it as a double and writing the shortest
// decimal gives the same number.
func portableNumber(number string) bool {
	if len(number) <= 15 && !strings.ContainsAny(number, "eE") {
		return true // a double keeps fifteen digits exactly
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

// decimal splits a number, without its sign, into 0.digits times ten to the exponent. The digits neither begin nor end
// with a zero.
func decimal(number string) (digits string, exponent int) {
	number = strings.TrimPrefix(number, "-")
	if at := strings.IndexAny(number, "eE"); at >= 0 {
		exponent, _ = strconv.Atoi(number[at+1:]) // if it is too large, the number is zero or beyond every double
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

// isObject reports whether a valid JSON text is an object.
func isObject(text []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(text, " \t\r\n"), []byte("{"))
}
