package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
)

const aguiFolder = "testdata/agui"

// agents are agents of AG-UI's own client, in one process of Node.
type agents struct {
	t  *testing.T
	in io.Writer
	*process
}

// agentRun is a run that the program is told to do.
type agentRun struct {
	URL        string        `json:"url"`
	Agent      string        `json:"agent"`
	Say        *agentSaid    `json:"say,omitempty"`
	Resume     []agentAnswer `json:"resume,omitempty"`
	BreakAfter int           `json:"breakAfter,omitempty"` // events; then it comes back
	Climb      bool          `json:"climb,omitempty"`      // it breaks off after one event, then after two, and so on
}

type agentSaid struct {
	ID   string `json:"id"`
	Text string `json:"text"`
}

type agentAnswer struct {
	InterruptID string         `json:"interruptId"`
	Status      string         `json:"status"`
	Payload     map[string]any `json:"payload"`
}

type agentMessage struct {
	ID, Role, Content, ToolCallID string

	ToolCalls []struct {
		ID       string
		Function struct{ Name, Arguments string }
	}
}

// agentEnd is what an agent shows after a run.
type agentEnd struct {
	Agent, Failure string
	End            *struct{ Type, Result, Code, Message string }
	Messages       []agentMessage
	State          struct {
		Mine     bool
		Progress struct {
			Progress float64
			Status   string
		}
	}
	Interrupts []struct{ ID, ToolCallID string }
	Warnings   []string
}

func startAgents(t *testing.T) *agents {
	t.Helper()
	_, err := os.Stat(filepath.Join(aguiFolder, "node_modules", ".package-lock.json"))
	require.NoError(t, err, "the packages are not installed: just agui, or npm ci in cmd/dev/e2e/%s", aguiFolder)
	cmd := exec.Command("node", "client.js")
	cmd.Dir = aguiFolder
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	return &agents{t, in, startCommand(t, cmd)}
}

func (a *agents) run(workflow string, r agentRun) {
	a.t.Helper()
	r.URL = shared.Server + "/workflows/" + workflow + "/ag-ui"
	line, err := json.Marshal(r)
	require.NoError(a.t, err)
	_, err = a.in.Write(append(line, '\n'))
	require.NoError(a.t, err)
}

// end waits for the end of an agent's run, the n-th from 1. The client must not have warned of anything.
func (a *agents) end(agent string, n int) (last agentEnd) {
	a.t.Helper()
	waitFor(a.t, func() bool {
		ended := 0
		for line := range strings.Lines(a.out.String()) {
			if !strings.HasSuffix(line, "\n") || !strings.HasPrefix(line, fmt.Sprintf(`{"agent":%q,`, agent)) {
				continue
			}
			var end agentEnd
			require.NoError(a.t, json.Unmarshal([]byte(line), &end), line)
			if end.End != nil || end.Failure != "" {
				last = end
				ended++
			}
		}
		return ended >= n
	}, "run %d of agent %s to end", n, agent)
	require.Empty(a.t, last.Failure, agent)
	require.Empty(a.t, last.Warnings, agent)
	return last
}

// shows is the messages, and the results of tools, as "role id: text".
func (e *agentEnd) shows() (shown []string) {
	for _, m := range e.Messages {
		if m.Role != "reasoning" {
			shown = append(shown, m.Role+" "+m.ID+": "+m.Content)
		}
	}
	return shown
}

// stored is the same from the database. Results come after the message with their call.
func stored(t *testing.T, pool *pgxpool.Pool, workflow string) (stored []string) {
	t.Helper()
	rows, err := pool.Query(t.Context(), `select role || ' ' || id || ': ' || message, id from chatfeed.messages
		where workflow_id = $1 order by "_createdAt"`, workflow)
	require.NoError(t, err)
	type message struct{ Text, ID string }
	messages, err := pgx.CollectRows(rows, pgx.RowToStructByPos[message])
	require.NoError(t, err)
	for _, m := range messages {
		rows, err := pool.Query(t.Context(), `select 'tool ' || call_id || ':result: ' || coalesce(output::text, error) from chatfeed.tools
			where workflow_id = $1 and message_id = $2 and state like 'output-%' order by "_createdAt"`, workflow, m.ID)
		require.NoError(t, err)
		results, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		stored = append(append(stored, m.Text), results...)
	}
	return stored
}

func TestTheClientOfAGUIHasWhatTheDatabaseHasWhereverItBreaksOff(t *testing.T) {
	t.Parallel()
	pool := openPool(t, shared.DatabaseURL)
	a := startAgents(t)
	text := strings.Repeat("The sea is wide. A river is long. ", 5)
	a.run("wf_agui", agentRun{Agent: "speaker", Say: &agentSaid{"said", text}})
	a.prints(t, `{"agent":"speaker","event":"MESSAGES_SNAPSHOT"}`)
	waitFor(t, func() (recorded bool) {
		require.NoError(t, pool.QueryRow(t.Context(), `select exists (select from chatfeed.messages where workflow_id = 'wf_agui')`).Scan(&recorded))
		return recorded
	}, "the message to be recorded")
	const followers = 60
	a.run("wf_agui", agentRun{Agent: "climber", Climb: true})
	names := []string{"speaker", "climber"}
	for n := 1; n <= followers; n++ {
		names = append(names, fmt.Sprint("follower ", n))
		a.run("wf_agui", agentRun{Agent: names[len(names)-1], BreakAfter: n})
	}
	speaker := a.end("speaker", 1)
	require.Equal(t, "RUN_FINISHED", speaker.End.Type)
	require.Contains(t, speaker.End.Result, "Summarized 10 sentences")
	require.True(t, speaker.State.Mine, "a client keeps its own state")
	require.Equal(t, 100., speaker.State.Progress.Progress)
	want := stored(t, pool, "wf_agui")
	require.Len(t, want, 3, "a question, an answer, and the result of its call")
	for _, name := range names {
		end := a.end(name, 1)
		require.Equal(t, "RUN_FINISHED", end.End.Type, name)
		require.Equal(t, want, end.shows(), name)
	}
	require.GreaterOrEqual(t, strings.Count(a.out.String(), `{"agent":"speaker","event":"TEXT_MESSAGE_CONTENT"}`), 10, "it grew")
	require.GreaterOrEqual(t, strings.Count(a.out.String(), `{"agent":"climber","event":"RUN_STARTED"}`), 3)
	require.Contains(t, a.out.String(), `{"agent":"speaker","event":"REASONING_MESSAGE_CONTENT"}`)

	a.run("wf_agui", agentRun{Agent: "climber", Say: &agentSaid{"more", "And now?"}})
	require.Equal(t, "RUN_FINISHED", a.end("climber", 2).End.Type)
	a.run("wf_agui", agentRun{Agent: "new", Say: &agentSaid{"third", "One more."}}) // one that has no history
	end := a.end("new", 1)
	require.Equal(t, stored(t, pool, "wf_agui"), end.shows())
	require.Len(t, end.shows(), 9)
}

func TestACallIsApprovedOrRefusedThroughAnInterruptOfAGUI(t *testing.T) {
	t.Parallel()
	pool := openPool(t, shared.DatabaseURL)
	a := startAgents(t)
	for answer, payload := range map[string]map[string]any{
		"approved": {"approved": true}, "refused": {"approved": false, "reason": "not today"},
	} {
		wf := "wf_agui_" + answer
		a.run(wf, agentRun{Agent: answer, Say: &agentSaid{"said", strings.Repeat(wordy, 10)}})
		end := a.end(answer, 1)
		require.Equal(t, "RUN_FINISHED", end.End.Type)
		require.Len(t, end.Interrupts, 1)
		require.Equal(t, "waiting", end.State.Progress.Status)
		a.run(wf, agentRun{Agent: answer, Resume: []agentAnswer{{end.Interrupts[0].ID, "resolved", payload}}})
		end = a.end(answer, 2)
		require.Equal(t, "RUN_FINISHED", end.End.Type)
		require.Empty(t, end.Interrupts)
		require.Equal(t, stored(t, pool, wf), end.shows())
		require.Equal(t, answer == "refused", strings.Contains(fmt.Sprint(end.shows()), "not today"))
	}
}

func TestTheClientOfAGUIFollowsARetryAndAnErasure(t *testing.T) {
	t.Parallel()
	pool := openPool(t, shared.DatabaseURL)
	exec := func(sql string) {
		_, err := pool.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	exec(`insert into chatfeed.messages (workflow_id, id, role, message) values ('wf_agui_retry', 'u', 'user', 'secret')`)
	exec(`insert into chatfeed.progress (workflow_id, progress, status) values ('wf_agui_retry', 20, 'answering')`)
	a := startAgents(t)
	a.run("wf_agui_retry", agentRun{Agent: "one"})
	seen := func(event string, n int) {
		t.Helper()
		waitFor(t, func() bool { return strings.Count(a.out.String(), `"event":"`+event+`"`) >= n }, "event %d of %s", n, event)
	}
	piece := `insert into chatfeed.deltas (workflow_id, message_id, attempt, part, kind, at, delta) values `
	seen("MESSAGES_SNAPSHOT", 1)
	exec(piece + `('wf_agui_retry', 'a', 1, 0, 'reasoning', 0, 'wrong'), ('wf_agui_retry', 'a', 1, 1, 'text', 0, 'aaa')`)
	seen("TEXT_MESSAGE_CONTENT", 1)
	exec(piece + `('wf_agui_retry', 'a', 2, 0, 'text', 0, 'a')`)
	seen("MESSAGES_SNAPSHOT", 2)
	exec(piece + `('wf_agui_retry', 'a', 2, 0, 'text', 1, 'a')`)
	seen("TEXT_MESSAGE_CONTENT", 2)
	exec(`delete from chatfeed.messages where workflow_id = 'wf_agui_retry' and id = 'u'`)
	seen("MESSAGES_SNAPSHOT", 3)
	exec(`insert into chatfeed.messages (workflow_id, id, role, message) values ('wf_agui_retry', 'a', 'assistant', 'aab')`)
	exec(`insert into chatfeed.progress (workflow_id, progress, status) values ('wf_agui_retry', 50, 'failed')`)
	end := a.end("one", 1)
	require.Equal(t, "RUN_ERROR", end.End.Type)
	require.Equal(t, "failed", end.End.Code)
	require.Equal(t, []string{"assistant a: aab"}, end.shows())
}
