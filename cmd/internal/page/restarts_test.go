package page

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"chatfeed/db"
	"chatfeed/internal/dbtest"
)

const (
	workflow = "wf_restarts"
	items    = 2000 // besides the answers
	answers  = 10
	restarts = 5
)

var ways = []string{"auto", "connect", "sse", "socket", "long-poll", "poll"}

// shown is what is on a page.
type shown struct {
	Rows     []string          `json:"rows"`  // type:id of each item, from the first to the last
	Texts    map[string]string `json:"texts"` // of messages
	Problems []string          `json:"problems"`
}

// The server is killed five times while a workflow writes 2,000 items and ten answers grow. By each way, the page then shows each item
// once, in order, and the whole text of each answer; it has made no request to another host and has not violated its policy.
func TestThePageShowsEachItemOnceWhateverTheServerDoes(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	s := newServer(t, pool.Config().ConnString())
	browser := startBrowser(t, append([]string{"test/browser/follow.mjs", s.url, workflow}, ways...)...)
	require.Equal(t, "live", browser.line())

	writer := db.NewWriter(pool)
	defer writer.Close()
	for i := range restarts + 1 {
		begin, end := i*items/(restarts+1), (i+1)*items/(restarts+1)
		missed := begin // where the server is back
		if i > 0 {
			s.kill(t)
			missed += (end - begin) / 4
			write(t, writer, begin, missed)
			s.start(t)
		}
		write(t, writer, missed, end)
	}
	want := inOrder(t, pool)
	browser.say(strconv.FormatFloat(want.cursor, 'f', -1, 64))
	var got struct {
		Results  map[string]shown `json:"results"`
		Findings []string         `json:"findings"`
	}
	require.NoError(t, json.Unmarshal([]byte(browser.line()), &got))
	require.Empty(t, got.Findings)
	require.Len(t, got.Results, len(ways))
	for _, way := range ways {
		page := got.Results[way]
		require.Empty(t, page.Problems, way)
		require.Equal(t, want.rows, page.Rows, way)
		for id, text := range want.answers {
			require.Equal(t, text, page.Texts["message:"+id], "%s: the answer %s", way, id)
		}
	}
}

// write writes the items from one to before another. An answer grows between them, with each eighth.
func write(t *testing.T, writer *db.Writer, begin, end int) {
	t.Helper()
	write := func(item db.Item) {
		_, err := writer.Write(t.Context(), item)
		require.NoError(t, err)
	}
	pause := time.NewTicker(2 * time.Millisecond)
	defer pause.Stop()
	const each = items / answers // other items that are written while an answer grows
	for n := begin; n < end; n++ {
		<-pause.C
		answer, step := n/each, n%each
		write(other(n))
		if step%8 == 0 { // a delta
			at := int64(step / 8 * len(word(answer, 0)))
			write(db.Delta{WorkflowID: workflow, MessageID: answerID(answer), Attempt: 1, At: at, Delta: word(answer, step/8)})
		}
		if step == each-1 {
			write(db.Message{WorkflowID: workflow, ID: answerID(answer), Role: "assistant", Message: answerText(answer), Status: "complete"})
		}
	}
}

func answerID(answer int) string { return fmt.Sprintf("answer_%d", answer) }

// word is a piece of an answer; all are of the same length.
func word(answer, at int) string { return fmt.Sprintf("w%02d-%03d ", answer, at) }

func answerText(answer int) string {
	var text strings.Builder
	for at := range items / answers / 8 {
		text.WriteString(word(answer, at))
	}
	return strings.TrimSpace(text.String())
}

// other is the n-th of the items besides answers.
func other(n int) db.Item {
	id := fmt.Sprintf("item_%04d", n)
	switch n % 10 {
	case 0:
		return db.Message{WorkflowID: workflow, ID: id, Role: "user", Message: "Message " + id}
	case 1:
		return db.Stat{WorkflowID: workflow, ID: id, ProcessingTime: 0.1, TokenCount: 7}
	case 2:
		return db.Progress{WorkflowID: workflow, ID: id, Progress: float64(n % 100), Status: "working"}
	}
	return db.Log{WorkflowID: workflow, ID: id, Level: "info", Message: "Line " + id}
}

// stored is what the database has in the end.
type stored struct {
	rows    []string // type:id
	cursor  float64  // of the last
	answers map[string]string
}

func inOrder(t *testing.T, pool *pgxpool.Pool) stored {
	t.Helper()
	rows, err := pool.Query(t.Context(), `
		select type || ':' || id, extract(epoch from "_createdAt")::float8 from chatfeed.items
		where workflow_id = $1 order by "_createdAt"`, workflow)
	require.NoError(t, err)
	s := stored{answers: make(map[string]string)}
	for rows.Next() {
		var row string
		require.NoError(t, rows.Scan(&row, &s.cursor))
		s.rows = append(s.rows, row)
	}
	require.NoError(t, rows.Err())
	require.Len(t, s.rows, items+answers)
	for i := range answers {
		s.answers[answerID(i)] = answerText(i)
	}
	return s
}
