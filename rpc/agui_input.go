package rpc

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"

	"connectrpc.com/connect"
)

const (
	// maxRunInput is how long the body of a run may be. A client sends the whole conversation with each.
	maxRunInput = 8 << 20
	maxRunID    = 1000
	// maxRunMessages is how many new messages a run may bring.
	maxRunMessages = 10
)

// runInput is the part of AG-UI's RunAgentInput that is used.
type runInput struct {
	ThreadID        string          `json:"threadId"`
	RunID           string          `json:"runId"`
	ProtocolVersion string          `json:"protocolVersion"` // empty from clients before 1.0
	Messages        []runMessage    `json:"messages"`
	State           json.RawMessage `json:"state"` // the client's own
	Resume          []runResume     `json:"resume"`
}

// runMessage is a message that the client has.
type runMessage struct {
	ID      string          `json:"id"`
	Role    string          `json:"role"`
	Content json.RawMessage `json:"content"` // a text, or the parts of one
}

// runResume is the answer to an interrupt, whose id is that of a call.
type runResume struct {
	InterruptID string      `json:"interruptId"`
	Status      string      `json:"status"`
	Payload     runApproval `json:"payload"`
}

type runApproval struct {
	Approved *bool  `json:"approved"`
	Reason   string `json:"reason"`
}

// readRun reads the request of a run. The content type is required because a page of another site can send any other without
// asking first.
func readRun(r *http.Request) (*runInput, error) {
	given := r.Header.Get("Content-Type")
	if kind, _, err := mime.ParseMediaType(given); err != nil || kind != "application/json" {
		return nil, invalid("Content-Type", "is %.100q; application/json is accepted", given)
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxRunInput+1))
	var late *connect.Error
	switch {
	case errors.As(err, &late):
		return nil, late
	case err != nil:
		return nil, invalid("body", "ended too early; the JSON of RunAgentInput is accepted")
	case len(body) > maxRunInput:
		return nil, invalid("body", "is too long; at most %d bytes are accepted", maxRunInput)
	}
	input := new(runInput)
	var kind *json.UnmarshalTypeError
	switch err := json.Unmarshal(body, input); {
	case errors.As(err, &kind):
		return nil, invalid(cmp.Or(kind.Field, "body"), "is a JSON %s; see RunAgentInput of AG-UI for what is accepted", kind.Value)
	case err != nil:
		return nil, invalid("body", "is not JSON; the JSON of RunAgentInput is accepted")
	}
	return input, input.check()
}

func (in *runInput) check() error {
	for field, id := range map[string]string{"threadId": in.ThreadID, "runId": in.RunID} {
		if id == "" || len(id) > maxRunID {
			return invalid(field, "is %d bytes long; 1 to %d bytes are accepted", len(id), maxRunID)
		}
	}
	for i := range in.Resume {
		if err := in.Resume[i].check(fmt.Sprintf("resume[%d]", i)); err != nil {
			return err
		}
	}
	_, err := in.asked()
	return err
}

func (e *runResume) check(field string) error {
	reason := e.Payload.Reason
	switch {
	case e.Status != "resolved" && e.Status != "cancelled":
		return invalid(field+".status", "is %.100q; resolved and cancelled are accepted", e.Status)
	case e.Status == "resolved" && e.Payload.Approved == nil:
		return invalid(field+".payload.approved", "is missing; true and false are accepted")
	case len(reason) > maxReason:
		return invalid(field+".payload.reason", "is %d bytes long; at most %d bytes are accepted", len(reason), maxReason)
	}
	return checkText(field+".payload.reason", reason)
}

// asked returns the messages that the user may have written since the last answer: those at the end.
func (in *runInput) asked() ([]ChatMessage, error) {
	first := len(in.Messages)
	for first > 0 && in.Messages[first-1].Role == "user" {
		first--
	}
	if n := len(in.Messages) - first; n > maxRunMessages {
		return nil, invalid("messages", "ends with %d messages of the user; at most %d are accepted", n, maxRunMessages)
	}
	asked := make([]ChatMessage, 0, len(in.Messages)-first)
	for i := first; i < len(in.Messages); i++ {
		field := fmt.Sprintf("messages[%d]", i)
		m := in.Messages[i]
		text, err := m.text(field + ".content")
		switch {
		case err != nil:
			return nil, err
		case m.ID == "" || len(m.ID) > maxMessageID:
			return nil, invalid(field+".id", "is %d bytes long; 1 to %d bytes are accepted", len(m.ID), maxMessageID)
		case text == "" || len(text) > maxText:
			return nil, invalid(field+".content", "is %d bytes long; 1 byte to %d bytes are accepted", len(text), maxText)
		}
		if err := checkText(field+".id", m.ID); err != nil {
			return nil, err
		}
		if err := checkText(field+".content", text); err != nil {
			return nil, err
		}
		asked = append(asked, ChatMessage{ID: m.ID, Text: text})
	}
	return asked, nil
}

// text returns the text of a user's message, which may be in parts. Pictures and the like are refused.
func (m *runMessage) text(field string) (string, error) {
	var text string
	if json.Unmarshal(m.Content, &text) == nil {
		return text, nil
	}
	var parts []struct{ Type, Text string }
	if json.Unmarshal(m.Content, &parts) != nil {
		return "", invalid(field, "is neither a text nor a list of parts; both are accepted")
	}
	for i, part := range parts {
		if part.Type != "text" {
			return "", invalid(fmt.Sprintf("%s[%d].type", field, i), "is %.100q; text is accepted", part.Type)
		}
		text += part.Text
	}
	return text, nil
}
