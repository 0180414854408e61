package rpc

import "encoding/json"

// agEvent is an event of AG-UI. Which fields it has depends on its type; those that are empty are left out, since the client
// accepts no null. Deltas are pointers because an empty text is one.
type agEvent struct {
	Type      string `json:"type"`
	MessageID string `json:"messageId,omitempty"`
	Role      string `json:"role,omitempty"`
	Delta     any    `json:"delta,omitempty"` // a text, or a JSON patch

	ToolCallID      string          `json:"toolCallId,omitempty"`
	ToolCallName    string          `json:"toolCallName,omitempty"`
	ParentMessageID string          `json:"parentMessageId,omitempty"`
	Content         *string         `json:"content,omitempty"`
	Metadata        *agToolMetadata `json:"metadata,omitempty"`

	Messages []agMessage                `json:"messages,omitzero"` // an empty list is written
	Snapshot map[string]json.RawMessage `json:"snapshot,omitempty"`

	Name  string          `json:"name,omitempty"`
	Value json.RawMessage `json:"value,omitempty"`

	ThreadID string     `json:"threadId,omitempty"`
	RunID    string     `json:"runId,omitempty"`
	Result   string     `json:"result,omitempty"`
	Outcome  *agOutcome `json:"outcome,omitempty"`
	Message  *string    `json:"message,omitempty"`
	Code     string     `json:"code,omitempty"`
}

// agMessage is a message as AG-UI's clients keep it.
type agMessage struct {
	ID         string          `json:"id"`
	Role       string          `json:"role"`
	Content    *string         `json:"content,omitempty"`
	ToolCalls  []agToolCall    `json:"toolCalls,omitempty"`
	ToolCallID string          `json:"toolCallId,omitempty"`
	Metadata   *agToolMetadata `json:"metadata,omitempty"`
}

type agToolCall struct {
	ID       string     `json:"id"`
	Type     string     `json:"type"` // "function"
	Function agFunction `json:"function"`
}

type agFunction struct {
	Name      string `json:"name"`
	Arguments string `json:"arguments"` // JSON
}

// agToolMetadata says what a result is if it is none of a call that was made.
type agToolMetadata struct {
	State string `json:"state"` // output-error or output-denied
}

// agOutcome says how a run has ended.
type agOutcome struct {
	Type       string        `json:"type"` // interrupt, or cancelled
	Interrupts []agInterrupt `json:"interrupts,omitempty"`
}

// agInterrupt asks whether a call may be made.
type agInterrupt struct {
	ID             string          `json:"id"` // the call's
	Reason         string          `json:"reason"`
	Message        string          `json:"message"`
	ToolCallID     string          `json:"toolCallId"`
	ResponseSchema json.RawMessage `json:"responseSchema"`
}

var approvalSchema = json.RawMessage(
	`{"type":"object","properties":{"approved":{"type":"boolean"},"reason":{"type":"string"}},"required":["approved"]}`)
