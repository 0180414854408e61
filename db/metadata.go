package db

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxDepth is how deep metadata may be nested. Each level takes up to three of the hundred nested messages that protobuf
// decoders allow, and beyond that clients in some languages fail on the whole frame.
const maxDepth = 32

const undecodable = "cannot be decoded by every client; JSON nested at most 32 deep is accepted, with numbers that a " +
	"64-bit float represents exactly: write others as text"

// value checks that a JSON value can be stored and that every client can decode it. The schema has the same rule in
// chatfeed.decodable.
func (c *checker) value(field string, value json.RawMessage, most int) {
	switch {
	case value == nil:
	case len(value) > most:
		c.fail(field, "is %d bytes long; at most %d bytes are accepted", len(value), most)
	case !json.Valid(value) || !utf8.Valid(value):
		c.fail(field, "is not valid JSON; any JSON value is accepted")
	case !decodable(value):
		c.fail(field, undecodable)
	}
}

// decodable expects valid JSON.
func decodable(value json.RawMessage) bool {
	decoder := json.NewDecoder(bytes.NewReader(value))
	decoder.UseNumber()
	for depth := 0; ; {
		token, err := decoder.Token()
		if err != nil { // the end
			return true
		}
		switch token := token.(type) {
		case json.Delim:
			if token == '[' || token == '{' {
				depth++
			} else {
				depth--
			}
		case json.Number:
			if !keepsDigits(token.String()) {
				return false
			}
		}
		if depth > maxDepth {
			return false
		}
	}
}

// The smallest normal double; smaller numbers lose digits.
const leastNormal = 0x1p-1022

// keepsDigits reports whether a JSON number is unchanged after conversion to a double and back.
func keepsDigits(number string) bool {
	double, err := strconv.ParseFloat(number, 64)
	if err != nil || double != 0 && math.Abs(double) < leastNormal {
		return false
	}
	digits, exponent := decimal(number)
	kept, keptExponent := decimal(strconv.FormatFloat(double, 'e', -1, 64))
	return digits == kept && exponent == keptExponent
}

// decimal returns a number's digits without zeros at either end, and the power of ten of the last. Signs are left to the
// parser.
func decimal(number string) (digits string, exponent int) {
	mantissa, power, _ := strings.Cut(strings.ToLower(strings.TrimPrefix(number, "-")), "e")
	exponent, _ = strconv.Atoi(power) // empty is 0
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits = whole + fraction
	exponent -= len(fraction)
	trimmed := strings.TrimRight(digits, "0")
	exponent += len(digits) - len(trimmed)
	if digits = strings.TrimLeft(trimmed, "0"); digits == "" {
		exponent = 0
	}
	return digits, exponent
}
