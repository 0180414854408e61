// Package compile builds programs of this repository and reports progress. It imports little, because it is compiled before
// it can report anything.
package compile

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
	"sync"

	"chatfeed/cmd/dev/internal/child"
)

// Program builds the package to a file, which is not changed if it is current. It calls progress, from one goroutine at a time,
// with how many packages have been begun, and an upper bound of their number: packages that are compiled already do not count,
// and are not known in advance. Beside is the package of a program that runs meanwhile and takes priority; its packages are
// compiled already. It is empty if someone waits for the build. An error includes the compiler's output.
func Program(ctx context.Context, pkg, file, beside string, progress func(begun, most int)) error {
	all, err := packages(ctx, pkg)
	if err != nil {
		return fmt.Errorf("compile %s: %w", pkg, err)
	}
	command := []string{"go", "build", "-v", "-o", file, pkg}
	if beside != "" {
		compiled, err := packages(ctx, beside)
		if err != nil {
			return fmt.Errorf("compile %s: %w", pkg, err)
		}
		for name := range compiled {
			delete(all, name)
		}
		command = append([]string{"nice", "-n", "5"}, command...)
	}
	out := &output{packages: all, most: len(all), progress: progress}
	err = child.Run(ctx, out, out, command...)
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("compile %s: %w\n%s", pkg, err, out.said.String())
	}
	return err
}

// packages returns the packages of a program.
func packages(ctx context.Context, program string) (map[string]bool, error) {
	found := make(map[string]bool)
	cmd := exec.CommandContext(ctx, "go", "list", "-deps", program)
	said := new(bytes.Buffer)
	cmd.Stderr = said
	listed, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("list its packages: %w\n%s", err, said)
	}
	for name := range strings.Lines(string(listed)) {
		found[strings.TrimSpace(name)] = true
	}
	return found, nil
}

// output reads the compiler's output: with -v, a line with the name of each package that it begins.
type output struct {
	packages map[string]bool
	most     int
	progress func(begun, most int)

	mu    sync.Mutex
	rest  []byte
	begun int
	said  strings.Builder // all other lines
}

// Write implements [io.Writer].
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.rest = append(o.rest, p...)
	for {
		line, rest, whole := bytes.Cut(o.rest, []byte("\n"))
		if !whole {
			return len(p), nil
		}
		o.rest = rest
		if !o.packages[string(line)] {
			o.said.Write(append(line, '\n'))
			continue
		}
		o.begun++
		o.progress(o.begun, o.most)
	}
}
