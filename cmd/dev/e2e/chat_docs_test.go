package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestTheDocumentedCallsAnswerAsDocumented runs the example of docs/workflows.md, and its commands.
func TestTheDocumentedCallsAnswerAsDocumented(t *testing.T) {
	t.Parallel()
	example := filepath.Join(t.TempDir(), "order")
	built, err := exec.CommandContext(t.Context(), "go", "build", "-o", example, "chatfeed/examples/order").CombinedOutput()
	require.NoError(t, err, "%s", built)
	worker := exec.Command(example)
	worker.Env = append(os.Environ(), "TEMPORAL_ADDRESS="+shared.Temporal)
	startCommand(t, worker).prints(t, "serving orders")

	text, err := os.ReadFile("../../../docs/workflows.md")
	require.NoError(t, err)
	flags := regexp.MustCompile(`--allow-start .*`).FindString(string(text))
	require.NotEmpty(t, flags)
	server := serveWith(t, strings.Fields(flags)...)
	blocks := regexp.MustCompile("(?s)```\n\\$ (curl .*?)\n([^ ].*?)\n```").FindAllStringSubmatch(string(text), -1)
	require.Len(t, blocks, 6)
	for _, block := range blocks {
		command := strings.ReplaceAll(block[1], "http://127.0.0.1:8081", server)
		printed, err := exec.CommandContext(t.Context(), "bash", "-c", command+" -s").Output()
		require.NoError(t, err, command)
		want := strings.ReplaceAll(regexp.QuoteMeta(strings.ReplaceAll(block[2], " ", "")), `\.\.\.`, ".*")
		require.Regexp(t, "^"+want+"$", strings.TrimSpace(strings.ReplaceAll(string(printed), " ", "")), command)
	}
	start(t, "chatfeed", "tail", "order-7", "--server", server).prints(t, "shipped by Ann")

	run := func(args ...string) string {
		p := start(t, "chatfeed", append(args, "--server", server)...)
		require.Zero(t, p.ends(t), "%v: %s", args, p.out)
		return strings.TrimSpace(p.out.String())
	}
	began := run("start", "order-8", "Order", `{"item": "lamp", "quantity": 1}`, "--request-id", "r1")
	require.Equal(t, began, run("start", "order-8", "Order", `{"item": "lamp", "quantity": 1}`, "--request-id", "r1"))
	require.Contains(t, run("update", "order-8", "change", "4"), `"quantity":4`)
	require.Equal(t, began, run("signal", "order-8", "ship", `"Bo"`))
	require.Contains(t, run("query", "order-8", "state"), `"shipped":true`)
	run("start", "order-9", "Order", `{}`)
	run("start", "order-10", "Order", `{}`)
	require.Empty(t, run("cancel", "order-10"))
	for want, args := range map[string][]string{
		`args[0]: is not JSON`:           {"signal", "order-8", "ship", "Ann"},
		`name: is not one that this`:     {"query", "order-8", "stock"},
		`does not allow terminating`:     {"terminate", "order-8"},
		`no workflow with this id is`:    {"cancel", "order-0"},
		`1 to 10 can be ordered, not 50`: {"update", "order-9", "change", "50"},
		`--server: "nowhere"`:            {"start", "order-8", "Order", "--server", "nowhere"},
	} {
		if args[len(args)-1] != "nowhere" {
			args = append(args, "--server", server)
		}
		p := start(t, "chatfeed", args...)
		require.NotZero(t, p.ends(t))
		require.Contains(t, p.out.String(), want)
	}
}
