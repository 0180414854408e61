// Command rename gives the modules of this working copy another path, for hosting them: as "chatfeed" they cannot be fetched.
// It changes module files, imports and the configuration of the linter and buf, and nothing that clients or databases see.
// Run it at the top of the working copy, and generate code after it.
package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// accepted is a path that can be fetched: its first part is a host.
var accepted = regexp.MustCompile(`^[a-z0-9-]+(\.[a-z0-9-]+)+(/[A-Za-z0-9._~-]+)+$`)

func main() {
	if err := run(os.Args[1:]); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "rename:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 || !accepted.MatchString(args[0]) {
		return fmt.Errorf("%q is not a module path; accepted is one such as example.com/team/chatfeed", strings.Join(args, " "))
	}
	goMod, err := os.ReadFile("go.mod")
	if err != nil {
		return fmt.Errorf("run it at the top of the working copy: %w", err)
	}
	found := regexp.MustCompile(`(?m)^module (\S+)$`).FindSubmatch(goMod)
	if found == nil {
		return errors.New("go.mod: there is no module line")
	}
	return rename(string(found[1]), args[0])
}

// rename replaces the path in every file of the working copy that has it.
func rename(from, to string) error {
	return filepath.WalkDir(".", func(file string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == "node_modules" || file != "." && strings.HasPrefix(entry.Name(), ".")):
			return fs.SkipDir
		case entry.IsDir():
			return nil
		}
		where := mentions(file, regexp.QuoteMeta(from))
		if where == nil {
			return nil
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		renamed := where.ReplaceAll(text, []byte("${1}"+to+"${2}"))
		if string(renamed) == string(text) {
			return nil
		}
		return os.WriteFile(file, renamed, info.Mode())
	})
}

// mentions finds the module's path in a file, between two groups that are kept. In Go files it matches only at the start of a
// string and not after an escape, so that descriptors in generated code are not changed: they have the lengths of their strings,
// and such a length may itself be a quote.
func mentions(file, path string) *regexp.Regexp {
	switch name := filepath.Base(file); {
	case strings.HasSuffix(name, ".go"):
		return regexp.MustCompile(`((?m:^|[^\\])")` + path + `(/(?:activities|cmd|db|feed|internal|migrations|rpc|web)\b)`)
	case name == "go.mod":
		return regexp.MustCompile(`(?m)(^(?:module |replace |require )?\t?)` + path + `((?:/\S+)?(?: |$))`)
	case name == ".golangci.yml":
		return regexp.MustCompile(`(pkg: |, |module-path: |prefix\()` + path + `([/,)\s])`)
	case name == "buf.gen.yaml":
		return regexp.MustCompile(`(module=|value: )` + path + `(/)`)
	}
	return nil
}
