package rpc

import (
	"encoding/json"
	"math/big"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"chatfeed/feed"
)

// year2242 is, in microseconds, how far a double of Unix seconds tells one microsecond from the next.
const year2242 = 1 << 33 * 1_000_000

// javaScript reads and prints a number as a browser does.
func javaScript(t testing.TB, number string) string {
	t.Helper()
	var double float64
	require.NoError(t, json.Unmarshal([]byte(number), &double), "%s is no JSON number", number)
	return strconv.FormatFloat(double, 'f', -1, 64)
}

func TestABrowserReturnsTheCursorThatItWasGiven(t *testing.T) {
	t.Parallel()
	cursors := []int64{0, 1, 10, 999_999, 1_000_000, 1_000_001, 1234567890_123000, 1e15, 1e15 - 1, 4294967296_000001, year2242 - 1}
	random := rand.New(rand.NewPCG(1, 2))
	for zeros := int64(1); zeros <= 1_000_000; zeros *= 10 {
		for range 20_000 {
			cursors = append(cursors, random.Int64N(year2242)/zeros*zeros)
			cursors = append(cursors, 1_700_000_000_000_000+random.Int64N(1e15)/zeros*zeros)
		}
	}
	for _, c := range cursors {
		text := formatTimestamp(feed.Cursor(c))
		returned := javaScript(t, text)
		got, ok := parseTimestamp(returned)
		require.True(t, ok, returned)
		require.Equal(t, c, int64(got), "%s came back as %s", text, returned)
	}
}

func TestATimestampIsANumberOfSecondsOrATime(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{
		"0": 0, "1": 1_000_000, "1234567890.123": 1234567890_123000, "1234567890.000001": 1234567890_000001,
		"0.1": 100_000, "1.10": 1_100_000, "001.5": 1_500_000, ".5": 500_000, "5.": 5_000_000, "-1.5": -1_500_000, "-0": 0,
		"1.1234569": 1_123456, "1.1234560000000000000000000001": 1_123456,
		"9223372036854.775807": 1<<63 - 1, "-9223372036854.775807": -1<<63 + 1,
		// as programs print doubles
		"1.7e9": 1_700_000_000_000_000, "1.7E+09": 1_700_000_000_000_000, "1.7e 9": 1_700_000_000_000_000, "1e0": 1_000_000,
		"1764150000123456e-6": 1764150000_123456, "1.764150000123456E9": 1764150000_123456, "1e-6": 1, "1e-7": 0, "19e-7": 1,
		"0e99999999999999999999": 0, "-2e-3": -2000, "1e-99999999999999999999": 0, ".5e1": 5_000_000, "0.000000001e15": 1_000_000_000_000,
		// as JSON texts
		`"1764150000.123456"`: 1764150000_123456, `"1e3"`: 1_000_000_000, `"1970-01-01T00:00:01Z"`: 1_000_000,
		// times
		"1970-01-01T00:00:00Z": 0, "2025-11-26T09:40:00.123456Z": 1764150000_123456, "2025-11-26T09:40:00.1234569Z": 1764150000_123456,
		"2025-11-26T10:40:00.5+01:00": 1764150000_500000, "2025-11-26T10:40:00 01:00": 1764150000_000000,
		"2025-11-26t09:40:00z": 1764150000_000000, "1969-12-31T23:59:59.9999999Z": -1,
	} {
		got, ok := parseTimestamp(text)
		require.True(t, ok, text)
		require.Equal(t, want, int64(got), text)
	}
	for _, text := range []string{
		"", ".", "-", "-.", "+1", "0x10", "1_000", "1,5", " 1", "1 ", "--1", "1.-5", "1.2.3", "NaN", "Infinity", "null",
		"undefined", "٣", "1٣", "9223372036854.775808", "99999999999999999999", "e", "e9", ".e9", "1e", "1e+", "1e-", "1e+-9", "1e9e9",
		"1e1.5", "1e13", "1e99999999999999999999", `"`, `""`, `"1`, `1"`, `""1""`, "'1'", "2025-11-26", "2025-11-26T09:40:00",
		"2025-13-26T09:40:00Z", "2025-11-26T25:40:00Z", "12025-11-26T09:40:00Z", "Wed, 26 Nov 2025 09:40:00 GMT",
	} {
		_, ok := parseTimestamp(text)
		require.False(t, ok, text)
	}
	for cursor, want := range map[int64]string{
		0: "0", 1: "0.000001", 1_000_000: "1", 1_100_000: "1.1", -1: "-0.000001", -1_500_000: "-1.5", 1234567890_123000: "1234567890.123",
	} {
		require.Equal(t, want, formatTimestamp(feed.Cursor(cursor)))
	}
}

// FuzzParseTimestamp holds every number against exact arithmetic, and every time against what it is written as.
func FuzzParseTimestamp(f *testing.F) {
	for _, text := range []string{
		"", "0", "1234567890.123", "-1.5", "1.2.3", "null", "1e9", "9223372036854.775807", ".", "5.", "1.7E+9", "12e-3",
		`"1764150000.123456"`, "2025-11-26T09:40:00.123456Z", "2025-11-26T10:40:00 01:00",
	} {
		f.Add(text)
	}
	decimal := regexp.MustCompile(`^-?(\d+\.?\d*|\.\d+)([eE][+ -]?\d{1,4})?$`)
	f.Fuzz(func(t *testing.T, text string) {
		cursor, ok := parseTimestamp(text)
		if ok {
			again, same := parseTimestamp(formatTimestamp(cursor))
			require.True(t, same)
			require.Equal(t, cursor, again)
		}
		if !decimal.MatchString(text) {
			return
		}
		seconds, valid := new(big.Rat).SetString(strings.ReplaceAll(text, " ", "+"))
		require.True(t, valid, text)
		micros := seconds.Mul(seconds, big.NewRat(1_000_000, 1))
		whole := new(big.Int).Quo(micros.Num(), micros.Denom())
		fits := new(big.Int).Abs(whole).IsInt64()
		require.Equal(t, fits, ok, text)
		if fits {
			require.Equal(t, whole.Int64(), int64(cursor), text)
		}
	})
}

func FuzzFormatTimestamp(f *testing.F) {
	for _, c := range []int64{0, 1, -1, 1_500_000, 1234567890_123000, 1<<63 - 1} {
		f.Add(c)
	}
	f.Fuzz(func(t *testing.T, micros int64) {
		if micros == -1<<63 { // 292,000 years before the epoch, and no item is from before it
			return
		}
		text := formatTimestamp(feed.Cursor(micros))
		got, ok := parseTimestamp(text)
		require.True(t, ok, text)
		require.Equal(t, micros, int64(got))
		returned := javaScript(t, text)
		if micros >= 0 && micros < year2242 {
			got, ok = parseTimestamp(returned)
			require.True(t, ok)
			require.Equal(t, micros, int64(got))
		}
	})
}

func FuzzParseToken(f *testing.F) {
	for _, token := range []string{"", "MTIgd2Y", "%", formatToken(feed.Workflow{ID: "a b", Active: 1234567890_123000})} {
		f.Add(token)
	}
	f.Fuzz(func(t *testing.T, token string) {
		workflow, err := parseToken(token)
		if err != nil || token == "" {
			require.Zero(t, workflow)
			return
		}
		require.Positive(t, workflow.Active)
		if workflow.ID != "" {
			require.NoError(t, checkWorkflowID("", workflow.ID))
		}
		again, err := parseToken(formatToken(workflow))
		require.NoError(t, err)
		require.Equal(t, workflow, again)
	})
}
