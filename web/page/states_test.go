package page

import (
	"flag"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	pictures = flag.String("pictures", "", "`folder` to write a picture of each state to, at three widths in both schemes")
	only     = flag.String("state", "", "the only `state` to check")
)

// Each state of the page, from a script: axe-core finds nothing in either scheme, on a wide screen or a phone; the page's policy is not
// violated; and nothing is asked of another host.
func TestEveryStateIsAccessible(t *testing.T) {
	t.Parallel()
	out := filepath.Join(t.TempDir(), "stories")
	build(t, "-stories", "-out", out)
	server := httptest.NewServer(newHandler(os.DirFS(out)))
	defer server.Close()
	arguments := []string{"test/browser/states.mjs", server.URL}
	if *pictures != "" || *only != "" {
		arguments = append(arguments, *pictures)
	}
	if *only != "" {
		arguments = append(arguments, *only)
	}
	output, err := exec.CommandContext(t.Context(), "node", arguments...).CombinedOutput()
	require.NoError(t, err, "%s", output)
	t.Logf("%s", output)
}
