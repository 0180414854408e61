package rpc

import (
	"encoding/json"
	"math/rand/v2"
	"regexp"
	"strconv"
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

func TestTimestampsAreUnixSecondsWithUpToSixDecimals(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{
		"0": 0, "1": 1_000_000, "1234567890.123": 1234567890_123000, "1234567890.000001": 1234567890_000001,
		"0.1": 100_000, "1.10": 1_100_000, "001.5": 1_500_000, ".5": 500_000, "5.": 5_000_000, "-1.5": -1_500_000, "-0": 0,
		"1.1234569": 1_123456, "1.1234560000000000000000000001": 1_123456,
		"9223372036854.775807": 1<<63 - 1, "-9223372036854.775807": -1<<63 + 1,
	} {
		got, ok := parseTimestamp(text)
		require.True(t, ok, text)
		require.Equal(t, want, int64(got), text)
	}
	for _, text := range []string{
		"", ".", "-", "-.", "+1", "1e9", "0x10", "1_000", "1,5", " 1", "1 ", "--1", "1.-5", "1.2.3", "NaN", "Infinity", "null",
		"undefined", "٣", "1٣", "9223372036854.775808", "99999999999999999999",
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

func FuzzParseTimestamp(f *testing.F) {
	for _, text := range []string{"", "0", "1234567890.123", "-1.5", "1.2.3", "null", "1e9", "9223372036854.775807", ".", "5."} {
		f.Add(text)
	}
	decimal := regexp.MustCompile(`^-?(\d+\.?\d*|\.\d+)$`)
	f.Fuzz(func(t *testing.T, text string) {
		cursor, ok := parseTimestamp(text)
		if !ok {
			if decimal.MatchString(text) {
				_, err := strconv.ParseFloat(text, 64)
				number, _ := strconv.ParseFloat(text, 64)
				require.True(t, err != nil || number > 9e12 || number < -9e12, "%q was not read", text)
			}
			return
		}
		require.Regexp(t, decimal, text)
		again, ok := parseTimestamp(formatTimestamp(cursor))
		require.True(t, ok)
		require.Equal(t, cursor, again)
		number, err := strconv.ParseFloat(text, 64)
		require.NoError(t, err)
		require.InDelta(t, number, float64(cursor)/1e6, 1e-6+1e-9*max(number, -number))
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
		require.NoError(t, checkWorkflowID("", workflow.ID))
		again, err := parseToken(formatToken(workflow))
		require.NoError(t, err)
		require.Equal(t, workflow, again)
	})
}
