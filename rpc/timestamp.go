package rpc

import (
	"strconv"
	"strings"
	"time"

	"chatfeed/feed"
)

// formatTimestamp writes a cursor as Unix seconds with up to six decimals. A browser that reads the number and writes it
// again writes these digits: 16 of them are within what a double keeps.
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

// parseTimestamp reads a time as clients have it: Unix seconds as a decimal, with or without an exponent, or RFC 3339. It may
// stand in the quotes of a JSON text, and a space is a plus that nobody has escaped in a URL. Numbers are never floats on the
// way, and what is finer than microseconds falls away. It is false for anything else, and for what no cursor can hold.
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
	shift := 6 - len(fraction) // how many digits there are between the last one and that of the microseconds
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

// maxExponent is more than any text that fits into a request has digits, so what is beyond it is zero or too large.
const maxExponent = 1 << 30

func splitSign(text string) (sign int, rest string) {
	if rest, ok := strings.CutPrefix(text, "-"); ok {
		return -1, rest
	}
	return 1, strings.TrimPrefix(text, "+")
}

// scale is a whole number, without leading zeros, times ten to the power of shift. What is behind the point falls away. It is
// false for what is too large.
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
