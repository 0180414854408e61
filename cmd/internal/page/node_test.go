package page

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// browser is a program in Node that has pages open. It is talked to in lines.
type browser struct {
	t     *testing.T
	input io.WriteCloser
	lines *bufio.Reader
}

func startBrowser(t *testing.T, arguments ...string) *browser {
	t.Helper()
	folder := "../../../web/page"
	_, err := os.Stat(folder + "/node_modules/playwright-core")
	require.NoError(t, err, "the packages are missing: run just page")
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	command := exec.CommandContext(ctx, "node", arguments...)
	command.Dir = folder
	command.Stderr = os.Stderr
	input, err := command.StdinPipe()
	require.NoError(t, err)
	output, err := command.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, command.Start())
	t.Cleanup(func() {
		_ = input.Close()
		if t.Failed() {
			cancel()
		}
		err := command.Wait()
		cancel()
		if !t.Failed() {
			require.NoError(t, err)
		}
	})
	return &browser{t, input, bufio.NewReader(output)}
}

// say writes a line to the program.
func (b *browser) say(line string) {
	b.t.Helper()
	_, err := fmt.Fprintln(b.input, line)
	require.NoError(b.t, err)
}

// line returns the next line of the program.
func (b *browser) line() string {
	b.t.Helper()
	line, err := b.lines.ReadString('\n')
	require.NoError(b.t, err, "%s", line)
	return strings.TrimSpace(line)
}
