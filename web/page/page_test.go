package page

import (
	"compress/gzip"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

func get(t *testing.T, path, accepted string) *http.Response {
	t.Helper()
	request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
	request.Header.Set("Accept-Encoding", accepted)
	recorder := httptest.NewRecorder()
	Handler().ServeHTTP(recorder, request)
	return recorder.Result()
}

var asset = regexp.MustCompile(`/assets/[\w-]+\.(js|css|svg)`)

func TestThePageIsServedUnderAStrictPolicy(t *testing.T) {
	t.Parallel()
	index := get(t, "/", "")
	html, err := io.ReadAll(index.Body)
	require.NoError(t, err)
	require.Equal(t, "no-cache", index.Header.Get("Cache-Control"))
	require.NotRegexp(t, `<script[^>]*>[^<]|<style|\son\w+=|\sstyle=|https?://`, string(html), "something is inline, or of another host")
	addresses := asset.FindAllString(string(html), -1)
	require.Len(t, addresses, 3)
	for _, address := range append(addresses, "/") {
		response := get(t, address, "")
		require.Equal(t, http.StatusOK, response.StatusCode, address)
		require.Equal(t, "nosniff", response.Header.Get("X-Content-Type-Options"))
		policy := response.Header.Get("Content-Security-Policy")
		require.Contains(t, policy, "default-src 'none'")
		require.Contains(t, policy, "require-trusted-types-for 'script'")
		require.NotContains(t, policy, "unsafe")
		if address != "/" {
			require.Contains(t, response.Header.Get("Cache-Control"), "immutable", "its name has a hash of the content")
		}
	}
	require.Equal(t, http.StatusNotFound, get(t, "/assets/other.js", "").StatusCode)
	require.Equal(t, http.StatusNotFound, get(t, "/assets/", "").StatusCode)
	require.Equal(t, http.StatusNotFound, get(t, "/assets/../page.go", "").StatusCode)
}

func TestTheFirstLoadIsAtMostFortyKilobytes(t *testing.T) {
	t.Parallel()
	html, err := io.ReadAll(get(t, "/", "").Body)
	require.NoError(t, err)
	total := 0
	for _, address := range append(asset.FindAllString(string(html), -1), "/") {
		response := get(t, address, "br, gzip;q=0.5")
		require.Equal(t, "gzip", response.Header.Get("Content-Encoding"), address)
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		total += len(body)
	}
	require.LessOrEqual(t, total, 40<<10)
	t.Logf("%d bytes", total)
}

func TestBothEncodingsHaveTheSameContent(t *testing.T) {
	t.Parallel()
	for _, refused := range []string{"", "identity", "gzip;q=0", "br"} {
		require.Empty(t, get(t, "/", refused).Header.Get("Content-Encoding"), refused)
	}
	plain, err := io.ReadAll(get(t, "/", "").Body)
	require.NoError(t, err)
	reader, err := gzip.NewReader(get(t, "/", "gzip").Body)
	require.NoError(t, err)
	unpacked, err := io.ReadAll(reader)
	require.NoError(t, err)
	require.Equal(t, plain, unpacked)
}

// build runs the program that makes the page, with its packages from npm.
func build(t *testing.T, arguments ...string) {
	t.Helper()
	_, err := os.Stat("node_modules/preact")
	require.NoError(t, err, "the packages are missing: run just page")
	command := exec.CommandContext(t.Context(), "go", append([]string{"run", "./internal/build"}, arguments...)...)
	output, err := command.CombinedOutput()
	require.NoError(t, err, "%s", output)
}

func TestTheBuiltPageIsThatOfItsSource(t *testing.T) {
	t.Parallel()
	out := filepath.Join(t.TempDir(), "dist")
	build(t, "-out", out)
	built, committed := contents(t, os.DirFS(out)), contents(t, os.DirFS("dist"))
	require.Equal(t, committed, built, "it is stale: run go generate ./web/page")
}

func contents(t *testing.T, folder fs.FS) map[string]string {
	t.Helper()
	files := make(map[string]string)
	require.NoError(t, fs.WalkDir(folder, ".", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			content, readErr := fs.ReadFile(folder, name)
			files[name], err = string(content), readErr
		}
		return err
	}))
	return files
}

// The tests of what needs no browser run in Node.
func TestTheModelInNode(t *testing.T) {
	t.Parallel()
	out := t.TempDir()
	build(t, "-tests", out)
	bundles, err := filepath.Glob(filepath.Join(out, "*.mjs"))
	require.NoError(t, err)
	require.NotEmpty(t, bundles)
	output, err := exec.CommandContext(t.Context(), "node", append([]string{"--test", "--test-concurrency=1"}, bundles...)...).CombinedOutput()
	require.NoError(t, err, "%s", output)
}
