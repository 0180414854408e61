//go:build !linux

package embedded

import (
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// children returns the processes whose parent is pid and that have not ended.
func children(pid int) []int {
	list, err := exec.Command("ps", "-A", "-o", "pid=,ppid=,stat=").Output()
	if err != nil {
		return nil
	}
	var found []int
	for line := range strings.Lines(string(list)) {
		fields := strings.Fields(line)
		if len(fields) < 3 || fields[1] != strconv.Itoa(pid) || strings.HasPrefix(fields[2], "Z") {
			continue
		}
		if child, err := strconv.Atoi(fields[0]); err == nil {
			found = append(found, child)
		}
	}
	return found
}

// running reports whether the process exists and has not ended; a zombie has ended.
func running(pid int) bool {
	state, err := exec.Command("ps", "-p", strconv.Itoa(pid), "-o", "stat=").Output()
	return err == nil && !strings.HasPrefix(strings.TrimSpace(string(state)), "Z")
}

// serves reports whether the process may be a PostgreSQL server on the data directory. A server whose command does not name
// the directory counts as one.
func serves(pid int, data string) bool {
	command, err := exec.Command("ps", "-ww", "-p", strconv.Itoa(pid), "-o", "command=").Output()
	if err != nil {
		return false
	}
	program, rest, _ := strings.Cut(strings.TrimSpace(string(command)), " ")
	name := strings.TrimSuffix(filepath.Base(program), ":")
	if name != "postgres" && name != "postmaster" {
		return false
	}
	return !strings.Contains(rest, "-D") || strings.Contains(rest, data)
}
