package program_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"chatfeed/cmd/internal/program"
	"chatfeed/db"
	"chatfeed/internal/dbtest"
)

// documented returns the blocks of SQL of docs/migrating-from-polling.md by their names.
func documented(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("../../../docs/migrating-from-polling.md")
	require.NoError(t, err)
	blocks := make(map[string]string)
	for _, block := range regexp.MustCompile("(?s)```sql (\\w+)\n(.*?)```").FindAllSubmatch(text, -1) {
		blocks[string(block[1])] = string(block[2])
	}
	require.Len(t, blocks, 3)
	return blocks
}

// polled is a server of the polling design on the tables of the document.
func polled(t *testing.T, pool *pgxpool.Pool) string {
	t.Helper()
	mux := http.NewServeMux()
	for _, name := range []string{"messages", "logs", "stats"} {
		mux.HandleFunc("/workflows/{id}/"+name, func(w http.ResponseWriter, r *http.Request) {
			var list []byte
			err := pool.QueryRow(r.Context(), `select coalesce(json_agg(item order by at, id), '[]') from (select created_at at, id, case $2
					when 'messages' then (select jsonb_build_object('id', id, 'message', message, 'role', role) from old.messages m where m.id = all_ids.id)
					when 'logs' then (select jsonb_build_object('id', id, 'level', level, 'message', message) from old.logs l where l.id = all_ids.id)
					else (select jsonb_build_object('id', id, 'processingTime', processing_time, 'tokenCount', token_count) from old.stats s
						where s.id = all_ids.id) end item
				from (select id, workflow_id, created_at, 'messages' kind from old.messages union all select id, workflow_id, created_at, 'logs' from old.logs
					union all select id, workflow_id, created_at, 'stats' from old.stats) all_ids where workflow_id = $1 and kind = $2) items`,
				r.PathValue("id"), name).Scan(&list)
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			_, _ = w.Write(list)
		})
	}
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}

// compareCommand runs chatfeed compare and returns its exit code and what it has printed.
func compareCommand(t *testing.T, args ...string) (exitCode int, out, problems string) {
	t.Helper()
	cmd := command(t, append([]string{"compare"}, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); !errors.As(err, new(*exec.ExitError)) {
		require.NoError(t, err)
	}
	return cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()
}

func TestTheMigrationFromPollingAsDocumented(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	address := dbtest.URL(t)
	pool, err := db.Open(ctx, address)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	run := func(sql string, args ...any) {
		t.Helper()
		_, err := pool.Exec(ctx, sql, args...)
		require.NoError(t, err)
	}
	blocks := documented(t)
	run(blocks["old"])
	run(`insert into old.messages select 'm' || n, 'wf_1', 'text ' || n, 'user', null, '2026-01-01'::timestamptz + (10 - n / 2) * interval '1s'
		from generate_series(0, 19) n`) // backwards, and two at a time
	run(`insert into old.logs select 'l' || n, 'wf_1', 'info', 'line ' || n, '2026-01-01'::timestamptz + n * interval '1s' from generate_series(0, 9) n`)
	run(`insert into old.stats values ('s', 'wf_1', 1.25, 7, '2026-01-01'), ('of another', 'wf_2', 0.5, 0, '2026-01-01')`)
	run(blocks["copy"])
	server := serve(t, address, func(c *program.Serve) { c.LegacyEndpoints = true })
	polling := polled(t, pool)
	requireSame := func(old string) {
		t.Helper()
		code, out, problems := compareCommand(t, "--old", old, "--server", server+"/", "wf_1", "wf_2")
		require.Zero(t, code, out+problems)
		require.Contains(t, out, "wf_2: 0 messages, 0 logs, 1 stat\nEverything that the old server has is the same here, in the same order.\n")
	}
	requireSame(polling)
	requireSame(server) // by its legacy endpoints

	var mixed bool
	require.NoError(t, pool.QueryRow(ctx, `select array_agg(i.id order by i."_createdAt") = array_agg(i.id order by o.created_at, o.kind, o.id)
		from chatfeed.items i join (select id, created_at, 1 kind from old.messages union all select id, created_at, 2 from old.logs
			union all select id, created_at, 3 from old.stats) o using (id) where workflow_id = 'wf_1'`).Scan(&mixed))
	require.True(t, mixed, "the copy is in the order of time across the types")

	run(`insert into old.messages values ('live', 'wf_1', 'written later', 'user', 'received', now())`)
	run(`insert into old.logs values ('live', 'wf_1', null, 'written later', now())`)
	requireDifference := func(want string) {
		t.Helper()
		code, out, problems := compareCommand(t, "--old", polling, "--server", server, "--settle", "0s", "wf_1")
		require.Equal(t, 1, code)
		require.Contains(t, out, want)
		require.Equal(t, "chatfeed: 1 difference\n", problems)
	}
	requireDifference(`different  workflow "wf_1", log "live", level: null there, "" here`)
	run(`update old.logs set level = '' where id = 'live'`)
	requireSame(polling)

	run(blocks["undo"])
	run(`insert into old.messages values ('after', 'wf_1', 'not copied', 'user', '', now())`)
	requireDifference(`missing    workflow "wf_1", message "after"`)
	run(`delete from old.messages where id = 'after'`)
	requireSame(polling)
}

func TestCompareNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	server := serve(t, dbtest.URL(t), func(c *program.Serve) { c.LegacyEndpoints = true })
	for _, c := range []struct {
		code int
		want string
		args []string
	}{
		{2, `--old: "here" is not an address`, []string{"--old", "here", "wf"}},
		{2, "--settle: is -1s; 0s or more is accepted", []string{"--old", server, "--server", server, "--settle=-1s", "wf"}},
		{1, "nothing was compared: the old server has no items of these workflows", []string{"--old", server, "--server", server, "wf"}},
		{1, fmt.Sprintf("%s/nowhere/workflows/wf/messages: 404 Not Found", server), []string{"--old", server + "/nowhere", "--server", server, "wf"}},
	} {
		code, _, problems := compareCommand(t, c.args...)
		require.Equal(t, c.code, code, problems)
		require.Contains(t, problems, c.want)
	}
}
