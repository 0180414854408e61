package rpc_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"chatfeed/db"
	"chatfeed/rpc"
)

// The items of a workflow named wf.
func message(role, id, text string) db.Item {
	return db.Message{WorkflowID: "wf", ID: id, Message: text, Role: role}
}

func piece(id string, attempt, part, at int64, kind, text string) db.Item {
	return db.Delta{WorkflowID: "wf", MessageID: id, Attempt: attempt, Part: part, Kind: kind, At: at, Delta: text}
}

func progress(id string, percent float64, status string) db.Item {
	return db.Progress{WorkflowID: "wf", ID: id, Progress: percent, Status: status}
}

// recorded is a chat whose workflow records messages at once, with a progress.
func (d *database) recorded(t *testing.T) *chat {
	return &chat{send: func(workflow string, m rpc.ChatMessage) (rpc.Sent, error) {
		d.append(t, db.Message{WorkflowID: workflow, ID: m.ID, Message: m.Text, Role: "user"},
			db.Progress{WorkflowID: workflow, ID: "asked " + m.ID, Status: "reading"})
		return rpc.Sent{ID: m.ID}, nil
	}}
}

func TestAMessageIsSentAndItsAnswerStreamed(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := serve(t, d.source(t), config{rpc: rpc.Config{Chat: d.recorded(t)}})
	d.append(t, message("user", "u0", "before"), message("assistant", "a0", "answered"), progress("p0", 100, "done"))
	c := &agClient{messages: []agMessage{{ID: "u1", Role: "user", Content: "hello"}}, state: map[string]any{"mine": 1.}}
	run := c.run(t, s, "wf", nil)
	e := run.until("RUN_STARTED")
	require.Equal(t, []string{"thread", "run"}, []string{e.ThreadID, e.RunID})
	require.Equal(t, map[string]any{"mine": 1., "progress": map[string]any{"progress": 100., "status": "done", "result": "", "final": false}},
		run.until("STATE_SNAPSHOT").Snapshot)
	run.until("STATE_DELTA")
	require.Equal(t, []string{"user u0: before", "assistant a0: answered", "user u1: hello"}, run.texts(), "in the feed's order")
	d.append(t, piece("a1", 1, 0, 0, "reasoning", "Hm"), piece("a1", 1, 0, 2, "reasoning", "."), piece("a1", 1, 1, 0, "text", "He"))
	require.Equal(t, "He", run.until("TEXT_MESSAGE_CONTENT").text())
	d.append(t, db.Log{WorkflowID: "wf", ID: "l", Level: "info", Message: "said"}, db.Stat{WorkflowID: "wf", ID: "s", TokenCount: 7})
	require.Equal(t, "said", run.until("CUSTOM").Value["message"])
	require.Equal(t, 7., run.until("CUSTOM").Value["tokenCount"])
	d.append(t, piece("a1", 1, 1, 2, "text", "llo 🙂"), message("assistant", "a1", "Hello 🙂!"))
	run.until("TEXT_MESSAGE_END")
	d.append(t, db.Progress{WorkflowID: "wf", ID: "p1", Progress: 100, Status: "done", Result: "ok"})
	end := run.finish()
	require.Equal(t, []string{"RUN_FINISHED", "ok", ""}, []string{end.Type, end.Result, end.Outcome.Type})
	require.Equal(t, []string{
		"REASONING_START", "REASONING_MESSAGE_START", "REASONING_MESSAGE_CONTENT", "REASONING_MESSAGE_END", "REASONING_END",
		"TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT", "CUSTOM", "CUSTOM", "TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_END", "STATE_DELTA", "RUN_FINISHED",
	}, run.types[len(run.types)-13:])
	require.Equal(t, []string{"user u0: before", "assistant a0: answered", "user u1: hello", "assistant a1: Hello 🙂!"}, run.texts())
	require.Equal(t, []string{"a1:reasoning:0: Hm."}, run.said("reasoning"))
	require.Equal(t, 1., c.state["mine"])
	require.Equal(t, "done", c.state["progress"].(map[string]any)["status"])

	again := c.run(t, s, "wf", nil) // brings nothing new, and nothing is going on
	require.Equal(t, "RUN_FINISHED", again.finish().Type)
	require.Equal(t, []string{"RUN_STARTED", "STATE_SNAPSHOT", "MESSAGES_SNAPSHOT", "RUN_FINISHED"}, again.types)
	require.Equal(t, []string{"a1:reasoning:0: Hm."}, again.said("reasoning"), "the feed has it no more, and the client keeps it")
}

func TestAMessageThatTheFeedHasIsNotSentAgain(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	var sent []rpc.ChatMessage
	s := serve(t, d.source(t), config{rpc: rpc.Config{Chat: &chat{send: func(_ string, m rpc.ChatMessage) (rpc.Sent, error) {
		sent = append(sent, m)
		return rpc.Sent{}, nil
	}}}})
	d.append(t, message("user", "u1", "one"), progress("p", 20, "answering"), piece("a", 1, 0, 0, "text", "I "))
	c := &agClient{messages: []agMessage{
		{ID: "old", Role: "user", Content: "not of this workflow"},
		{ID: "x", Role: "assistant"},
		{ID: "u1", Role: "user", Content: "one"},
		{ID: "u2", Role: "user", Content: "two"},
	}}
	run := c.run(t, s, "wf", nil)
	run.until("MESSAGES_SNAPSHOT")
	require.Equal(t, []rpc.ChatMessage{{ID: "u2", Text: "two"}}, sent)
	for run.types[len(run.types)-1] != "MESSAGES_SNAPSHOT" || len(run.messages) != 3 {
		run.until("MESSAGES_SNAPSHOT")
	}
	require.Equal(t, []string{"user u1: one", "assistant a: I ", "user u2: two"}, run.texts())

	d.append(t, progress("done 1", 100, "done"), message("assistant", "x", "more")) // of the round before
	d.append(t, message("assistant", "a", "I am"), message("user", "u2", "two"), progress("p2", 0, "reading"))
	d.append(t, message("assistant", "b", ""), progress("done 2", 100, "done"))
	require.Equal(t, "RUN_FINISHED", run.finish().Type)
	require.Equal(t, []string{"user u1: one", "assistant x: more", "assistant a: I am", "user u2: two", "assistant b: "}, run.texts())
}

func TestAClientThatComesWhileAMessageIsWrittenHasItExactly(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := serve(t, d.source(t), config{})
	d.append(t, message("user", "u", "x"), progress("p", 20, "answering"),
		piece("a", 1, 0, 0, "reasoning", "Why"), piece("a", 1, 1, 0, "text", "aaa"))
	c := &agClient{}
	run := c.run(t, s, "wf", nil)
	run.until("MESSAGES_SNAPSHOT")
	require.Equal(t, []string{"user u: x", "assistant a: aaa"}, run.texts())
	require.Equal(t, []string{"a:reasoning:0: Why"}, run.said("reasoning"))
	d.append(t, piece("a", 1, 1, 3, "text", "aa"))
	require.Equal(t, "aa", run.until("TEXT_MESSAGE_CONTENT").text())
	require.Equal(t, "TEXT_MESSAGE_START", run.types[len(run.types)-2])

	run.cancel() // and comes back
	d.append(t, piece("a", 1, 1, 5, "text", "aaaa"))
	run = c.run(t, s, "wf", nil)
	run.until("MESSAGES_SNAPSHOT")
	require.Equal(t, []string{"user u: x", "assistant a: aaaaaaaaa"}, run.texts())
	require.Equal(t, []string{"a:reasoning:0: Why"}, run.said("reasoning"))
	d.append(t, message("assistant", "a", "aaaaaaaaaa"), progress("q", 100, "done"))
	require.Equal(t, "RUN_FINISHED", run.finish().Type)
	require.Equal(t, []string{"user u: x", "assistant a: aaaaaaaaaa"}, run.texts())
}

func TestARetryOfAnAttemptReplacesWhatTheClientHas(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := serve(t, d.source(t), config{})
	d.append(t, message("user", "u", "x"), progress("p", 20, "answering"))
	c := &agClient{}
	run := c.run(t, s, "wf", nil)
	run.until("MESSAGES_SNAPSHOT")
	d.append(t, piece("a", 1, 0, 0, "reasoning", "Wrong"), piece("a", 1, 1, 0, "text", "The wro"))
	run.until("TEXT_MESSAGE_CONTENT")
	d.append(t, piece("a", 2, 0, 0, "text", "T"))
	run.until("MESSAGES_SNAPSHOT")
	require.Equal(t, []string{"user u: x", "assistant a: T"}, run.texts())
	require.NotContains(t, fmt.Sprint(run.messages), "Wrong")
	d.append(t, piece("a", 1, 1, 7, "text", "ng"), piece("a", 2, 0, 1, "text", "he right")) // the first attempt is not dead yet
	require.Equal(t, "he right", run.until("TEXT_MESSAGE_CONTENT").text())
	require.Equal(t, []string{"TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_END", "MESSAGES_SNAPSHOT", "TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT"},
		run.types[len(run.types)-5:])
	d.append(t, message("assistant", "a", "The right"), progress("q", 100, "done"))
	run.finish()
	require.Equal(t, []string{"user u: x", "assistant a: The right"}, run.texts())
}

func TestToolsAndApprovalsAreToldAsTheProtocolHasThem(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	var told []rpc.Approval
	s := serve(t, d.source(t), config{rpc: rpc.Config{Chat: &chat{told: func(_ string, a rpc.Approval) error {
		told = append(told, a)
		return nil
	}}}})
	tool := func(call, state string) db.Tool {
		return db.Tool{WorkflowID: "wf", CallID: call, MessageID: "a", Name: "search", State: state}
	}
	with := func(t db.Tool, input, output, failure string) db.Tool {
		if t.Error = failure; input != "" {
			t.Input = []byte(input)
		}
		if output != "" {
			t.Output = []byte(output)
		}
		return t
	}
	d.append(t, message("user", "u", "x"), progress("p", 20, "answering"))
	c := &agClient{}
	run := c.run(t, s, "wf", nil)
	run.until("MESSAGES_SNAPSHOT")
	d.append(t, with(tool("c1", db.InputAvailable), `{"q": 1}`, "", ""))
	run.until("TOOL_CALL_END")
	d.append(t, piece("a", 1, 0, 0, "text", "Found"), with(tool("c1", db.OutputAvailable), "", `["r"]`, ""))
	require.Equal(t, `["r"]`, run.until("TOOL_CALL_RESULT").Content)
	d.append(t, with(tool("c2", db.InputAvailable), `{}`, "", ""), tool("c2", db.ApprovalRequested), message("assistant", "a", "Found"),
		progress("w", 20, "waiting"))
	require.Equal(t, "approval-requested", run.until("CUSTOM").Name)
	end := run.finish()
	require.Equal(t, "interrupt", end.Outcome.Type)
	require.Len(t, end.Outcome.Interrupts, 1)
	require.Equal(t, "c2", end.Outcome.Interrupts[0].ToolCallID)
	require.Equal(t, "tool_call", end.Outcome.Interrupts[0].Reason)
	require.Equal(t, []string{"STATE_DELTA", "STATE_SNAPSHOT", "MESSAGES_SNAPSHOT", "RUN_FINISHED"}, run.types[len(run.types)-4:])

	require.Equal(t, "interrupt", c.run(t, s, "wf", nil).finish().Outcome.Type, "it still waits")
	require.Empty(t, told)

	resume := map[string]any{"resume": []any{map[string]any{
		"interruptId": "c2", "status": "resolved", "payload": map[string]any{"approved": false, "reason": "no"},
	}}}
	run = c.run(t, s, "wf", resume)
	run.until("MESSAGES_SNAPSHOT")
	require.Equal(t, []rpc.Approval{{CallID: "c2", Reason: "no"}}, told)
	d.append(t, tool("c2", db.ApprovalResponded), with(tool("c2", db.OutputDenied), "", "", "no"), progress("q", 20, "answering"))
	require.Equal(t, "approval-responded", run.until("CUSTOM").Name)
	require.Equal(t, "no", run.until("TOOL_CALL_RESULT").Content)
	run.cancel()

	run = c.run(t, s, "wf", resume) // an answer that is known is not sent again
	run.until("MESSAGES_SNAPSHOT")
	require.Len(t, told, 1)
	d.append(t, message("assistant", "b", "Without"), progress("r", 100, "done"))
	require.Equal(t, "RUN_FINISHED", run.finish().Type)
	require.Equal(t, []string{"user u: x", "assistant a: Found", "assistant b: Without"}, run.texts())
	require.Equal(t, []string{`c1:result: ["r"]`, "c2:result: no"}, run.said("tool"))
	require.Len(t, c.find("a").ToolCalls, 2)
	require.Equal(t, `{"q": 1}`, c.find("a").ToolCalls[0].Function.Arguments)
}

func TestARunEndsAsItsRoundDoes(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := serve(t, d.source(t), config{rpc: rpc.Config{Chat: d.recorded(t)}})
	for status, want := range map[string][]string{
		"stopped": {"RUN_FINISHED", "cancelled", ""}, "cancelled": {"RUN_FINISHED", "cancelled", ""},
		"waiting": {"RUN_FINISHED", "", ""}, "failed": {"RUN_ERROR", "", "It broke."}, "terminated": {"RUN_ERROR", "", "It broke."}, "timed_out": {"RUN_ERROR", "", "It broke."},
	} {
		c := &agClient{messages: []agMessage{{ID: "u " + status, Role: "user", Content: "x"}}}
		run := c.run(t, s, status, nil)
		run.until("STATE_DELTA")
		d.append(t, db.Delta{WorkflowID: status, MessageID: "a", Attempt: 1, Kind: "text", Delta: "half"},
			db.Log{WorkflowID: status, ID: "l", Level: "error", Message: "It broke."}, db.Progress{WorkflowID: status, ID: "p", Progress: 20, Status: status})
		end := run.finish()
		require.Equal(t, want, []string{end.Type, end.Outcome.Type, end.Message}, status)
		require.Equal(t, "half", c.find("a").Content)
	}
	c := &agClient{messages: []agMessage{{ID: "u", Role: "user", Content: "x"}}}
	run := c.run(t, s, "old", map[string]any{"protocolVersion": nil})
	d.append(t, db.Progress{WorkflowID: "old", ID: "p", Status: "stopped"})
	require.Empty(t, run.finish().Outcome.Type, "an older client knows no such outcome")

	c = &agClient{}
	run = c.run(t, s, "nothing is known of it", nil)
	require.Equal(t, "RUN_FINISHED", run.finish().Type)
	require.Empty(t, run.messages)

	d.append(t, db.Message{WorkflowID: "closed", ID: "u", Role: "user"}, db.Progress{WorkflowID: "closed", ID: "p", Final: true})
	require.Equal(t, "RUN_FINISHED", c.run(t, s, "closed", nil).finish().Type)
	require.Equal(t, []string{"user u: "}, c.texts())
	s.followed(t, 0)
}

// A workflow need not record progress.
func TestWithoutProgressARunEndsWithTheAnswer(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := serve(t, d.source(t), config{rpc: rpc.Config{Chat: &chat{send: func(_ string, m rpc.ChatMessage) (rpc.Sent, error) {
		d.append(t, message("user", m.ID, m.Text))
		return rpc.Sent{}, nil
	}}}})
	c := &agClient{}
	for i := range 2 {
		c.messages = append(c.messages, agMessage{ID: fmt.Sprint("u", i), Role: "user", Content: "x"})
		run := c.run(t, s, "wf", nil)
		run.until("MESSAGES_SNAPSHOT")
		d.append(t, piece(fmt.Sprint("a", i), 1, 0, 0, "text", "y"))
		run.until("TEXT_MESSAGE_CONTENT")
		d.append(t, message("assistant", fmt.Sprint("a", i), "yes"))
		require.Equal(t, "RUN_FINISHED", run.finish().Type)
	}
	require.Equal(t, []string{"user u0: x", "assistant a0: yes", "user u1: x", "assistant a1: yes"}, c.texts())
}

func TestEditsAndErasuresReachTheClient(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := serve(t, d.source(t), config{})
	d.append(t, message("user", "u", "secret"), message("assistant", "a", "one"), message("user", "v", "x"), progress("p", 20, "answering"))
	c := &agClient{messages: []agMessage{
		{ID: "u", Role: "user", Content: "secret"}, {ID: "a:reasoning:0", Role: "reasoning", Content: "thought"}, {ID: "a", Role: "assistant", Content: "one"},
	}}
	run := c.run(t, s, "wf", nil)
	run.until("MESSAGES_SNAPSHOT")
	require.Equal(t, []string{"a:reasoning:0: thought"}, run.said("reasoning"))
	d.append(t, db.Message{WorkflowID: "wf", ID: "a2", Message: "two", Role: "assistant", Replaces: "a"})
	run.until("MESSAGES_SNAPSHOT")
	require.Equal(t, []string{"user u: secret", "assistant a: two", "user v: x"}, run.texts())
	d.exec(t, `delete from chatfeed.messages where workflow_id = 'wf' and id in ('u', 'a2')`)
	run.until("MESSAGES_SNAPSHOT")
	for len(run.texts()) > 1 { // the two may be told one after the other
		run.until("MESSAGES_SNAPSHOT")
	}
	require.Equal(t, []string{"user v: x"}, run.texts())
	require.NotContains(t, fmt.Sprint(run.messages), "thought")
	d.append(t, progress("q", 100, "done"))
	require.Equal(t, "RUN_FINISHED", run.finish().Type)
	require.Equal(t, []string{"user v: x"}, run.texts())

	d.append(t, message("user", "w", "more"))
	run = c.run(t, s, "wf", nil)
	run.until("MESSAGES_SNAPSHOT")
	d.exec(t, `delete from chatfeed.workflows where id = 'wf'`)
	require.Equal(t, "RUN_FINISHED", run.finish().Type)
	require.Empty(t, run.texts())
}
