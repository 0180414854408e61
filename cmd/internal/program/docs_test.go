package program_test

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"chatfeed/cmd/internal/program"
	"chatfeed/db"
	"chatfeed/internal/dbtest"
)

// shown is a command of the docs and the lines that it prints, of which the docs may leave some out.
type shown struct{ file, command, output string }

// commands returns the curl commands of a document.
func commands(t *testing.T, file string) []shown {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../../docs", file))
	require.NoError(t, err)
	var all []shown
	for _, block := range regexp.MustCompile("(?ms)^ *```\n *\\$ (.*?)^ *```$").FindAllStringSubmatch(string(text), -1) {
		lines := strings.Split(strings.TrimSpace(block[1]), "\n")
		n := 1
		for n < len(lines) && (strings.HasSuffix(lines[n-1], "\\") || strings.Count(strings.Join(lines[:n], ""), "'")%2 == 1) {
			n++
		}
		command := strings.Join(lines[:n], "\n")
		if strings.Contains(command, "curl ") {
			all = append(all, shown{file, command, strings.Join(lines[n:], "\n")})
		}
	}
	return all
}

// varying is what differs from run to run: times, as numbers, texts and offsets, and the ids of events.
var varying = regexp.MustCompile(`\b1[0-9]{9}(\\\.[0-9]+)?\b|\b000[0-9]{16}\b|\b20\d\d-\d\d-\d\dT[0-9:\\.]+Z|\bp[0-9A-Za-z_-]{20,}`)

// pattern matches what a line of the docs stands for, without its spaces: three dots are anything.
func pattern(line string) *regexp.Regexp {
	text := varying.ReplaceAllString(regexp.QuoteMeta(strings.ReplaceAll(line, " ", "")), `[0-9A-Za-z_.:-]+`)
	return regexp.MustCompile(strings.ReplaceAll(text, `\.\.\.`, `.*`))
}

func TestTheDocumentedCommandsAnswerAsDocumented(t *testing.T) {
	t.Parallel()
	address := dbtest.URL(t)
	pool, err := db.Open(t.Context(), address)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	server := serve(t, address, func(c *program.Serve) { c.LegacyEndpoints = true })
	require.NoError(t, pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		_, err := db.Append(t.Context(), tx,
			db.Log{WorkflowID: "wf_1", ID: "log_1", Level: "info", Message: "Reading a message of 77 bytes."},
			db.Message{WorkflowID: "wf_1", ID: "msg_2", Message: "by hand", Role: "psql"},
			db.Log{WorkflowID: "wf_0", ID: "log_1", Level: "info", Message: "Reading a message of 77 bytes."},
			db.Progress{WorkflowID: "wf_0", ID: "end", Progress: 100, Status: "done", Final: true})
		return err
	}))
	count := map[string]int{}
	for _, file := range []string{"protocol.md", "migrating-from-polling.md", "clients.md"} {
		for _, c := range commands(t, file) {
			count[file]++
			if file == "clients.md" { // which records, and would change what the others read
				c.command = strings.ReplaceAll(c.command, "wf_1", "wf_3")
			}
			requirePrints(t, c, strings.ReplaceAll(c.command, "http://127.0.0.1:8080", server))
		}
	}
	require.Equal(t, map[string]int{"protocol.md": 9, "migrating-from-polling.md": 2, "clients.md": 1}, count)
}

// requirePrints runs a command until it has printed the lines that are shown.
func requirePrints(t *testing.T, c shown, command string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-c", command)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that all programs of a pipe are ended
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	end := func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	defer func() { end(); _ = cmd.Wait() }()
	late := time.AfterFunc(30*time.Second, end)
	defer late.Stop()
	var printed strings.Builder
	reader := bufio.NewReader(out)
	for line := range strings.SplitSeq(c.output, "\n") {
		want := pattern(line)
		for begin := printed.Len(); !want.MatchString(printed.String()[begin:]); {
			b, err := reader.ReadByte()
			require.NoError(t, err, "%s: %s\nhas printed\n%s\nand not %s", c.file, c.command, printed.String(), line)
			if b != ' ' { // protobuf's JSON has more or fewer of them in each build
				printed.WriteByte(b)
			}
		}
	}
}
