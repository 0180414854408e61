package rpc_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"chatfeed/db"
	"chatfeed/rpc"
)

// refuse posts a run that is refused, and returns the status and the body.
func (s *server) refuse(t *testing.T, workflow string, messages []agMessage, input map[string]any) (status int, text string) {
	t.Helper()
	response, err := (&agClient{messages: messages}).post(limited(t), s, workflow, input)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.Equal(t, "application/json", response.Header.Get("Content-Type"), "%s", body)
	requirePublic(t, string(body))
	return response.StatusCode, string(body)
}

func asking(text string) []agMessage { return []agMessage{{ID: "u", Role: "user", Content: text}} }

func TestARunThatIsInvalidIsRefusedInWords(t *testing.T) {
	t.Parallel()
	sent := 0
	s := serve(t, &source{}, config{rpc: rpc.Config{Chat: &chat{send: func(string, rpc.ChatMessage) (rpc.Sent, error) {
		sent++
		return rpc.Sent{}, nil
	}}}})
	parts := func(parts ...any) map[string]any {
		return map[string]any{"messages": []any{map[string]any{"id": "u", "role": "user", "content": parts}}}
	}
	for want, input := range map[string]map[string]any{
		"threadId: is 0 bytes long; 1 to 1000 bytes are accepted":             {"threadId": ""},
		"runId: is 1001 bytes long":                                           {"runId": strings.Repeat("x", 1001)},
		"messages[0].content: is 0 bytes long; 1 byte to 1048576":             {"messages": asking("")},
		"messages[0].content: is 1048577 bytes long":                          {"messages": asking(strings.Repeat("x", 1<<20+1))},
		"messages[0].content: contains a NUL byte":                            {"messages": asking("a\x00")},
		"messages[0].content: is neither a text nor a list of parts":          {"messages": []any{map[string]any{"id": "u", "role": "user", "content": 1}}},
		"messages[0].content[1].type: is \\\"image\\\"; text is accepted":     parts(map[string]any{"type": "text", "text": "a"}, map[string]any{"type": "image"}),
		"messages[0].id: is 0 bytes long; 1 to 200":                           {"messages": []agMessage{{Role: "user", Content: "x"}}},
		"messages: ends with 11 messages of the user; at most 10":             {"messages": append(make([]agMessage, 0), eleven()...)},
		"messages: is a JSON string":                                          {"messages": "x"},
		"resume[0].status: is \\\"maybe\\\"; resolved and cancelled":          {"resume": []any{map[string]any{"interruptId": "c", "status": "maybe"}}},
		"resume[0].interruptId: \\\"c\\\" is no call of this workflow":        {"resume": []any{map[string]any{"interruptId": "c", "status": "cancelled"}}},
		"resume[0].payload.approved: is missing; true and false are accepted": {"resume": []any{map[string]any{"interruptId": "c", "status": "resolved"}}},
		"resume.payload: is a JSON bool; see RunAgentInput":                   {"resume": []any{map[string]any{"interruptId": "c", "status": "resolved", "payload": true}}},
		"resume[0].payload.reason: is 1001 bytes long; at most 1000":          {"resume": []any{map[string]any{"status": "cancelled", "payload": map[string]any{"reason": strings.Repeat("x", 1001)}}}},
		"body: is too long; at most 8388608 bytes are accepted":               {"context": strings.Repeat("x", 8<<20)},
	} {
		status, text := s.refuse(t, "wf", nil, input)
		require.Equal(t, http.StatusBadRequest, status, "%s", text)
		require.Contains(t, text, want)
	}
	status, text := s.refuse(t, strings.Repeat("x", 1001), nil, nil)
	require.Equal(t, http.StatusBadRequest, status)
	require.Contains(t, text, "workflow id: is 1001 bytes long")
	for _, kind := range []string{"", "text/plain", "application/x-www-form-urlencoded", "application/jsonp", "text/plain; a=application/json"} {
		answer, err := do(limited(t), s.h1, http.MethodPost, s.url+"/workflows/wf/ag-ui", `{"threadId": "t", "runId": "r"}`, "Content-Type", kind)
		require.NoError(t, err)
		require.Equal(t, http.StatusBadRequest, answer.status, kind)
		require.Contains(t, string(answer.body), "application/json is accepted")
	}
	answer, err := do(limited(t), s.h1, http.MethodPost, s.url+"/workflows/wf/ag-ui", `{`, "Content-Type", "application/json; charset=utf-8")
	require.NoError(t, err)
	require.Contains(t, string(answer.body), "body: is not JSON")
	require.Zero(t, sent)
}

func eleven() (messages []agMessage) {
	for i := range 11 {
		messages = append(messages, agMessage{ID: fmt.Sprint(i), Role: "user", Content: "x"})
	}
	return messages
}

func TestAMessageThatTheWorkflowDoesNotTakeIsRefusedBeforeTheStream(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.append(t, db.Progress{WorkflowID: "closed", ID: "p", Final: true})
	for _, c := range []struct {
		chat         rpc.Chat
		workflow     string
		status       int
		code, reason string
	}{
		{nil, "wf", 400, "invalid_argument", "messages: has a new message, and this server has no workflow engine; a run that only follows is accepted"},
		{&chat{}, "closed", 400, "failed_precondition", "the workflow is closed"},
		{&chat{send: func(string, rpc.ChatMessage) (rpc.Sent, error) { return rpc.Sent{}, rpc.ErrFull }}, "wf", 429, "resource_exhausted", "too many messages"},
		{&chat{send: func(string, rpc.ChatMessage) (rpc.Sent, error) { return rpc.Sent{}, errInternal }}, "wf", 503, "unavailable", ""},
		{&chat{send: func(string, rpc.ChatMessage) (rpc.Sent, error) { return rpc.Sent{}, rpc.ErrWorkflowNotFound }}, "wf", 404, "not_found", "no workflow"},
	} {
		s := serve(t, d.source(t), config{rpc: rpc.Config{Chat: c.chat}})
		status, text := s.refuse(t, c.workflow, asking("x"), nil)
		require.Equal(t, c.status, status, "%s", text)
		var said struct{ Code, Message string }
		require.NoError(t, json.Unmarshal([]byte(text), &said))
		require.Equal(t, c.code, said.Code)
		require.Contains(t, said.Message, c.reason)
		s.followed(t, 0)
		require.Equal(t, "RUN_FINISHED", (&agClient{}).run(t, s, c.workflow, nil).finish().Type, "one may still follow")
	}
}

func TestARunFollowsWhatItsViewerMayReadAndSendsWhatItMayWrite(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	var sent []string
	s := serve(t, d.source(t), config{rpc: rpc.Config{
		Gate: viewer{unseen: "secret", unwritten: "fixed"}.gate,
		Chat: &chat{send: func(workflow string, _ rpc.ChatMessage) (rpc.Sent, error) {
			sent = append(sent, workflow)
			d.append(t, db.Message{WorkflowID: workflow, ID: "u", Role: "user"}, db.Progress{WorkflowID: workflow, ID: "p", Progress: 100})
			return rpc.Sent{}, nil
		}},
	}})
	for _, workflow := range []string{"secret", "fixed", "secret fixed"} {
		d.append(t, db.Message{WorkflowID: workflow, ID: "m", Message: "hidden", Role: "assistant"}, db.Progress{WorkflowID: workflow, ID: "q", Progress: 100})
		for _, id := range []string{workflow, "unknown " + workflow} {
			status, text := s.refuse(t, id, asking("x"), nil)
			require.Equal(t, http.StatusForbidden, status, id)
			require.Contains(t, text, "you may not write to this workflow")
		}
	}
	require.Empty(t, sent)
	read := func(workflow string) string {
		response, err := (&agClient{}).post(limited(t), s, workflow, nil)
		require.NoError(t, err)
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		return string(body)
	}
	require.Equal(t, read("unknown"), read("secret"), "byte for byte")
	require.Contains(t, read("fixed"), "hidden")
	require.Equal(t, "RUN_FINISHED", (&agClient{messages: asking("x")}).run(t, s, "open", nil).finish().Type)
	require.Equal(t, []string{"open"}, sent)
}

func TestARunEndsWithItsViewer(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.append(t, message("user", "u", "x"))
	s := serve(t, d.source(t), config{rpc: rpc.Config{Gate: expiring(2 * time.Second)}})
	end := (&agClient{}).run(t, s, "wf", nil).finish()
	require.Equal(t, []string{"RUN_ERROR", "unauthenticated"}, []string{end.Type, end.Code})
	status, _ := s.refuse(t, "wf", nil, nil)
	require.Equal(t, http.StatusUnauthorized, status)
	s.followed(t, 0)
}

func TestADrainEndsARunAndSaysToComeBack(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.append(t, message("user", "u", "x"), piece("a", 1, 0, 0, "text", "half"))
	s := serve(t, d.source(t), config{})
	run := (&agClient{}).run(t, s, "wf", nil)
	run.until("MESSAGES_SNAPSHOT")
	s.feed.Drain()
	end := run.finish()
	require.Equal(t, []string{"RUN_ERROR", "unavailable"}, []string{end.Type, end.Code})
	require.Contains(t, end.Message, "run again")
	status, _ := s.refuse(t, "wf", nil, nil)
	require.Equal(t, http.StatusServiceUnavailable, status)
}

func TestARunWithoutNewsHasAHeartbeatAndEndsWithItsClient(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.append(t, message("user", "u", "x"))
	s := serve(t, d.source(t), config{rpc: rpc.Config{Heartbeat: 50 * time.Millisecond}})
	run := (&agClient{}).run(t, s, "wf", nil)
	run.until("MESSAGES_SNAPSHOT")
	for range 3 {
		e, err, ok := run.next()
		require.True(t, ok && err == nil)
		require.Equal(t, "heartbeat", e.comment)
	}
	s.followed(t, 1)
	run.cancel()
	s.followed(t, 0)
}

// While the database does not answer, the stream is open and the message is not sent.
func TestARunWaitsForTheHistoryBeforeItSends(t *testing.T) {
	t.Parallel()
	s := serve(t, &source{hangs: true}, config{rpc: rpc.Config{Heartbeat: 20 * time.Millisecond, Chat: &chat{}}})
	run := (&agClient{messages: asking("x")}).run(t, s, "wf", nil)
	e, err, ok := run.next()
	require.True(t, ok && err == nil)
	require.Equal(t, "heartbeat", e.comment)
	s.feed.Drain()
	require.Equal(t, "RUN_ERROR", run.finish().Type)
}

// A client that breaks off and comes back after every piece, at any time, ends with what the database has.
func TestAClientThatComesBackAtAnyTimeEndsWithWhatTheDatabaseHas(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := serve(t, d.source(t), config{rpc: rpc.Config{Chat: &chat{}}})
	recording := [][]db.Item{
		{message("user", "u", "question"), progress("p0", 0, "reading")},
		{db.Tool{WorkflowID: "wf", CallID: "c", MessageID: "a", Name: "n", State: db.InputAvailable, Input: []byte(`{"x": 1}`)}},
		{db.Tool{WorkflowID: "wf", CallID: "c", MessageID: "a", Name: "n", State: db.OutputAvailable, Output: []byte(`"out"`)}},
		{piece("a", 1, 0, 0, "reasoning", "first "), piece("a", 1, 0, 6, "reasoning", "thought")},
		{piece("a", 1, 1, 0, "text", "wrong")},
		{piece("a", 2, 0, 0, "reasoning", "second")},
		{piece("a", 2, 1, 0, "text", "aa")},
		{db.Tool{WorkflowID: "wf", CallID: "lone", Name: "n", State: db.OutputError, Error: "broke"}},
		{piece("a", 2, 1, 2, "text", "aaa"), piece("b", 1, 0, 0, "text", "other")},
		{message("assistant", "a", "aaaaaa")},
		{db.Message{WorkflowID: "wf", ID: "u2", Message: "edited", Role: "user", Replaces: "u"}},
		{message("assistant", "b", "other")},
		{progress("p1", 100, "done")},
	}
	clients := make([]*agClient, len(recording)) // the client i has come when i pieces were there, and breaks off after each
	runs := make([]*agRun, len(recording))
	for i, items := range recording {
		d.append(t, items...)
		if i == len(recording)-1 {
			break
		}
		for j := range i + 1 {
			if clients[j] == nil {
				clients[j] = &agClient{}
			}
			if runs[j] != nil && (i+j)%2 == 0 {
				continue // stays
			}
			if runs[j] != nil {
				runs[j].cancel()
			}
			runs[j] = clients[j].run(t, s, "wf", nil)
			runs[j].until("MESSAGES_SNAPSHOT")
		}
	}
	clients[len(clients)-1] = &agClient{}
	for j, c := range clients {
		if runs[j] != nil {
			require.Equal(t, "RUN_FINISHED", runs[j].finish().Type)
		}
		require.Equal(t, "RUN_FINISHED", c.run(t, s, "wf", nil).finish().Type)
		require.Equal(t, []string{"user u: edited", "assistant lone: ", "assistant a: aaaaaa", "assistant b: other"}, c.texts(), j)
		require.Equal(t, []string{"lone:result: broke", "c:result: out"}, c.said("tool"), j)
		require.NotContains(t, fmt.Sprint(c.said("reasoning")), "first", j)
	}
}

func TestManyRunsAtOnceOfOneWorkflowEndAlike(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := serve(t, d.source(t), config{rpc: rpc.Config{Chat: d.recorded(t)}})
	const clients = 8
	var all sync.WaitGroup
	ends := make([]*agClient, clients)
	for i := range ends {
		ends[i] = &agClient{messages: []agMessage{{ID: fmt.Sprint("u", i), Role: "user", Content: "x"}}}
		run := ends[i].run(t, s, "wf", nil)
		run.until("RUN_STARTED")
		all.Go(func() { run.finish() })
	}
	for at := range int64(50) {
		d.append(t, piece("a", 1, 0, at, "text", string(rune('a'+at%26))))
	}
	whole := strings.Repeat("abcdefghijklmnopqrstuvwxyz", 2)[:50]
	d.append(t, message("assistant", "a", whole), progress("end", 100, "done"))
	all.Wait()
	for _, c := range ends {
		require.Equal(t, whole, c.find("a").Content)
		require.Equal(t, "RUN_FINISHED", c.end.Type)
	}
}
