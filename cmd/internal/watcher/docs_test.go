package watcher_test

import (
	"os"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheDocsQuoteTheExample(t *testing.T) {
	t.Parallel()
	docs, err := os.ReadFile("../../../docs/watching.md")
	require.NoError(t, err)
	quoted := regexp.MustCompile("(?s)```go watcher\n(.*?)```").FindSubmatch(docs)
	require.NotNil(t, quoted)
	example, err := os.ReadFile("../../../examples/watcher/main.go")
	require.NoError(t, err)
	require.Contains(t, string(example), string(quoted[1]))
}
