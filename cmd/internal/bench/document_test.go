package bench

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAFirstRunMakesAWholeDocument(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "docs")
	report := &Report{Machine: Machine{CPUs: 2, Date: "2026-01-02"}, Measured: []Measured{measured("one")}}
	require.NoError(t, report.Save(dir))
	text := read(t, dir, "benchmarks.md")
	require.True(t, strings.HasPrefix(text, "# Benchmarks\n"))
	require.Contains(t, text, "<!-- measured: machine -->\n## The machine\n\n2 CPUs")
	require.Contains(t, text, `<!-- measured: one -->
## Title of one

About one.

| callers | kind | rows (per s) |
|--:|--:|--:|
| 1 | small | 1,230 |
| **1,024** | **large** | **28,200** |

Measured on 2026-01-02: [as JSON](benchmarks/one.json).

![Rows](benchmarks/one_plot.svg)
<!-- end -->
`)
	require.True(t, json.Valid([]byte(read(t, dir, "benchmarks", "one.json"))))
	require.Contains(t, read(t, dir, "benchmarks", "one_plot.svg"), "</svg>")
}

func TestARunReplacesItsOwnSectionsAndKeepsEverythingElse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, (&Report{Measured: []Measured{measured("one"), measured("two")}}).Save(dir))
	file := filepath.Join(dir, "benchmarks.md")
	document := read(t, dir, "benchmarks.md")
	document = strings.Replace(document, "# Benchmarks\n", "# Our figures\n", 1)
	document = strings.Replace(document, "<!-- end -->\n\n<!-- measured: two", "<!-- end -->\n\nA remark.\n\n<!-- measured: two", 1)
	require.NoError(t, os.WriteFile(file, []byte(document+"\nThe last word.\n"), 0o600))

	m := measured("one")
	m.Result.Runs[1].Values[2].Number = 77_777
	require.NoError(t, (&Report{Measured: []Measured{m}}).Save(dir))

	want := strings.Replace(document, "28,200", "77,777", 1) + "\nThe last word.\n"
	require.Equal(t, want, read(t, dir, "benchmarks.md"))
}

func TestASectionThatIsNotThereIsAppended(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "benchmarks.md")
	require.NoError(t, os.WriteFile(file, []byte("# Written by hand\n\nWords.\n"), 0o600))
	require.NoError(t, (&Report{Measured: []Measured{measured("one")}}).Save(dir))
	require.NoError(t, (&Report{Measured: []Measured{measured("two")}}).Save(dir))
	text := read(t, dir, "benchmarks.md")
	require.True(t, strings.HasPrefix(text, "# Written by hand\n\nWords.\n\n<!-- measured: machine -->\n"))
	require.Equal(t, 1, strings.Count(text, "<!-- measured: one -->"))
	require.Less(t, strings.Index(text, "<!-- measured: one -->"), strings.Index(text, "<!-- measured: two -->"))
	require.Equal(t, 3, strings.Count(text, "<!-- end -->"))
}

func TestASectionWithoutAnEndIsRefusedAndTheDocumentKept(t *testing.T) {
	t.Parallel()
	for _, rest := range []string{"words\n", "words\n\n<!-- measured: two -->\nwords\n<!-- end -->\n"} {
		dir := t.TempDir()
		document := "<!-- measured: one -->\n" + rest
		require.NoError(t, os.WriteFile(filepath.Join(dir, "benchmarks.md"), []byte(document), 0o600))
		err := (&Report{Measured: []Measured{measured("one")}}).Save(dir)
		require.ErrorContains(t, err, "<!-- measured: one --> has no <!-- end -->")
		require.Equal(t, document, read(t, dir, "benchmarks.md"))
	}
}

func TestTheDocumentNamesNeitherHostNorFolder(t *testing.T) {
	t.Parallel()
	lab := newLab(t)
	machine, err := Describe(t.Context(), lab.Pool)
	require.NoError(t, err)
	require.Positive(t, machine.CPUs)
	require.Regexp(t, `^\d+(\.\d+)?`, machine.PostgreSQL)
	require.Equal(t, "on", machine.Settings["synchronous_commit"])
	text := machine.markdown()
	require.Contains(t, text, "`synchronous_commit = on`")
	host, err := os.Hostname()
	require.NoError(t, err)
	require.NotContains(t, text, host)
	require.NotContains(t, text, "127.0.0.1")
	require.NotContains(t, text, os.TempDir())
}

func read(t *testing.T, parts ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(parts...))
	require.NoError(t, err)
	return string(text)
}

func TestAReportWithANameHasADocumentOfItsOwn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, (&Report{Name: "ways", Measured: []Measured{measured("one")}}).Save(dir))
	text, err := os.ReadFile(filepath.Join(dir, "ways.md"))
	require.NoError(t, err)
	require.Contains(t, string(text), "(ways/one.json)")
	require.NotContains(t, string(text), "just bench", "that is about another document")
	require.FileExists(t, filepath.Join(dir, "ways", "one.json"))
	require.FileExists(t, filepath.Join(dir, "ways", "one_plot.svg"))
	require.NoFileExists(t, filepath.Join(dir, "benchmarks.md"))
}
