package embedded

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// oldest is the oldest major version of PostgreSQL that is supported.
const oldest = 14

// programs are the programs of one PostgreSQL installation.
type programs struct {
	postgres, initdb string
	major            int
}

// search is where to look for PostgreSQL.
type search struct {
	bin     string   // a folder that must have the programs; empty to search
	path    []string // folders, searched in order
	globs   []string // patterns of folders, searched newest first
	config  string   // the program pg_config, used after path; empty for none
	npm     string   // the npm client; empty for none
	cache   string   // where npm's package is kept; empty for the user's cache folder
	version string   // of npm's package; empty for npmVersion
	log     *tail    // receives a line about a download; may be nil
}

// installed searches everywhere, or only in bin.
func installed(bin string) search {
	if bin != "" {
		return search{bin: bin}
	}
	config, _ := exec.LookPath("pg_config") // empty if there is none
	npm, _ := exec.LookPath("npm")
	return search{
		path:   filepath.SplitList(os.Getenv("PATH")),
		config: config,
		globs: []string{
			"/usr/lib/postgresql/*/bin", // Debian
			"/usr/pgsql-*/bin",          // PostgreSQL's packages for Red Hat
			"/usr/libexec/postgresql*",  // Alpine
			"/usr/local/pgsql/bin",      // built from source
			"/opt/homebrew/opt/postgresql*/bin",
			"/usr/local/opt/postgresql*/bin",
			"/Applications/Postgres.app/Contents/Versions/*/bin",
			"/opt/local/lib/postgresql*/bin", // MacPorts
		},
		npm: npm,
	}
}

// find returns the first programs that are recent enough and that the user can run; major limits it to one major version,
// unless it is zero.
func (s search) find(ctx context.Context, who account, major int) (programs, error) {
	if s.bin != "" {
		found, err := inspect(ctx, who, s.bin)
		if err != nil {
			return programs{}, err
		}
		return found, found.fits(major)
	}
	var passed []string
	for _, folder := range s.folders(ctx) {
		found, err := inspect(ctx, who, folder)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = found.fits(major)
		}
		if err == nil {
			return found, nil
		}
		if ctx.Err() != nil {
			return programs{}, context.Cause(ctx)
		}
		passed = append(passed, err.Error())
	}
	if s.npm != "" {
		found, err := s.fromNPM(ctx, who, major)
		if err == nil || ctx.Err() != nil {
			return found, err
		}
		passed = append(passed, err.Error())
	}
	wanted := fmt.Sprintf("PostgreSQL %d or newer", oldest)
	if major != 0 {
		wanted = fmt.Sprintf("PostgreSQL %d", major)
	}
	err := fmt.Errorf("no programs of %s found: name their folder with --pg-bin, or install PostgreSQL, "+
		"or install Node.js, whose npm can fetch it", wanted)
	if len(passed) > 0 {
		err = fmt.Errorf("%w (skipped: %s)", err, strings.Join(passed, "; "))
	}
	return programs{}, err
}

// folders lists where the programs may be, each folder once.
func (s search) folders(ctx context.Context) []string {
	list := slices.Clone(s.path)
	if s.config != "" {
		if folder, err := exec.CommandContext(ctx, s.config, "--bindir").Output(); err == nil {
			list = append(list, strings.TrimSpace(string(folder)))
		}
	}
	for _, glob := range s.globs {
		matches, _ := filepath.Glob(glob) // the patterns are constants
		slices.SortStableFunc(matches, func(a, b string) int { return cmp.Compare(versionIn(b), versionIn(a)) })
		list = append(list, matches...)
	}
	seen := map[string]bool{"": true}
	return slices.DeleteFunc(list, func(folder string) bool {
		again := seen[folder] || !filepath.IsAbs(folder)
		seen[folder] = true
		return again
	})
}

var (
	numbers      = regexp.MustCompile(`\d+(\.\d+)?`)
	versionShown = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)
)

// versionIn returns the last number in the name of a folder; zero when it has none.
func versionIn(folder string) float64 {
	all := numbers.FindAllString(folder, -1)
	if len(all) == 0 {
		return 0
	}
	version, _ := strconv.ParseFloat(all[len(all)-1], 64)
	return version
}

// inspect returns the programs in a folder, which the user must be able to run. The error is fs.ErrNotExist when the
// folder does not have both.
func inspect(ctx context.Context, who account, folder string) (programs, error) {
	folder, err := filepath.Abs(folder)
	if err != nil {
		return programs{}, err
	}
	found := programs{postgres: filepath.Join(folder, "postgres"), initdb: filepath.Join(folder, "initdb")}
	for _, program := range []string{found.postgres, found.initdb} {
		if _, err := os.Stat(program); err != nil {
			return programs{}, fmt.Errorf("the programs of PostgreSQL: %w", err)
		}
		if who.other() && !who.may(ctx, "-x", program) {
			if ctx.Err() != nil {
				return programs{}, context.Cause(ctx)
			}
			return programs{}, fmt.Errorf("%s: started by root, the server runs as the user %s, who cannot run it",
				program, who.name)
		}
	}
	shown, err := who.command(ctx, found.postgres, "--version").CombinedOutput()
	if err != nil {
		return programs{}, fmt.Errorf("%s --version: %w: %s", found.postgres, err, strings.TrimSpace(string(shown)))
	}
	match := versionShown.FindSubmatch(shown)
	if match == nil {
		return programs{}, fmt.Errorf("%s --version shows %q", found.postgres, shown)
	}
	found.major, err = strconv.Atoi(string(match[1]))
	return found, err
}

// fits returns an error unless the version is recent enough and, if major is not zero, that version.
func (p programs) fits(major int) error {
	switch {
	case p.major < oldest:
		return fmt.Errorf("%s is PostgreSQL %d; at least %d is needed", p.postgres, p.major, oldest)
	case major != 0 && p.major != major:
		return fmt.Errorf("%s is PostgreSQL %d, not %d", p.postgres, p.major, major)
	}
	return nil
}
