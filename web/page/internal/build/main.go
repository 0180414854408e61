// Command build makes the page: it bundles the scripts and styles in src and writes them to a folder, with names that contain a
// hash of the content. With -stories it makes the test-only page that shows each state from a script, too, and with -tests the
// bundles of the tests for Node.
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/evanw/esbuild/pkg/api"
)

func main() {
	out := flag.String("out", "dist", "`folder` to write the page to; what is in it is removed")
	stories := flag.Bool("stories", false, "make the page of the scripted states instead")
	tests := flag.String("tests", "", "`folder` to write the bundles of the tests to, instead of a page")
	flag.Parse()
	if err := run(*out, *stories, *tests); err != nil {
		fmt.Fprintln(os.Stderr, "build:", err)
		os.Exit(1)
	}
}

func run(out string, stories bool, tests string) error {
	if tests != "" {
		return bundleTests(tests)
	}
	if err := os.RemoveAll(out); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(out, "assets"), 0o755); err != nil {
		return err
	}
	script := "src/main.tsx"
	if stories {
		script = "stories/main.tsx"
	}
	html, err := os.ReadFile("src/index.html")
	if err != nil {
		return err
	}
	for name, source := range map[string]string{"main.js": script, "main.css": "src/style/page.css", "icon.svg": "src/icon.svg"} {
		content, err := bundle(source)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(content)
		base, extension, _ := strings.Cut(name, ".")
		hashed := base + "-" + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:])[:10]) + "." + extension
		html = bytes.ReplaceAll(html, []byte("{{"+name+"}}"), []byte(hashed))
		if err := write(filepath.Join(out, "assets", hashed), content); err != nil {
			return err
		}
	}
	return write(filepath.Join(out, "index.html"), html)
}

// options are what all bundles have in common. The client is bundled from its source. The page tells the path of this program's module.
func options() api.BuildOptions {
	built, _ := debug.ReadBuildInfo()
	return api.BuildOptions{
		Define:            map[string]string{"goModule": strconv.Quote(built.Main.Path)},
		Bundle:            true,
		Format:            api.FormatESModule,
		Target:            api.ES2022,
		Charset:           api.CharsetUTF8,
		LegalComments:     api.LegalCommentsNone,
		MinifyWhitespace:  true,
		MinifySyntax:      true,
		MinifyIdentifiers: true,
		JSX:               api.JSXAutomatic,
		JSXImportSource:   "preact",
		Alias:             map[string]string{"@chatfeed/client": "../client/src/index.ts"},
		LogLevel:          api.LogLevelWarning,
	}
}

// bundle returns the content of a file, which for scripts and styles includes what they import.
func bundle(source string) ([]byte, error) {
	if filepath.Ext(source) == ".svg" {
		return os.ReadFile(source)
	}
	o := options()
	o.EntryPoints = []string{source}
	result := api.Build(o)
	if len(result.Errors) > 0 {
		return nil, errors.New("esbuild has failed")
	}
	return result.OutputFiles[0].Contents, nil
}

// bundleTests bundles each test for Node.
func bundleTests(out string) error {
	tests, err := filepath.Glob("test/*.test.ts")
	if err != nil {
		return err
	}
	o := options()
	o.EntryPoints = tests
	o.Outdir = out
	o.OutExtension = map[string]string{".js": ".mjs"}
	o.Platform = api.PlatformNode
	o.MinifyWhitespace, o.MinifyIdentifiers = false, false
	o.Write = true
	if len(api.Build(o).Errors) > 0 {
		return errors.New("esbuild has failed")
	}
	return nil
}

func write(name string, content []byte) error {
	return os.WriteFile(name, content, 0o644) //nolint:gosec // everyone may read the page
}
