package rpc

import (
	"strconv"
	"strings"

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

// parseTimestamp reads Unix seconds as a decimal, never as a float. Decimals beyond the sixth fall away. It is false for
// what is no number.
func parseTimestamp(text string) (feed.Cursor, bool) {
	digits, negative := strings.CutPrefix(text, "-")
	whole, fraction, _ := strings.Cut(digits, ".")
	if whole == "" && fraction == "" || !allDigits(whole) || !allDigits(fraction) {
		return 0, false
	}
	if len(fraction) > 6 {
		fraction = fraction[:6]
	}
	fraction += "000000"[len(fraction):]
	micros, err := strconv.ParseInt(whole+fraction, 10, 64)
	if err != nil {
		return 0, false
	}
	if negative {
		micros = -micros
	}
	return feed.Cursor(micros), true
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}
