package progress_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheCodeOfTheDocumentationIsThatOfTheExamples(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/progress.md")
	require.NoError(t, err)
	examples := map[string]string{}
	for _, name := range []string{"feed", "update", "hybrid", "push", "interceptor"} {
		code, err := os.ReadFile(filepath.Join("../../examples", name, "main.go"))
		require.NoError(t, err)
		examples[name] = string(code)
	}
	quoted := map[string]bool{}
	for _, block := range regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		found := false
		for name, code := range examples {
			if strings.Contains(code, block[1]) {
				found, quoted[name] = true, true
			}
		}
		require.True(t, found, "no example has this code:\n%s", block[1])
	}
	require.Len(t, quoted, len(examples), "each example is quoted")
}
