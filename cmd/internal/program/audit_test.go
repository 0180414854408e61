package program_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"chatfeed/cmd/internal/audit"
	"chatfeed/cmd/internal/program"
	"chatfeed/db"
	"chatfeed/internal/dbtest"
)

// auditCommand runs chatfeed audit until it ends.
func auditCommand(t *testing.T, args ...string) (exitCode int, out, problems string) {
	t.Helper()
	cmd := command(t, append([]string{"audit", "--log-level", "error"}, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if failed := new(exec.ExitError); !errors.As(err, &failed) {
		require.NoError(t, err)
	}
	return cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()
}

func TestAuditOfACorrectServerExitsWithZero(t *testing.T) {
	t.Parallel()
	database := dbtest.URL(t)
	server := serve(t, database)
	code, out, problems := auditCommand(t, "--server", server, "--database-url", database, "--write", "200", "--workflows", "3")
	require.Zero(t, code, problems)
	replaced := regexp.MustCompile(`\n200 items were written by the audit; (\d+) deltas? were replaced by their messages.\n`).FindStringSubmatch(out)
	require.NotNil(t, replaced, out)
	n, err := strconv.Atoi(replaced[1])
	require.NoError(t, err)
	require.Contains(t, out, fmt.Sprintf("The table has %d items of 3 workflows (audit_", 200-n))
	require.Regexp(t, fmt.Sprintf(`\nREST long poll over HTTP/1.1 +3 clients, \d+ delivered, %d compared, \d+ replaced\n`, 200-n), out)
	require.Contains(t, out, "Every client received every item of the table, once and in order, and shows what the table's items show.\n")
	require.Empty(t, problems)

	code, out, problems = auditCommand(t, "--server", server+"/", "--database-url", database, "--write", "50", "--workflows", "1",
		"--streams", "3", "--transport", "rest", "--transport", "gRPC-Web", "--rate", "1000", "--json")
	require.Zero(t, code, problems)
	var report audit.Report
	require.NoError(t, json.Unmarshal([]byte(out), &report))
	items := 50 - report.Replaced
	coverage := func(name string, replaced int) audit.Coverage {
		return audit.Coverage{Name: name, Clients: 3, Delivered: 3*items + replaced, Compared: 3 * items, Replaced: replaced}
	}
	first, second := report.Transports[0].Replaced, report.Transports[1].Replaced
	require.Equal(t, audit.Report{
		Progress: audit.Progress{Written: 50, Delivered: 6*items + first + second, Streams: 6}, Items: items, Replaced: 50 - items,
		Clients: 6, Findings: []audit.Finding{},
		Transports: []audit.Coverage{coverage("gRPC-Web over HTTP/1.1", first), coverage("REST long poll over HTTP/1.1", second)},
	}, report)
	require.Equal(t, 1, strings.Count(out, "\n"))
}

func TestAuditPrintsEachFindingAndExitsWithOne(t *testing.T) {
	t.Parallel()
	database := dbtest.URL(t)
	server := altering(t, serve(t, database), "text 7", "text 8")
	stamps := writeTexts(t, database, "wf_1", 10)
	args := []string{"wf_1", "--server", server, "--database-url", database, "--for", "1s"}
	code, out, problems := auditCommand(t, args...)
	require.Equal(t, 1, code)
	require.Equal(t, "chatfeed: 1 finding\n", problems)
	require.Contains(t, out, `different  workflow "wf_1", log "item_7", createdAt `+stamps[7]+
		", client 0 of REST long poll over HTTP/1.1, after "+stamps[6]+"\n")
	require.NotContains(t, out, "Every client")

	code, out, problems = auditCommand(t, append(args, "--json")...)
	require.Equal(t, 1, code)
	require.Equal(t, "chatfeed: 1 finding\n", problems)
	var report audit.Report
	require.NoError(t, json.Unmarshal([]byte(out), &report))
	require.Equal(t, []audit.Finding{{
		Kind: audit.Different, Transport: "REST long poll over HTTP/1.1", Workflow: "wf_1", Type: "log", ID: "item_7",
		CreatedAt: stamps[7], Cursor: stamps[6],
	}}, report.Findings)
}

func TestAuditPrintsAHundredFindingsAndHowManyMore(t *testing.T) {
	t.Parallel()
	database := dbtest.URL(t)
	server := altering(t, serve(t, database), `"level": "info"`, `"level": "warn"`)
	writeTexts(t, database, "wf_1", 130)
	code, out, problems := auditCommand(t, "wf_1", "--server", server, "--database-url", database, "--for", "1s")
	require.Equal(t, 1, code)
	require.Equal(t, "chatfeed: 130 findings\n", problems)
	require.Equal(t, 100, strings.Count(out, "different "))
	require.Contains(t, out, "\nand 30 more\n")
}

func TestAuditWatchesUntilItIsInterrupted(t *testing.T) {
	t.Parallel()
	database := dbtest.URL(t)
	server := serve(t, database)
	writeTexts(t, database, "wf_1", 10)
	ctx, cancel := context.WithCancel(t.Context())
	ways := len(audit.Transports())
	terminal := &seen{text: fmt.Sprintf("%d delivered, %d streams open, 0 reconnects", 10*ways, ways), then: cancel}
	var out bytes.Buffer
	watch := program.Audit{
		Client: program.Client{Server: server}, Database: program.Database{DatabaseURL: database},
		Watch: []string{"wf_1"}, Workflows: 1, Streams: 1, Settle: time.Minute, Out: &out, Terminal: terminal,
	}
	require.NoError(t, watch.Run(ctx, slog.New(slog.DiscardHandler)))
	require.Error(t, ctx.Err(), "it has ended by itself")
	require.Regexp(t, fmt.Sprintf(`^The table has 10 items of 1 workflow \(wf_1\).\n%d clients received %d items and reconnected 0 times.\n`+
		`(.* 1 client, 10 delivered, 10 compared, 0 replaced\n){%d}`, ways, 10*ways, ways)+
		`Every client received every item of the table, once and in order, and shows what the table's items show.\n$`, out.String())
}

func TestAuditThatHasNothingToCompareExitsWithOne(t *testing.T) {
	t.Parallel()
	database := dbtest.URL(t)
	server := serve(t, database)
	readOnly := strings.Replace(database, "?", "?default_transaction_read_only=on&", 1)
	code, out, problems := auditCommand(t, "--server", server, "--database-url", readOnly, "--write", "10",
		"--for", "2s", "--settle", "1s")
	require.Equal(t, 1, code)
	require.NotContains(t, out, "Every client")
	require.Contains(t, out, "\n0 items were written by the audit; 0 deltas were replaced by their messages.\n")
	require.Contains(t, out, "\nunproven   nothing was written: ")
	require.Contains(t, problems, "chatfeed: not everything could be audited: nothing was written: ")
	require.Contains(t, problems, "in a read-only transaction")

	code, out, problems = auditCommand(t, "wf_none", "--server", server, "--database-url", database, "--for", "1s", "--json")
	require.Equal(t, 1, code)
	require.Contains(t, problems, "the table has no item of the workflows")
	var report audit.Report
	require.NoError(t, json.Unmarshal([]byte(out), &report))
	require.NotEmpty(t, report.Unproven)
}

func TestAuditEndsOnASignal(t *testing.T) {
	t.Parallel()
	database := dbtest.URL(t)
	server := serve(t, database)
	cmd := command(t, "audit", "--server", server, "--database-url", database, "--write", "1000000", "--rate", "100", "--json")
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	pool, err := db.Open(t.Context(), database)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	require.Eventually(t, func() bool {
		var items int
		return pool.QueryRow(t.Context(), "select count(*) from chatfeed.items").Scan(&items) == nil && items > 20
	}, time.Minute, 10*time.Millisecond)
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	var report audit.Report
	require.NoError(t, json.NewDecoder(out).Decode(&report))
	require.NoError(t, cmd.Wait())
	require.Greater(t, report.Written, 20)
	require.Equal(t, report.Written, report.Items+report.Replaced)
	require.Positive(t, report.Delivered)
}

func TestAuditRefusesWrongFlagsWithTwo(t *testing.T) {
	t.Parallel()
	for flag, args := range map[string][]string{
		"nothing to audit":  {},
		"--write:":          {"wf_1", "--write", "1"},
		"--write: is -1":    {"--write=-1"},
		"--rate:":           {"--write", "1", "--rate=-1"},
		"--workflows:":      {"--write", "1", "--workflows=0"},
		"--streams:":        {"wf_1", "--streams=0"},
		"--transport:":      {"wf_1", "--transport", "pigeon"},
		"--for:":            {"wf_1", "--for=-1s"},
		"--for: is 0s":      {"wf_1", "--for=0s"},
		"--settle:":         {"wf_1", "--settle=0s"},
		"--server:":         {"wf_1", "--server", "127.0.0.1"},
		"--database-url:":   {"wf_1", "--database-url", "mysql://"},
		`workflow "wf_1":`:  {"wf_1", "wf_1"},
		"unknown flag --fo": {"wf_1", "--fo", "1s"},
	} {
		code, out, problems := auditCommand(t, append([]string{"--database-url", "postgres://127.0.0.1:1/none"}, args...)...)
		require.Equal(t, 2, code, flag)
		require.Contains(t, problems, flag)
		require.NotContains(t, out, "The table", flag)
	}
}

func TestAuditWithoutADatabaseFails(t *testing.T) {
	t.Parallel()
	code, _, problems := auditCommand(t, "wf_1", "--database-url", "postgres://127.0.0.1:1/none")
	require.Equal(t, 1, code)
	require.Contains(t, problems, "--database-url: read the table: ")
}

// seen calls a function once a text has been written to it.
type seen struct {
	text string
	then func()
}

func (s *seen) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte(s.text)) {
		s.then()
	}
	return len(p), nil
}

// altering is the address of a proxy that changes REST answers.
func altering(t *testing.T, server, from, to string) string {
	t.Helper()
	target, err := url.Parse(server)
	require.NoError(t, err)
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	transports := map[int]*http.Transport{1: {}, 2: {Protocols: new(http.Protocols)}}
	transports[2].Protocols.SetUnencryptedHTTP2(true)
	for _, transport := range transports {
		t.Cleanup(transport.CloseIdleConnections)
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Header.Set("Accept-Encoding", "identity") // so that it can be altered
		},
		FlushInterval: -1,
		ErrorLog:      slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
		Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			response, err := transports[r.ProtoMajor].RoundTrip(r)
			if err != nil || !strings.HasSuffix(r.URL.Path, "/chatData") {
				return response, err
			}
			body, err := io.ReadAll(response.Body)
			_ = response.Body.Close()
			body = bytes.ReplaceAll(body, []byte(from), []byte(to))
			response.Body, response.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
			response.Header.Set("Content-Length", strconv.Itoa(len(body)))
			return response, err
		}),
	}
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() { // a client that goes makes the proxy abort
			if aborted := recover(); aborted != nil {
				panic(http.ErrAbortHandler)
			}
		}()
		proxy.ServeHTTP(w, r)
	}))
	web.Config.Protocols = protocols
	web.Start()
	t.Cleanup(func() { web.CloseClientConnections(); web.Close() })
	return web.URL
}

type roundTrip func(*http.Request) (*http.Response, error)

// RoundTrip implements [http.RoundTripper].
func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// writeTexts writes logs "text 0", "text 1" and so on, and returns when they were stamped, as REST writes it.
func writeTexts(t *testing.T, database, workflow string, n int) (stamps []string) {
	t.Helper()
	pool, err := db.Open(t.Context(), database)
	require.NoError(t, err)
	defer pool.Close()
	var items []db.Item
	for i := range n {
		items = append(items, db.Log{WorkflowID: workflow, ID: "item_" + strconv.Itoa(i), Message: "text " + strconv.Itoa(i)})
	}
	require.NoError(t, pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		_, err := db.Append(t.Context(), tx, items...)
		return err
	}))
	rows, err := pool.Query(t.Context(),
		`select extract(epoch from "_createdAt")::text from chatfeed.items where workflow_id = $1 order by 1`, workflow)
	require.NoError(t, err)
	stamps, err = pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return stamps
}
