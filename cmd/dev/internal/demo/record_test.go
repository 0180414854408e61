package demo

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheSizeAsJSONIsNeverTakenForLess(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "plain", "\"quoted\" \\", "a\nb\tc\r", "<&>", "\x00\x01\b\f\x7f", "größer 界 😀", "\u2028\u2029", article} {
		encoded, err := json.Marshal(text)
		require.NoError(t, err)
		require.GreaterOrEqual(t, encodedSize(text), len(encoded), "%q", text)
		if !strings.ContainsAny(text, "\b\f") {
			require.Equal(t, len(encoded), encodedSize(text), "%q", text)
		}
	}
}
