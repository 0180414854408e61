package activities

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"chatfeed/db"
)

var errClosed = errors.New("activities: the message is closed")

// MessageWriter is a message that is being written. What is written to it is its text. One goroutine may write to it at a time.
type MessageWriter struct {
	recorder *Recorder
	id, role string
	parts    []*PartWriter // guarded by the recorder, as is closed
	closed   bool
}

// Message begins a message. An empty role means assistant.
func (r *Recorder) Message(role string) *MessageWriter {
	m := &MessageWriter{recorder: r, id: r.id("msg_"), role: role}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open = append(r.open, m)
	return m
}

// ID is the message's id.
func (m *MessageWriter) ID() string { return m.id }

// Write adds to the message's text. It may end within a character.
func (m *MessageWriter) Write(text []byte) (int, error) { return m.part("text").Write(text) }

// WriteString is Write.
func (m *MessageWriter) WriteString(text string) (int, error) {
	return m.part("text").WriteString(text)
}

// Reasoning is where the reasoning is written that comes before what follows.
func (m *MessageWriter) Reasoning() *PartWriter { return m.part("reasoning") }

// part returns the last part, if it is of this kind, or begins one that is.
func (m *MessageWriter) part(kind string) *PartWriter {
	m.recorder.mu.Lock()
	defer m.recorder.mu.Unlock()
	if n := len(m.parts); n > 0 && m.parts[n-1].kind == kind {
		return m.parts[n-1]
	}
	p := &PartWriter{message: m, number: int64(len(m.parts)), kind: kind}
	m.parts = append(m.parts, p)
	return p
}

// Close ends the message, with the text that was written and a status such as "complete".
func (m *MessageWriter) Close(status string) error { return m.close(m.recorder.ctx, status) }

func (m *MessageWriter) close(ctx context.Context, status string) error {
	item, err := m.whole(status)
	if err != nil {
		return err
	}
	return m.recorder.record(ctx, item)
}

// CloseInTx is Close in a transaction of the caller's, so that the message appears with what else the transaction writes, or not
// at all. See [db.Append].
func (m *MessageWriter) CloseInTx(ctx context.Context, tx pgx.Tx, status string) error {
	item, err := m.whole(status)
	if err != nil {
		return err
	}
	m.recorder.mu.Lock()
	err = m.recorder.await(ctx)
	m.recorder.mu.Unlock()
	if err != nil {
		return err
	}
	if _, err := db.Append(ctx, tx, item); err != nil {
		return fmt.Errorf("close message %s: %w", m.id, err)
	}
	return nil
}

// whole closes the message and returns it.
func (m *MessageWriter) whole(status string) (db.Message, error) {
	m.recorder.mu.Lock()
	defer m.recorder.mu.Unlock()
	if m.closed {
		return db.Message{}, errClosed
	}
	m.closed = true
	m.recorder.open = slices.DeleteFunc(m.recorder.open, func(open *MessageWriter) bool { return open == m })
	var text strings.Builder
	for _, p := range m.parts {
		if p.kind == "text" {
			text.WriteString(p.text.String())
			text.WriteString(strings.ToValidUTF8(string(p.half), "\uFFFD"))
		}
	}
	return db.Message{
		WorkflowID: m.recorder.info.WorkflowExecution.ID, ID: m.id, Role: m.role, Message: text.String(), Status: status,
	}, nil
}

// PartWriter is a part of a message that is being written.
type PartWriter struct {
	message *MessageWriter
	number  int64
	kind    string
	text    strings.Builder // guarded by the recorder, as is at
	at      int64           // code points
	half    []byte          // of a character whose other half is still to come
}

// Write adds to the part's text. It may end within a character, which is recorded when it is whole.
func (p *PartWriter) Write(text []byte) (int, error) {
	whole := append(p.half, text...)
	end := len(whole)
	for cut := 1; cut < utf8.UTFMax && cut <= len(whole); cut++ {
		if last := whole[len(whole)-cut:]; utf8.RuneStart(last[0]) {
			if !utf8.FullRune(last) {
				end = len(whole) - cut
			}
			break
		}
	}
	p.half = slices.Clone(whole[end:])
	if _, err := p.WriteString(string(whole[:end])); err != nil {
		return 0, err
	}
	return len(text), nil
}

// WriteString adds to the part's text.
func (p *PartWriter) WriteString(text string) (int, error) {
	clean := strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
	if clean == "" {
		return len(text), nil
	}
	if err := p.message.recorder.add(p, clean); err != nil {
		return 0, err
	}
	return len(text), nil
}

// delta is a text as the next piece of the part.
func (p *PartWriter) delta(text string) db.Delta {
	r := p.message.recorder
	return db.Delta{
		WorkflowID: r.info.WorkflowExecution.ID, MessageID: p.message.id, Attempt: int64(r.info.Attempt),
		Part: p.number, Kind: p.kind, At: p.at, Delta: text,
	}
}

// ToolCall is a call of a tool, whose states are recorded.
type ToolCall struct {
	recorder *Recorder
	call     db.Tool
}

// Tool records that the message calls a tool with an input, which is encoded as JSON.
func (m *MessageWriter) Tool(name string, input any) (*ToolCall, error) {
	text, err := json.Marshal(input)
	if err != nil {
		return nil, fmt.Errorf("input of %s: %w", name, err)
	}
	r := m.recorder
	t := &ToolCall{r, db.Tool{WorkflowID: r.info.WorkflowExecution.ID, CallID: r.id("call_"), MessageID: m.id, Name: name, Input: text}}
	return t, t.state(db.InputAvailable, nil, "")
}

// Resume goes on with a call that another activity of the workflow has begun: its [ToolCall.Call].
func (r *Recorder) Resume(call db.Tool) *ToolCall {
	call.WorkflowID = r.info.WorkflowExecution.ID
	return &ToolCall{r, call}
}

// ID is the call's id, which the answer to an approval names.
func (t *ToolCall) ID() string { return t.call.CallID }

// Call is the call without its state, which the activity may return for another to go on with: see [Recorder.Resume].
func (t *ToolCall) Call() db.Tool { return t.call }

// RequestApproval records that somebody has to approve the call.
func (t *ToolCall) RequestApproval() error { return t.state(db.ApprovalRequested, nil, "") }

// Approved records that somebody has answered the request.
func (t *ToolCall) Approved() error { return t.state(db.ApprovalResponded, nil, "") }

// Denied records that the call was not approved, and why.
func (t *ToolCall) Denied(reason string) error { return t.state(db.OutputDenied, nil, reason) }

// Output records what the tool has answered, encoded as JSON.
func (t *ToolCall) Output(output any) error {
	text, err := json.Marshal(output)
	if err != nil {
		return fmt.Errorf("output of %s: %w", t.call.Name, err)
	}
	return t.state(db.OutputAvailable, text, "")
}

// Failed records that the tool has failed.
func (t *ToolCall) Failed(reason string) error { return t.state(db.OutputError, nil, reason) }

func (t *ToolCall) state(state string, output json.RawMessage, reason string) error {
	item := t.call
	item.State, item.Output, item.Error = state, output, reason
	return t.recorder.record(t.recorder.ctx, item)
}
