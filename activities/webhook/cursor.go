package webhook

import (
	"fmt"
	"strconv"
	"strings"
)

// Cursor is a place in a workflow's feed: the time of an item, in microseconds since 1970. Zero is the beginning. In JSON it is
// a number of seconds, as in all answers of the feed, which a double keeps exactly.
type Cursor int64

// String returns the seconds, with as many decimals as needed.
func (c Cursor) String() string {
	whole, fraction := int64(c)/1_000_000, int64(c)%1_000_000
	text := fmt.Sprintf("%d.%06d", whole, fraction)
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
}

// MarshalJSON implements [encoding/json.Marshaler].
func (c Cursor) MarshalJSON() ([]byte, error) {
	if c < 0 {
		return nil, fmt.Errorf("cursor: is %d; zero or more is accepted", int64(c))
	}
	return []byte(c.String()), nil
}

// UnmarshalJSON implements [encoding/json.Unmarshaler]. A string is accepted too; decimals beyond the sixth are left out.
func (c *Cursor) UnmarshalJSON(text []byte) error {
	parsed, err := ParseCursor(strings.Trim(string(text), `"`))
	if err == nil {
		*c = parsed
	}
	return err
}

// ParseCursor reads a number of seconds, such as 1795311746.201564.
func ParseCursor(text string) (Cursor, error) {
	invalid := func() (Cursor, error) {
		return 0, fmt.Errorf("cursor: %q is not a number of seconds; one such as 1795311746.201564 is accepted", text)
	}
	whole, fraction, _ := strings.Cut(text, ".")
	seconds, err := strconv.ParseUint(whole, 10, 63)
	if err != nil || seconds > 1<<62/1_000_000 {
		return invalid()
	}
	if strings.Trim(fraction, "0123456789") != "" {
		return invalid()
	}
	micros, _ := strconv.ParseUint((fraction + "000000")[:6], 10, 63) // digits only
	return Cursor(seconds*1_000_000 + micros), nil                    //nolint:gosec // bounded above
}
