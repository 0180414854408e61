package embedded

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// children returns the processes whose parent is pid and that have not ended.
func children(pid int) []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var found []int
	for _, entry := range entries {
		child, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		if _, parent := stateOf(child); parent == pid && running(child) {
			found = append(found, child)
		}
	}
	return found
}

// stateOf reads the state of a process and its parent; zero when there is no such process.
func stateOf(pid int) (state byte, parent int) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0
	}
	// The name, in parentheses, may hold anything; the fields follow the last one.
	text := string(stat)
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	if len(fields) < 2 {
		return 0, 0
	}
	parent, _ = strconv.Atoi(fields[1])
	return fields[0][0], parent
}

// running reports whether the process exists and has not ended; a zombie has ended.
func running(pid int) bool {
	state, _ := stateOf(pid)
	return state != 0 && state != 'Z' && state != 'X'
}

// serves reports whether the process is a PostgreSQL server on the data directory, which is then its working directory.
func serves(pid int, data string) bool {
	if !running(pid) {
		return false
	}
	folder, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid))
	if err != nil {
		return false // it has ended, or belongs to another user, who cannot own this data
	}
	if resolved, err := filepath.EvalSymlinks(data); err == nil {
		data = resolved
	}
	return folder == data
}
