// Package compile builds programs of this repository and says how far it is. It imports little, because it is compiled
// before it can say anything.
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

// Program builds the package to a file, which is left alone where it is current. It calls progress, from one goroutine at a
// time, with how many packages have been begun, and of how many at the most: those that are compiled already do not count,
// and which these are is not known before. The packages of the programs in known are taken to be compiled. An error has
// what the compiler said.
func Program(ctx context.Context, pkg, file string, known []string, progress func(begun, most int)) error {
	all, err := packages(ctx, pkg)
	if err != nil {
		return fmt.Errorf("compile %s: %w", pkg, err)
	}
	compiled, err := packages(ctx, known...)
	if err != nil {
		return fmt.Errorf("compile %s: %w", pkg, err)
	}
	for name := range compiled {
		delete(all, name)
	}
	out := &output{packages: all, most: len(all), progress: progress}
	err = child.Run(ctx, nil, out, out, "nice", "-n", "5", "go", "build", "-v", "-o", file, pkg)
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("compile %s: %w\n%s", pkg, err, out.said.String())
	}
	return err
}

// packages is what the programs consist of.
func packages(ctx context.Context, programs ...string) (map[string]bool, error) {
	found := make(map[string]bool)
	if len(programs) == 0 {
		return found, nil
	}
	cmd := exec.CommandContext(ctx, "go", append([]string{"list", "-deps"}, programs...)...)
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

// output reads what the compiler says: with -v, a line with the name of each package that it begins.
type output struct {
	packages map[string]bool
	most     int
	progress func(begun, most int)

	mu    sync.Mutex
	rest  []byte
	begun int
	said  strings.Builder // all that is no name
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
