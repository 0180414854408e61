package page

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"chatfeed/db"
	"chatfeed/internal/dbtest"
)

// A person uses the page, by keyboard and mouse: the steps are in the program.
func TestThePageIsUsedByAPerson(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	s := newServer(t, pool.Config().ConnString())
	browser := startBrowser(t, "test/browser/use.mjs", s.url)
	writer := db.NewWriter(pool)
	defer writer.Close()
	for {
		what, rest, _ := strings.Cut(browser.line(), " ")
		workflow, text, _ := strings.Cut(rest, " ")
		switch what {
		case "write":
			_, err := writer.Write(t.Context(), db.Message{WorkflowID: workflow, Role: "psql", Message: text})
			require.NoError(t, err)
		case "erase":
			_, err := pool.Exec(t.Context(), "delete from chatfeed.messages where workflow_id = $1", workflow)
			require.NoError(t, err)
		case "kill":
			s.kill(t)
		case "start":
			s.start(t)
		case "done":
			return
		default:
			require.Fail(t, what+" "+rest)
		}
		browser.say("ok")
	}
}
