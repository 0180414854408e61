// Package child runs programs that end with the process which has started them, also when that is killed. It imports
// little, because the program that compiles all others does.
package child

import (
	"context"
	"io"
	"os"
	"os/exec"
	"syscall"
)

// script runs the program "$@" and waits for it. File 3 is the lifeline, whose other end only the starting process holds:
// when it closes, all of the script's session is asked to end, and the program is killed when it has not after 20 s. The
// script is deaf to that signal itself, so that it ends last; the program is started before, and so is not.
const script = `
"$@" </dev/null 3<&- &
pid=$!
trap '' TERM
{
	read -r _ <&3
	kill -TERM 0
	seconds=0
	while [ "$seconds" -lt 20 ] && kill -0 "$pid"; do
		sleep 1
		seconds=$((seconds + 1))
	done
	kill -KILL "$pid"
} >/dev/null 2>&1 &
watcher=$!
wait "$pid"
status=$?
kill -KILL "$watcher"
exit "$status"
`

// Run runs a program until it ends. It is asked to end when ctx ends or this process does, and Run returns when it has. It
// is in a session of its own, and so hears no Ctrl-C. Where it writes to is nil for nowhere. A nil error is exit code 0.
func Run(ctx context.Context, stdout, stderr io.Writer, program ...string) error {
	theirs, ours, err := os.Pipe()
	if err != nil {
		return err
	}
	cmd := exec.Command("/bin/sh", append([]string{"-c", script, "child"}, program...)...)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	_ = theirs.Close()
	if err != nil {
		_ = ours.Close()
		return err
	}
	unbind := context.AfterFunc(ctx, func() { _ = ours.Close() })
	err = cmd.Wait()
	if unbind() {
		_ = ours.Close()
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
