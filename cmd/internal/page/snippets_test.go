package page

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/evanw/esbuild/pkg/api"
	"github.com/stretchr/testify/require"

	"chatfeed/db"
	"chatfeed/internal/dbtest"
)

// What the page offers to copy runs as it is: with psql, curl, Node, Go and in a browser.
func TestWhatIsCopiedFromThePageRuns(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	writer := db.NewWriter(pool)
	t.Cleanup(writer.Close)
	g := &gated{t: t, writer: writer}
	url := serveGated(t, pool, g, pool.Config().ConnString())
	const odd = `it's a "$HOME" \ workflow`
	_, err := writer.Write(t.Context(), db.Message{WorkflowID: odd, Role: "assistant", Message: "the first row"})
	require.NoError(t, err)

	var got struct {
		Copied   map[string]string `json:"copied"`
		Findings []string          `json:"findings"`
	}
	browser := startBrowser(t, "test/browser/snippets.mjs", url, odd)
	require.NoError(t, json.Unmarshal([]byte(browser.line()), &got))
	require.Empty(t, got.Findings)
	require.Len(t, got.Copied, 6)
	require.Contains(t, got.Copied["EventSource"], "the first row")

	program := filepath.Join(t.TempDir(), "main.go")
	require.NoError(t, os.WriteFile(program, []byte(got.Copied["Go"]), 0o600))
	compile := exec.CommandContext(t.Context(), "go", "build", "-o", program+".exe", program)
	compile.Dir = "../../.."
	output, err := compile.CombinedOutput()
	require.NoError(t, err, "%s", output)
	prints(t, "the first row", "", program+".exe")
	prints(t, "the first row", "../../../web/client", "node", "--input-type=module", "-e", got.Copied["Client"])

	output, err = exec.CommandContext(t.Context(), "bash", "-c", got.Copied["psql"]).CombinedOutput()
	require.NoError(t, err, "%s", output)
	require.Equal(t, "INSERT 0 1\n", string(output))
	prints(t, "by hand", "", "bash", "-c", "exec "+got.Copied["curl"]) // after the first row

	client, err := filepath.Abs("../../../web/client")
	require.NoError(t, err)
	result := api.Build(api.BuildOptions{
		Stdin:  &api.StdinOptions{Contents: got.Copied["useChat"], Loader: api.LoaderTSX, ResolveDir: client},
		Bundle: true, JSX: api.JSXAutomatic, Alias: map[string]string{"@chatfeed/client/ai": client + "/src/ai/index.ts"},
	})
	require.Empty(t, result.Errors)
}

// prints runs a program until it has printed a text.
func prints(t *testing.T, text, folder, name string, arguments ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, name, arguments...)
	command.Dir = folder
	problems := new(strings.Builder)
	command.Stderr = problems
	out, err := command.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, command.Start())
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n')
		if strings.Contains(line, text) {
			break
		}
		require.NoError(t, err, "%s does not print %q: %s", name, text, problems)
	}
	cancel()
	_, _ = io.Copy(io.Discard, lines)
	require.Error(t, command.Wait(), "it was killed")
}
