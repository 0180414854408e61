package db

import "encoding/json"

// Message is something said in the chat. An empty Role means assistant.
//
// It takes the place of the deltas with its ID as their MessageID, which are deleted with its insert.
type Message struct {
	WorkflowID string          `json:"workflowId,omitempty"`
	ID         string          `json:"id,omitempty"`
	Role       string          `json:"role,omitempty"`
	Message    string          `json:"message"`
	Status     string          `json:"status,omitempty"`
	Replaces   string          `json:"replaces,omitempty"` // the ID of the first version of the message that this takes the place of
	Metadata   json.RawMessage `json:"metadata,omitempty"`
}

var messages = newKind[Message]("message", "messages", "msg_", []string{"message"},
	long("message", text1, func(m Message) string { return m.Message }),
	label("role", text2, "assistant", func(m Message) string { return m.Role }),
	label("status", text3, "", func(m Message) string { return m.Status }),
	sparse(limited("replaces", text4, maxID, func(m Message) string { return m.Replaces })),
)

func (Message) kind() *Kind { return messages }

func (m Message) key() key { return key{m.WorkflowID, m.ID, m.Metadata} }

func (m Message) with(workflowID, id string) Item {
	m.WorkflowID, m.ID = workflowID, id
	return m
}
