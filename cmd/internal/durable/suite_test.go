package durable

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"chatfeed/internal/dbtest"
)

// inapplicable are the conformance tests that are not about reading a stream of JSON, by how their names begin. They are not
// run. The names are those of a group and a test.
var inapplicable = []struct{ reason, names string }{
	{"writes, which the server does not have", `Basic Stream Operations|Append Operations|Case-Insensitivity|Content-Type Validation should (enforce|allow)|` +
		`HTTP Protocol should (return (correct headers on (PUT|POST)|200 on|409 on|404 on|204 on)|.*\bseq)|` +
		`Browser Security Headers .* on (PUT|POST) responses|` +
		`Protocol Edge Cases should (reject empty POST|handle PUT|enforce case|return Location|reject missing|accept PUT)|` +
		`JSON Mode should (allow PUT|reject)|Chunking and Large Payloads should handle large payload|` +
		`Property-Based Tests \(fast-check\) (Sequence|Concurrent Writer Stress Tests .*seq)|` +
		`Idempotent Producer|Stream Closure (Create|Close|Idempotent)|` +
		`Stream Closure Edge Cases (409|close|producer|empty-post)`},
	{"expiry, which workflows do not have", `TTL|HEAD Metadata Edge Cases`},
	{"forks, which workflows do not have", `Fork`},
	{"subscriptions by webhooks, which the server does not have", `Reserved subscription APIs`},
	{"streams that are not JSON", `SSE Mode .*(base64|[bB]inary)|Protocol Edge Cases should handle binary|` +
		`Content-Type Validation should return|Offset Validation and Resumability .*non-JSON`},
}

// suiteTime is how long the conformance tests may take.
const suiteTime = 5 * time.Minute

// result is what became of one conformance test.
type result struct {
	FullName, Status string
	FailureMessages  []string
}

func TestTheServerPassesTheConformanceTestsForReading(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	url, stop := serve(t, pool, "127.0.0.1:0", func(h http.Handler) http.Handler { return &shim{pool: pool, server: h} })
	defer stop()
	passed, failed, excluded := 0, 0, make([]int, len(inapplicable))
	for _, one := range runSuite(t, node(t), url) {
		switch rule := ruleOf(one.FullName); {
		case rule >= 0:
			excluded[rule]++
		case one.Status == "passed":
			passed++
		default:
			failed++
			t.Errorf("%s: %s %s", one.Status, one.FullName, strings.Join(one.FailureMessages, "\n"))
		}
	}
	score := new(strings.Builder)
	_, _ = fmt.Fprintf(score, "%4d passed\n%4d failed\n", passed, failed)
	for i, rule := range inapplicable {
		_, _ = fmt.Fprintf(score, "%4d not applicable: %s\n", excluded[i], rule.reason)
		require.Positive(t, excluded[i], rule.reason)
	}
	t.Logf("the conformance tests of Durable Streams for servers:\n%s", score)
	require.GreaterOrEqual(t, passed, 100)
}

// ruleOf is the index of the reason why a conformance test does not apply, or -1.
func ruleOf(name string) int {
	for i, rule := range inapplicable {
		if regexp.MustCompile("^(" + rule.names + ")").MatchString(strings.TrimSpace(name)) {
			return i
		}
	}
	return -1
}

// runSuite runs the conformance tests that apply.
func runSuite(t *testing.T, folder, url string) []result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), suiteTime)
	defer cancel()
	var names []string
	for _, rule := range inapplicable {
		names = append(names, rule.names)
	}
	output := filepath.Join(t.TempDir(), "results.json")
	tests := exec.CommandContext(ctx, filepath.Join("node_modules", ".bin", "vitest"), "run", //nolint:gosec // of constants
		"--reporter=json", "--outputFile="+output, "--testNamePattern=^(?!\\s*("+strings.Join(names, "|")+"))")
	tests.Dir = folder
	tests.Env = append(os.Environ(), "CONFORMANCE_TEST_URL="+url)
	printed, ended := tests.CombinedOutput() // it is an error that a test has failed
	text, err := os.ReadFile(output)         //nolint:gosec // in a folder of this test
	require.NoError(t, err, "%v: %s", ended, printed)
	var results struct {
		TestResults []struct{ AssertionResults []result }
	}
	require.NoError(t, json.Unmarshal(text, &results))
	require.Len(t, results.TestResults, 1)
	return results.TestResults[0].AssertionResults
}
