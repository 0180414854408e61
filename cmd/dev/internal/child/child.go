// Package child runs programs that end with the process that started them, even if that is killed. It imports little, because
// the program that compiles all others imports it.
package child

import (
	"context"
	"io"
	"os"
	"os/exec"
	"syscall"
)

// script runs the program "$@" and waits for it. File 3 is the lifeline, whose other end only the starting process holds:
// when it closes, the script's whole session is asked to end, and the program is killed if it has not ended after 20 s. The
// script itself ignores that signal, so that it ends last; the program is started before, and so does not ignore it.
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

// Run runs a program until it ends. It is asked to end when ctx or this process ends, and Run returns when it has ended. It
// is in a session of its own, and so does not receive Ctrl-C. nil writers discard the output. A nil error is exit code 0.
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
