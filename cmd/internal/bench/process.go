package bench

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Process is a program in a process of its own, so that its resource usage can be separated from that of the load.
type Process struct {
	URL string // of its server

	cmd        *exec.Cmd
	last       logLine // the last line that it logged
	ended      logLine // what it logged when it had stopped
	firstError string  // the first line that is not a log record: an invalid flag, or a panic
	exited     chan struct{}
	err        error // of the process; set when exited is closed
}

// logLine is the fields of the programs' JSON log that benchmarks use.
type logLine struct {
	Message    string `json:"msg"`
	Address    string `json:"address"`
	TopicReads int    `json:"topic_reads"`
	PageReads  int    `json:"page_reads"`
}

// Start runs this program with a command of its own and returns when it serves. The caller must Stop or Kill it; it is
// killed when ctx ends.
func (l *Lab) Start(ctx context.Context, args ...string) (*Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	p := &Process{exited: make(chan struct{})}
	p.cmd = exec.CommandContext(ctx, self, append([]string{"--log-format=json"}, args...)...)
	p.cmd.Env = append(os.Environ(), l.Env...)
	logged, err := p.cmd.StderrPipe()
	if err != nil {
		return nil, fmt.Errorf("run %s: %w", args[0], err)
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("run %s: %w", args[0], err)
	}
	serving := make(chan string, 1)
	go func() {
		defer close(p.exited)
		p.read(logged, serving)
		p.err = p.cmd.Wait()
	}()
	select {
	case address := <-serving:
		p.URL = "http://" + address
	case <-p.exited:
		return nil, fmt.Errorf("%s does not serve: %w: %s", args[0], p.err, p.exitReason())
	}
	if err := p.awaitReady(ctx); err != nil {
		p.Kill()
		return nil, fmt.Errorf("%s is not ready: %w", args[0], err)
	}
	return p, nil
}

// Serve runs a feed server on the lab's database. Its heartbeats are too rare to affect measurements.
func (l *Lab) Serve(ctx context.Context, flags ...string) (*Process, error) {
	return l.Start(ctx, append([]string{
		"serve", "--no-chat", "--listen=127.0.0.1:0", "--heartbeat=10m", "--database-url=" + l.DatabaseURL,
	}, flags...)...)
}

func (p *Process) read(logged io.Reader, serving chan<- string) {
	lines := bufio.NewScanner(logged)
	for lines.Scan() {
		var line logLine
		if json.Unmarshal(lines.Bytes(), &line) != nil {
			p.firstError = cmp.Or(p.firstError, lines.Text())
			continue
		}
		p.last = line
		switch line.Message {
		case "serving":
			serving <- line.Address
		case "stopped":
			p.ended = line
		}
	}
	_, _ = io.Copy(io.Discard, logged) // a line was too long for the scanner
}

// exitReason returns what a process logged last before it ended.
func (p *Process) exitReason() string { return cmp.Or(p.firstError, p.last.Message) }

func (p *Process) awaitReady(ctx context.Context) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.URL+"/readyz", nil)
		if err != nil {
			return err
		}
		request.Close = true
		if response, err := http.DefaultClient.Do(request); err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-p.exited:
			return errors.New("it has ended")
		case <-tick.C:
		}
	}
}

// Queries is how many queries for items a feed server made in total.
type Queries struct{ Topics, Pages int }

// Stop asks the process to end and waits until it has. For a feed server it returns the number of queries.
func (p *Process) Stop() (Queries, error) {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return Queries{}, fmt.Errorf("stop a program: %w", err)
	}
	<-p.exited
	if p.err != nil {
		return Queries{}, fmt.Errorf("a program failed: %w: %s", p.err, p.exitReason())
	}
	return Queries{p.ended.TopicReads, p.ended.PageReads}, nil
}

// Kill ends the process at once.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.exited
}

// CPU returns the processor time that the process has used, in steps of 10 ms. It needs Linux.
func (p *Process) CPU() (time.Duration, error) { return CPU(p.cmd.Process.Pid) }

// CPU returns the processor time that a process has used, in steps of 10 ms. It needs Linux.
func CPU(pid int) (time.Duration, error) {
	stat, err := proc(pid, "stat")
	if err != nil {
		return 0, err
	}
	// The second field is the program's name in parentheses and may hold anything; utime and stime are the 14th and 15th,
	// in ticks, of which Linux has 100 a second: proc(5).
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) < 13 {
		return 0, fmt.Errorf("read the processor time: %q is not as proc(5) has it", stat)
	}
	user, userErr := strconv.Atoi(fields[11])
	system, systemErr := strconv.Atoi(fields[12])
	if err := errors.Join(userErr, systemErr); err != nil {
		return 0, fmt.Errorf("read the processor time: %w", err)
	}
	return time.Duration(user+system) * 10 * time.Millisecond, nil
}

// Resident returns how much memory the process holds, in KiB. It needs Linux.
func (p *Process) Resident() (int, error) {
	status, err := proc(p.cmd.Process.Pid, "status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(status) {
		if size, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			return strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(size), " kB"))
		}
	}
	return 0, errors.New("read the memory of a process: it has ended")
}

func proc(pid int, name string) (string, error) {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), name))
	if err != nil {
		return "", fmt.Errorf("measure a process, which needs Linux: %w", err)
	}
	return string(text), nil
}
