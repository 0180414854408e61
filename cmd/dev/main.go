// Command dev runs all of chatfeed on one machine, with only Go installed (and Node, if PostgreSQL is not):
// PostgreSQL, a Temporal dev server, the schema, the feed server, the activities and a demo workflow.
//
// It imports very little, so that it starts at once. It compiles the program that does the work, shows the progress, and
// replaces itself with that program (exec). So that program ends with the process that started this one.
package main

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"chatfeed/cmd/dev/internal/compile"
	"chatfeed/cmd/dev/internal/parent"
)

const program = "chatfeed/cmd/dev/stack"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithCancel(ctx)
	_ = os.Setenv(parent.Env, strconv.Itoa(os.Getppid()))
	go parent.Watch(ctx, cancel)
	file, err := build(ctx)
	interrupted := ctx.Err() != nil
	cancel()
	stop()
	switch {
	case interrupted:
		return
	case err == nil:
		err = syscall.Exec(file, os.Args, os.Environ()) //nolint:gosec // it is the program that was just compiled
	}
	_, _ = fmt.Fprintln(os.Stderr, "dev:", err)
	os.Exit(1)
}

// build compiles the program into the folder for this working copy's programs, and returns its file.
func build(ctx context.Context) (string, error) {
	_, _ = fmt.Fprintln(os.Stderr, "compiling chatfeed (the first time takes a minute or two) ...")
	workspace, err := exec.CommandContext(ctx, "go", "env", "GOWORK").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOWORK: %w", err)
	}
	if strings.TrimSpace(string(workspace)) == "" {
		return "", errors.New("there is no go.work here; run it in a working copy of chatfeed")
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	name := fnv.New64a()
	_, _ = name.Write(workspace)
	file := filepath.Join(cache, "chatfeed", strconv.FormatUint(name.Sum64(), 36), "stack")
	last := time.Now()
	return file, compile.Program(ctx, program, file, "", func(begun, most int) {
		if time.Since(last) > 5*time.Second {
			last = time.Now()
			_, _ = fmt.Fprintf(os.Stderr, "compiling chatfeed: package %d of at most %d\n", begun, most)
		}
	})
}
