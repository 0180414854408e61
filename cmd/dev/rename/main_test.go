package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const renamed = "example.com/team/feed"

func TestARenamedCopyBuildsAndRunsAndKeepsNothingOfTheOldPath(t *testing.T) {
	t.Parallel()
	folder := workingCopy(t)
	run := func(command ...string) string {
		cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
		cmd.Dir = folder
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%v: %s", command, out)
		return string(out)
	}
	before := strings.TrimSpace(run("go", "list", "-m", "-f", "{{if eq .Dir \""+folder+"\"}}{{.Path}}{{end}}"))

	run("go", "run", "./cmd/dev/rename", renamed)

	run("go", "vet", "./...", "./cmd/dev/...", "./cmd/dev/temporal/...")
	require.Contains(t, run("go", "run", "./cmd/chatfeed", "--help"), "Usage: chatfeed")
	for _, name := range []string{".golangci.yml", "rpc/buf.gen.yaml", "go.mod", "cmd/dev/go.mod", "cmd/dev/temporal/go.mod"} {
		text, err := os.ReadFile(filepath.Join(folder, name))
		require.NoError(t, err)
		require.Contains(t, string(text), renamed, name)
		require.NotRegexp(t, `(^|[^\w/])`+before+`/(cmd|db|feed|rpc|internal|activities)`, string(text), name)
	}
}

func TestAPathThatCannotBeFetchedIsRefused(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"", "feed", "team/feed", "https://example.com/feed", "example.com"} {
		out, err := exec.CommandContext(t.Context(), "go", "run", ".", path).CombinedOutput()
		require.Error(t, err)
		require.Contains(t, string(out), "accepted is one such as example.com/team/chatfeed")
	}
}

// workingCopy copies the files of this working copy.
func workingCopy(t *testing.T) string {
	t.Helper()
	top, err := filepath.Abs("../../..")
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), "git", "ls-files", "--cached", "--others", "--exclude-standard")
	cmd.Dir = top
	listed, err := cmd.Output()
	require.NoError(t, err)
	folder, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	for name := range strings.Lines(string(listed)) {
		name = strings.TrimSpace(name)
		text, err := os.ReadFile(filepath.Join(top, name))
		if os.IsNotExist(err) {
			continue // deleted and not committed yet
		}
		require.NoError(t, err)
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(folder, name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), text, 0o600))
	}
	return folder
}
