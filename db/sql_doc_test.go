package db_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// psql runs blocks of docs/sql.md as a writer does, with variables as pairs of name and value, and returns what it prints.
type psql struct {
	blocks    map[string]string
	address   string
	variables []string
}

func newPSQL(t *testing.T, address string, variables ...string) *psql {
	t.Helper()
	text, err := os.ReadFile("../docs/sql.md")
	require.NoError(t, err)
	address, _, _ = strings.Cut(address, "&pool_max_conns=") // which is not psql's
	p := &psql{make(map[string]string), address, variables}
	for _, block := range regexp.MustCompile("(?s)```sql (\\w+)\n(.*?)```").FindAllSubmatch(text, -1) {
		p.blocks[string(block[1])] = string(block[2])
	}
	return p
}

func (p *psql) run(t *testing.T, block string, variables ...string) (string, error) {
	t.Helper()
	require.NotEmpty(t, p.blocks[block], "docs/sql.md has no block %s", block)
	file := t.TempDir() + "/block.sql"
	require.NoError(t, os.WriteFile(file, []byte(p.blocks[block]), 0o600))
	args := []string{"--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1", "--set=VERBOSITY=verbose", "--file=" + file}
	variables = append(slices.Clone(p.variables), variables...) // of two with a name the later one counts
	for i := 0; i+1 < len(variables); i += 2 {
		args = append(args, "--set="+variables[i]+"="+variables[i+1])
	}
	return client(t, "psql", append(args, p.address)...)
}

func (p *psql) does(t *testing.T, block string, variables ...string) string {
	t.Helper()
	out, err := p.run(t, block, variables...)
	require.NoError(t, err, out)
	return out
}

func TestAnAnswerIsStreamedWithTheDocumentedStatements(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	owner, limited := withRole(t, "writer")
	writing := newPSQL(t, limited.Config().ConnString(), "workflow", "wf", "message", "msg_run_1")
	said := func() string {
		t.Helper()
		reading := newPSQL(t, owner.Config().ConnString(), "workflow", "wf")
		return reading.does(t, "look")
	}
	attempt := func(number string) {
		t.Helper()
		for range 2 { // again, as the answer of the first may be lost
			writing.does(t, "delta", "attempt", number, "at", "0", "piece", "It's 🙂")
			writing.does(t, "delta", "attempt", number, "at", "6", "piece", " fine")
		}
	}
	attempt("1")
	require.Equal(t, []string{"It's 🙂 fine"}, column(ctx, t, owner, `select string_agg(delta, '' order by at) from chatfeed.deltas`))
	require.Equal(t, []string{"true"}, column(ctx, t, owner,
		`select (bool_and(char_length('It''s 🙂') = at))::text from chatfeed.deltas where at > 0`), "at counts code points")
	attempt("2") // after the first has failed
	require.Equal(t, 4, strings.Count(said(), "delta|msg_run_1:"))

	for range 2 {
		writing.does(t, "message", "text", "It's 🙂 fine")
		require.Equal(t, `message|msg_run_1|{"message" : "It's 🙂 fine", "role" : "assistant", "status" : "complete"}`, strings.TrimSpace(said()))
	}
	writing.does(t, "cancelled", "text", "It's")
	require.Contains(t, said(), "complete", "who comes late changes nothing")
	writing.does(t, "delta", "attempt", "1", "at", "11", "piece", "late")
	require.NotContains(t, said(), "late")
}

func TestACancelledAnswerStandsWithWhatWasSaid(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	owner, limited := withRole(t, "writer")
	writing := newPSQL(t, limited.Config().ConnString(), "workflow", "wf", "message", "msg_run_1")
	writing.does(t, "delta", "attempt", "1", "at", "0", "piece", "It")
	writing.does(t, "cancelled", "text", "It")
	require.Equal(t, []string{"cancelled: It"}, column(ctx, t, owner, `select status || ': ' || message from chatfeed.messages`))
	require.Empty(t, column(ctx, t, owner, `select id from chatfeed.deltas`))

	_, err := owner.Exec(ctx, `insert into chatfeed.progress (workflow_id, progress, final) values ('wf', 100, true)`)
	require.NoError(t, err)
	out, err := writing.run(t, "message", "message", "msg_run_2", "text", "late")
	require.Error(t, err)
	for _, documented := range []string{"23514", "workflow_open"} {
		require.Contains(t, out, documented)
	}
}
