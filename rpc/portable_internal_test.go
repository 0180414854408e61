package rpc

import (
	"encoding/json"
	"fmt"
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/structpb"
)

// FuzzPortableJSONIsReadByEveryDecoder holds the check against protojson and encoding/json.
func FuzzPortableJSONIsReadByEveryDecoder(f *testing.F) {
	for _, seed := range []string{
		``, `null`, ` {"a": [1, "b", {"c": true}], "d": {}}`, `{"a":1,"a":2}`, `{"a":1,"\u0061":2}`, `"\ud83d\ude00"`, `"\ud83d"`,
		`"\ude00"`, `"\ud83d\u0041"`, `"\\ud83d"`, `"\\\ud83d"`, "\"\x00\"", "\"\xff\"", `"\u0000"`, `"\ufffd"`, `01`, `-`, `1.`, `.5`, `1e`, `[1,]`,
		`{"a"}`, `{1:2}`, `"[[["`, `[` + strings.Repeat("[]", 40) + `]`, strings.Repeat("[", 33) + strings.Repeat("]", 33),
		"\ufeff1", `1 2`, `NaN`, `'a'`, `[1e400]`, `[9007199254740993]`, `"\x41"`, `"\u12"`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if !portable([]byte(text)) {
			return
		}
		require.True(t, json.Valid([]byte(text)))
		value := new(structpb.Value)
		require.NoError(t, value.UnmarshalJSON([]byte(text)))
		var want any
		require.NoError(t, json.Unmarshal([]byte(text), &want))
		require.Equal(t, want, value.AsInterface())
		require.LessOrEqual(t, height(want), maxDepth)
		require.Equal(t, isObject([]byte(text)), value.GetStructValue() != nil)
	})
}

func height(value any) int {
	deepest := 0
	switch v := value.(type) {
	case []any:
		for _, inner := range v {
			deepest = max(deepest, height(inner))
		}
	case map[string]any:
		for _, inner := range v {
			deepest = max(deepest, height(inner))
		}
	default:
		return 0
	}
	return deepest + 1
}

func TestPortableJSONOfAnySizeIsAccepted(t *testing.T) {
	t.Parallel()
	var fields []string
	for i := range 1000 {
		fields = append(fields, fmt.Sprintf(`"%d": "\u00e9\ud83d\ude00\\ud83d"`, i))
	}
	object := "{" + strings.Join(fields, ",") + "}"
	require.True(t, portable([]byte(object)))
	for _, again := range []string{`"0"`, `"15"`, `"999"`, `"99\u0039"`} {
		require.False(t, portable([]byte("{"+strings.Join(fields, ",")+","+again+":1}")), again)
	}
	require.False(t, portable([]byte(strings.Repeat(`{"a":`, 1<<20))), "and a text that would need a deep stack is not read")
}

// FuzzAPortableNumberIsItsDouble holds the check against exact arithmetic.
func FuzzAPortableNumberIsItsDouble(f *testing.F) {
	for _, seed := range []string{
		"0", "-0", "0.0e99999999999999999999", "1e-99999999999999999999", "1.50", "1e2", "9007199254740993", "0.1", "1e23", "1e22",
		"0.30000000000000004", "5e-324", "4.9e-324", "1.7976931348623157e308", "1.7976931348623159e308", "123456789012345678", "1E+2", "999999999999999",
		"0.000001234567890123450", "100000000000000000000000",
	} {
		f.Add(seed)
	}
	valid := regexp.MustCompile(`^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$`)
	f.Fuzz(func(t *testing.T, number string) {
		if !valid.MatchString(number) {
			return
		}
		double, err := strconv.ParseFloat(number, 64)
		if err != nil {
			require.False(t, portableNumber(number))
			return
		}
		exact, ok := new(big.Rat).SetString(number)
		if at := strings.IndexAny(number, "eE"); at >= 0 && len(number)-at > 5 || len(number) > 400 || !ok {
			return // too long to be held exactly
		}
		kept, ok := new(big.Rat).SetString(strconv.FormatFloat(double, 'e', -1, 64))
		require.True(t, ok)
		require.Equal(t, exact.Cmp(kept) == 0, portableNumber(number), number)
	})
}
