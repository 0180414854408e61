package page

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"chatfeed/db"
	"chatfeed/internal/dbtest"
)

// follower is a program that prints the id of each item of a workflow until it is closed.
type follower struct {
	name    string
	command *exec.Cmd
	printed bytes.Buffer
}

func startFollower(t *testing.T, name, folder string, arguments ...string) *follower {
	t.Helper()
	_, err := os.Stat(folder + "/node_modules")
	require.NoError(t, err, "the packages are missing: run just page client durable")
	f := &follower{name: name, command: exec.CommandContext(t.Context(), "node", arguments...)}
	f.command.Dir, f.command.Stdout, f.command.Stderr = folder, &f.printed, os.Stderr
	require.NoError(t, f.command.Start())
	return f
}

// The page, a bare EventSource in the browser, connect-web and the client of Durable Streams follow one workflow at once, and all have the
// same items in the same order.
func TestEveryKindOfClientFollowsTheSameWorkflow(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	s := newServer(t, pool.Config().ConnString())
	writer := db.NewWriter(pool)
	defer writer.Close()
	write(t, writer, 0, 20) // a Durable Stream begins with an item

	browser := startBrowser(t, "test/browser/follow.mjs", s.url, workflow, "auto")
	require.Equal(t, "live", browser.line())
	stream := s.url + "/v1/stream/workflows/" + workflow
	followers := []*follower{
		startFollower(t, "EventSource", "../../../web/page", "test/browser/events.mjs", s.url, workflow),
		startFollower(t, "connect-web", "../../../web/client", "test/connect-web.mjs", s.url, workflow),
		startFollower(t, "Durable Streams, events", "../durable/testdata/node", "follow.mjs", stream, "sse"),
		startFollower(t, "Durable Streams, long poll", "../durable/testdata/node", "follow.mjs", stream, "long-poll"),
	}
	write(t, writer, 20, 2*items/answers) // two answers
	_, err := writer.Write(t.Context(), db.Progress{WorkflowID: workflow, ID: "end", Progress: 100, Status: "done", Final: true})
	require.NoError(t, err)

	var want []string
	var cursor float64
	require.NoError(t, pool.QueryRow(t.Context(), `select array_agg(id order by "_createdAt"), extract(epoch from max("_createdAt"))::float8
		from chatfeed.items where workflow_id = $1`, workflow).Scan(&want, &cursor))
	require.Len(t, want, 2*items/answers+3)
	for _, f := range followers {
		require.NoError(t, f.command.Wait(), f.name)
		require.Equal(t, append(want[:len(want):len(want)], "closed"), strings.Fields(f.printed.String()), f.name)
	}
	browser.say(strconv.FormatFloat(cursor, 'f', -1, 64))
	var got struct {
		Results  map[string]shown `json:"results"`
		Findings []string         `json:"findings"`
	}
	require.NoError(t, json.Unmarshal([]byte(browser.line()), &got))
	require.Empty(t, got.Findings)
	page := got.Results["auto"]
	require.Empty(t, page.Problems)
	for i, row := range page.Rows {
		_, page.Rows[i], _ = strings.Cut(row, ":")
	}
	require.Equal(t, want, page.Rows, "the page")
}
