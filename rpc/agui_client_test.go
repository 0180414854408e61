package rpc_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// agEvent is an event of AG-UI.
type agEvent struct {
	Type, MessageID, Role, ToolCallID, ToolCallName, ParentMessageID, Content, ThreadID, RunID, Name, Message, Code string

	Result   string
	Delta    json.RawMessage
	Messages []agMessage
	Snapshot map[string]any
	Value    map[string]any
	Outcome  struct {
		Type       string
		Interrupts []struct{ ID, Reason, ToolCallID string }
	}
}

func (e agEvent) text() string {
	var text string
	_ = json.Unmarshal(e.Delta, &text)
	return text
}

// agMessage is a message as a client keeps it.
type agMessage struct {
	ID         string       `json:"id"`
	Role       string       `json:"role"`
	Content    string       `json:"content"`
	ToolCalls  []agToolCall `json:"toolCalls,omitempty"`
	ToolCallID string       `json:"toolCallId,omitempty"`
}

type agToolCall struct {
	ID       string
	Function struct{ Name, Arguments string }
}

// agClient does what the client of npm does with events: it checks their sequence, and keeps the messages.
type agClient struct {
	messages []agMessage
	state    map[string]any
	open     map[string]bool // of messages, calls and reasoning
	types    []string        // of the run's events, without repetitions of content
	end      *agEvent
}

func (c *agClient) find(id string) *agMessage {
	for i := range c.messages {
		if c.messages[i].ID == id {
			return &c.messages[i]
		}
	}
	return nil
}

func (c *agClient) add(m agMessage) {
	if c.find(m.ID) == nil {
		c.messages = append(c.messages, m)
	}
}

func (c *agClient) call(id string) (*agMessage, *agToolCall) {
	for i := range c.messages {
		for j := range c.messages[i].ToolCalls {
			if c.messages[i].ToolCalls[j].ID == id {
				return &c.messages[i], &c.messages[i].ToolCalls[j]
			}
		}
	}
	return nil, nil
}

// take applies an event, and says what is wrong with it.
func (c *agClient) take(e agEvent) error {
	if n := len(c.types); n == 0 || c.types[n-1] != e.Type || !bytes.HasSuffix([]byte(e.Type), []byte("_CONTENT")) {
		c.types = append(c.types, e.Type)
	}
	kind := map[string]string{"TEXT_MESSAGE": "t", "REASONING": "s", "REASONING_MESSAGE": "r", "TOOL_CALL": "c"}
	for prefix, key := range kind {
		key += " " + e.MessageID + e.ToolCallID
		switch {
		case e.Type == prefix+"_START" && c.open[key]:
			return fmt.Errorf("%s of %q, which is open", e.Type, key)
		case e.Type == prefix+"_START":
			c.open[key] = true
		case slices.Contains([]string{prefix + "_CONTENT", prefix + "_ARGS", prefix + "_END"}, e.Type) && !c.open[key]:
			return fmt.Errorf("%s of %q, which is not open", e.Type, key)
		case e.Type == prefix+"_END":
			delete(c.open, key)
		}
	}
	switch {
	case c.end != nil:
		return fmt.Errorf("%s after the end", e.Type)
	case len(c.types) == 1 && e.Type != "RUN_STARTED" && e.Type != "RUN_ERROR":
		return fmt.Errorf("%s is first", e.Type)
	case e.Type == "RUN_FINISHED" && len(c.open) > 0:
		return fmt.Errorf("the run is finished while these are open: %v", c.open)
	}
	return c.apply(e)
}

func (c *agClient) apply(e agEvent) error {
	switch e.Type {
	case "TEXT_MESSAGE_START", "REASONING_MESSAGE_START":
		c.add(agMessage{ID: e.MessageID, Role: e.Role})
	case "TEXT_MESSAGE_CONTENT", "REASONING_MESSAGE_CONTENT":
		c.find(e.MessageID).Content += e.text()
	case "TOOL_CALL_START":
		if _, call := c.call(e.ToolCallID); call == nil {
			c.add(agMessage{ID: e.ParentMessageID, Role: "assistant"})
			call := agToolCall{ID: e.ToolCallID}
			call.Function.Name = e.ToolCallName
			m := c.find(e.ParentMessageID)
			m.ToolCalls = append(m.ToolCalls, call)
		}
	case "TOOL_CALL_ARGS":
		_, call := c.call(e.ToolCallID)
		call.Function.Arguments += e.text()
	case "TOOL_CALL_RESULT":
		m, _ := c.call(e.ToolCallID)
		at := slices.IndexFunc(c.messages, func(o agMessage) bool { return m != nil && o.ID == m.ID }) + 1
		for at < len(c.messages) && c.messages[at].Role == "tool" {
			at++
		}
		c.messages = slices.Insert(c.messages, at, agMessage{ID: e.MessageID, Role: "tool", Content: e.Content, ToolCallID: e.ToolCallID})
	case "MESSAGES_SNAPSHOT":
		c.merge(e.Messages)
	case "STATE_SNAPSHOT":
		c.state = e.Snapshot
	case "STATE_DELTA":
		var patch []struct {
			Op, Path string
			Value    any
		}
		if err := json.Unmarshal(e.Delta, &patch); err != nil || patch[0].Op != "add" || patch[0].Path != "/progress" {
			return fmt.Errorf("an odd patch: %s", e.Delta)
		}
		c.state["progress"] = patch[0].Value
	case "RUN_FINISHED", "RUN_ERROR":
		c.end = &e
	}
	return nil
}

func (c *agClient) merge(snapshot []agMessage) {
	reasons := slices.ContainsFunc(snapshot, func(m agMessage) bool { return m.Role == "reasoning" })
	var merged []agMessage
	for _, m := range c.messages {
		at := slices.IndexFunc(snapshot, func(s agMessage) bool { return s.ID == m.ID })
		switch {
		case at >= 0:
			merged = append(merged, snapshot[at])
		case m.Role == "reasoning" && !reasons:
			merged = append(merged, m)
		}
	}
	c.messages = merged
	for _, m := range snapshot {
		c.add(m)
	}
}

// said is what the client shows of a role, by "id: text".
func (c *agClient) said(role string) []string {
	said := []string{}
	for _, m := range c.messages {
		if m.Role == role {
			said = append(said, m.ID+": "+m.Content)
		}
	}
	return said
}

// texts is what the client shows as messages.
func (c *agClient) texts() []string {
	texts := []string{}
	for _, m := range c.messages {
		if m.Role != "reasoning" && m.Role != "tool" {
			texts = append(texts, m.Role+" "+m.ID+": "+m.Content)
		}
	}
	return texts
}

// agRun is a run that a client follows.
type agRun struct {
	t *testing.T
	*agClient
	next   func() (event, error, bool)
	cancel context.CancelFunc
}

// run begins a run. The input is completed with what it needs, and with the messages of the client.
func (c *agClient) run(t *testing.T, s *server, workflow string, input map[string]any) *agRun {
	t.Helper()
	c.open, c.types, c.end = make(map[string]bool), nil, nil
	response, err := c.post(limited(t), s, workflow, input)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, response.StatusCode)
	require.Equal(t, "text/event-stream", response.Header.Get("Content-Type"))
	next, stop := iter.Pull2(eventsOf(response.Body))
	closeBody := func() { _ = response.Body.Close() }
	t.Cleanup(func() {
		closeBody()
		stop()
	})
	return &agRun{t, c, next, closeBody}
}

func (c *agClient) post(ctx context.Context, s *server, workflow string, input map[string]any) (*http.Response, error) {
	whole := map[string]any{
		"threadId": "thread", "runId": "run", "protocolVersion": "1.0", "messages": c.messages, "tools": []any{}, "context": []any{},
	}
	if c.messages == nil {
		whole["messages"] = []any{}
	}
	if c.state != nil {
		whole["state"] = c.state
	}
	for name, value := range input {
		whole[name] = value
	}
	body, err := json.Marshal(whole)
	if err != nil {
		return nil, err
	}
	address := s.url + "/workflows/" + url.PathEscape(workflow) + "/ag-ui"
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	return s.h1.Do(request)
}

// event takes the next event; ok is false at the end of the stream.
func (r *agRun) event() (agEvent, bool) {
	r.t.Helper()
	for {
		e, err, ok := r.next()
		if !ok || err != nil {
			require.NotNil(r.t, r.end, "the stream has ended without an end: %v", err)
			return agEvent{}, false
		}
		if e.comment != "" {
			continue
		}
		var got agEvent
		require.NoError(r.t, json.Unmarshal([]byte(e.data), &got), e.data)
		require.NoError(r.t, r.take(got), e.data)
		return got, true
	}
}

// until takes events up to one of a type.
func (r *agRun) until(kind string) agEvent {
	r.t.Helper()
	for {
		e, ok := r.event()
		require.True(r.t, ok, "the run has ended before %s: %v", kind, r.types)
		if e.Type == kind {
			return e
		}
	}
}

// finish takes all events, and returns the last.
func (r *agRun) finish() agEvent {
	r.t.Helper()
	for {
		if _, ok := r.event(); !ok {
			return *r.end
		}
	}
}
