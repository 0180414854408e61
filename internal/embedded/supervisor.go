package embedded

import (
	"bufio"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// script is the supervisor. It reads commands from file 3, the lifeline, whose other end only this process holds, and runs
// them one after the other; it reports "pid N" and "end STATUS" on file 4, and before the latter writes the line $2 to the
// log, so that the reader knows how far it has read. While a command runs, a watcher waits for the lifeline to close, and
// then stops the command: first gently, more forcefully after 10 s and 15 s. After the lifeline has closed, the temporary
// directory $1 is removed. It ignores SIGPIPE, to finish even if nobody reads its output; it ignores only signals
// for which PostgreSQL's programs install their own handlers.
const script = `
trap '' HUP INT TERM PIPE
exec 5>&2 2>/dev/null
while IFS= read -r command <&3; do
	eval "exec $command" </dev/null >&5 2>&5 3<&- 4>&- 5>&- &
	pid=$!
	echo "pid $pid" >&4
	{
		exec 4>&- 5>&- >/dev/null
		read -r _ <&3
		kill -INT "$pid"
		seconds=0
		while sleep 1 && kill -0 "$pid"; do
			seconds=$((seconds + 1))
			[ "$seconds" -ne 10 ] || kill -QUIT "$pid"
			[ "$seconds" -lt 15 ] || kill -KILL "$pid"
		done
	} &
	watcher=$!
	wait "$pid"
	status=$?
	kill -KILL "$watcher"
	wait "$watcher"
	echo "$2" >&5
	echo "end $status" >&4
done
[ -n "$1" ] || exit 0
for attempt in 1 2 3 4 5 6 7 8 9 10; do
	rm -rf -- "$1" && break
	sleep 1
done
exit 0
`

// supervisor is the shell that runs the script. Commands run one at a time.
type supervisor struct {
	cmd      *exec.Cmd
	lifeline *os.File // the write end; close-on-exec, so that no other child keeps it open
	log      *tail
	started  chan *process
	ended    chan struct{} // closed when the shell has ended
	err      error         // of the shell; valid once ended is closed
	mark     string        // the line that the shell writes to the log at the end of a command
	marked   chan struct{} // receives when that has been read
	logged   chan struct{} // closed when the log has been read to its end
	logs     *os.File
	closing  sync.Once
}

// process is one command under the supervisor.
type process struct {
	pid      int
	expected atomic.Bool   // it was asked to end
	done     chan struct{} // closed when it has ended
	status   int           // from the shell, valid once done is closed; lost if the supervisor was killed
}

const lost = -1

// supervise starts a supervisor. It ends, with its command, when it is closed or this process ends.
func supervise(who account, temporary string, log *tail) (*supervisor, error) {
	var ours, theirs [3]*os.File // lifeline, reports, log
	fail := func(err error) (*supervisor, error) {
		for _, file := range append(ours[:], theirs[:]...) {
			if file != nil {
				_ = file.Close()
			}
		}
		return nil, fmt.Errorf("supervisor: %w", err)
	}
	var err error
	if theirs[0], ours[0], err = os.Pipe(); err != nil {
		return fail(err)
	}
	if ours[1], theirs[1], err = os.Pipe(); err != nil {
		return fail(err)
	}
	if ours[2], theirs[2], err = os.Pipe(); err != nil {
		return fail(err)
	}
	mark := "postgres-supervisor-" + rand.Text()
	cmd := exec.Command("/bin/sh", "-c", script, "postgres-supervisor", temporary, mark)
	cmd.Dir = "/"
	cmd.Env = environment()
	cmd.Stdout, cmd.Stderr = theirs[2], theirs[2]
	cmd.ExtraFiles = []*os.File{theirs[0], theirs[1]}
	cmd.SysProcAttr = who.attributes()
	cmd.SysProcAttr.Setsid = true
	if err := cmd.Start(); err != nil {
		return fail(err)
	}
	for _, file := range theirs {
		_ = file.Close()
	}
	v := &supervisor{
		cmd: cmd, lifeline: ours[0], logs: ours[2], log: log,
		started: make(chan *process, 1), ended: make(chan struct{}),
		mark: mark, marked: make(chan struct{}, 1), logged: make(chan struct{}),
	}
	go v.follow(ours[1])
	go v.record()
	return v, nil
}

// environment is that of this process without variables that would change the server's behaviour.
func environment() []string {
	var kept []string
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, "PG") && !strings.HasPrefix(name, "LC_") && name != "LANG" && name != "TZ" {
			kept = append(kept, entry)
		}
	}
	return append(kept, "LC_ALL=C", "TZ=UTC")
}

// follow reads the reports until the shell ends.
func (v *supervisor) follow(reports *os.File) {
	defer close(v.ended)
	var current *process
	lines := bufio.NewScanner(reports)
	for lines.Scan() {
		word, figure, _ := strings.Cut(lines.Text(), " ")
		number, _ := strconv.Atoi(figure)
		switch {
		case word == "pid":
			current = &process{pid: number, done: make(chan struct{})}
			v.started <- current
		case word == "end" && current != nil:
			select {
			case <-v.marked:
			case <-v.logged:
			}
			current.status = number
			close(current.done)
			current = nil
		}
	}
	_ = reports.Close()
	v.err = v.cmd.Wait()
	if current != nil { // the shell was killed, so its command must be ended here
		_ = crash(current.pid)
		current.status = lost
		close(current.done)
	}
}

// record reads the log until all who write to it have ended.
func (v *supervisor) record() {
	defer close(v.logged)
	defer func() { _ = v.logs.Close() }()
	lines := bufio.NewReader(v.logs)
	for {
		line, err := lines.ReadString('\n')
		line, marked := strings.CutSuffix(line, v.mark+"\n")
		v.log.add(line)
		if marked {
			v.marked <- struct{}{}
		}
		if err != nil {
			return
		}
	}
}

// run starts a command; the one before must have ended.
func (v *supervisor) run(command []string) (*process, error) {
	v.log.forget()
	if _, err := io.WriteString(v.lifeline, shellLine(command)+"\n"); err != nil {
		return nil, fmt.Errorf("supervisor: %w", err)
	}
	select {
	case p := <-v.started:
		return p, nil
	case <-v.ended:
		return nil, errors.New("supervisor: the shell ended")
	}
}

// close closes the lifeline and waits until the shell has ended.
func (v *supervisor) close() error {
	v.closing.Do(func() {
		_ = v.lifeline.Close()
		<-v.ended
		// A program that the server started and that is still running may hold the log open.
		_ = v.logs.SetReadDeadline(time.Now().Add(2 * time.Second))
		<-v.logged
	})
	if v.err != nil {
		return fmt.Errorf("supervisor: %w", v.err)
	}
	return nil
}

// end makes the process end in the given way; it does not wait.
func (p *process) end(how Shutdown) error {
	select {
	case <-p.done:
		return nil
	default:
	}
	var err error
	switch how {
	case Fast:
		err = syscall.Kill(p.pid, syscall.SIGINT)
	case Immediate:
		err = syscall.Kill(p.pid, syscall.SIGQUIT)
	case Kill:
		err = crash(p.pid)
	default:
		return fmt.Errorf("unknown shutdown %d", how)
	}
	if errors.Is(err, syscall.ESRCH) { // it has just ended
		return nil
	}
	return err
}

// crash kills a server and each of its processes, as in a power failure. The server is stopped first, so
// that it starts no other while its children die.
func crash(pid int) error {
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		return err
	}
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for range 5000 {
		alive := children(pid)
		if len(alive) == 0 {
			break
		}
		for _, child := range alive {
			_ = syscall.Kill(child, syscall.SIGKILL)
		}
		<-poll.C
	}
	return syscall.Kill(pid, syscall.SIGKILL)
}

// shellLine quotes a command for the shell.
func shellLine(command []string) string {
	quoted := make([]string, len(command))
	for i, word := range command {
		quoted[i] = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
	}
	return strings.Join(quoted, " ")
}
