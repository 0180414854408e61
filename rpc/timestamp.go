package rpc

import (
	"strconv"
	"strings"
	"time"

	"chatfeed/feed"
)

// formatTimestamp writes a cursor as Unix seconds with up to six decimals. A browser that parses the number and
// formats it again gets the same digits: a double keeps 16 of them.
func formatTimestamp(c feed.Cursor) string {
	micros := int64(c)
	sign := ""
	if micros < 0 {
		sign, micros = "-", -micros
	}
	fraction := strings.TrimRight(strconv.FormatInt(1_000_000+micros%1_000_000, 10)[1:], "0")
	seconds := strconv.FormatInt(micros/1_000_000, 10)
	if fraction == "" {
		return sign + seconds
	}
	return sign + seconds + "." + fraction
}

// parseTimestamp parses a client's time: Unix seconds as a decimal, with or without an exponent, or RFC 3339. It may be in
// the quotes of a JSON string, and a space is taken as a plus that was not escaped in a URL. Numbers are never converted to
// floats, and are truncated to microseconds. It returns false for anything else, and for times out of a cursor's range.
func parseTimestamp(text string) (feed.Cursor, bool) {
	if len(text) >= 2 && text[0] == '"' && text[len(text)-1] == '"' {
		text = text[1 : len(text)-1]
	}
	text = strings.ToUpper(strings.ReplaceAll(text, " ", "+"))
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return feed.Cursor(at.UnixMicro()), true
	}
	return parseSeconds(text)
}

// parseSeconds reads a number of seconds, whose exponent begins with an E.
func parseSeconds(text string) (feed.Cursor, bool) {
	number, power, scientific := strings.Cut(text, "E")
	digits, negative := strings.CutPrefix(number, "-")
	whole, fraction, _ := strings.Cut(digits, ".")
	if whole == "" && fraction == "" || !allDigits(whole) || !allDigits(fraction) {
		return 0, false
	}
	shift := 6 - len(fraction) // how many digits the last one is above the microseconds
	if scientific {
		sign, size := splitSign(power)
		if size == "" || !allDigits(size) {
			return 0, false
		}
		exponent, err := strconv.Atoi(size)
		if err != nil || exponent > maxExponent {
			exponent = maxExponent
		}
		shift += sign * exponent
	}
	micros, ok := scale(strings.TrimLeft(whole+fraction, "0"), shift)
	if negative {
		micros = -micros
	}
	return feed.Cursor(micros), ok
}

// maxExponent is more than the number of digits that fit in a request, so a number with a larger exponent is zero or out of
// range.
const maxExponent = 1 << 30

func splitSign(text string) (sign int, rest string) {
	if rest, ok := strings.CutPrefix(text, "-"); ok {
		return -1, rest
	}
	return 1, strings.TrimPrefix(text, "+")
}

// scale returns a whole number, without leading zeros, times ten to the power of shift, truncated. It returns false if that
// is out of range.
func scale(digits string, shift int) (int64, bool) {
	switch {
	case digits == "" || len(digits)+shift <= 0:
		return 0, true
	case len(digits)+shift > len("9223372036854775807"):
		return 0, false
	case shift < 0:
		digits = digits[:len(digits)+shift]
	default:
		digits += strings.Repeat("0", shift)
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	return n, err == nil
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}
