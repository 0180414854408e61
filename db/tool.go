package db

import "encoding/json"

// The states of a tool call, in the order in which a call may go through them.
const (
	InputAvailable    = "input-available"
	ApprovalRequested = "approval-requested"
	ApprovalResponded = "approval-responded"
	OutputAvailable   = "output-available"
	OutputError       = "output-error"
	OutputDenied      = "output-denied"
)

// Tool is a state of a call of a tool. The latest one is the call's state. An empty ID becomes CallID:State.
type Tool struct {
	WorkflowID string          `json:"workflowId,omitempty"`
	ID         string          `json:"id,omitempty"`
	CallID     string          `json:"callId"`              // 1 to 150 bytes
	MessageID  string          `json:"messageId,omitempty"` // the message that the call is a part of
	Name       string          `json:"name"`                // the tool's
	State      string          `json:"state"`               // InputAvailable to OutputDenied
	Input      json.RawMessage `json:"input,omitempty"`     // at most 256 KiB, nested at most 31 deep
	Output     json.RawMessage `json:"output,omitempty"`    // as Input
	Error      string          `json:"error,omitempty"`     // of the state OutputError, or why it was denied
	Metadata   json.RawMessage `json:"metadata,omitempty"`
}

var tools = newKind[Tool]("tool", "tools", "", []string{"callId"},
	required(limited("callId", text2, maxReference, func(t Tool) string { return t.CallID })),
	limited("messageId", text3, maxID, func(t Tool) string { return t.MessageID }),
	required(limited("name", text4, maxLabel, func(t Tool) string { return t.Name })),
	oneOf("state", text5, func(t Tool) string { return t.State },
		InputAvailable, ApprovalRequested, ApprovalResponded, OutputAvailable, OutputError, OutputDenied),
	value("input", json1, func(t Tool) json.RawMessage { return t.Input }),
	value("output", json2, func(t Tool) json.RawMessage { return t.Output }),
	long("error", text1, func(t Tool) string { return t.Error }),
)

func (Tool) kind() *Kind { return tools }

func (t Tool) key() key {
	if t.ID == "" {
		t.ID = t.CallID + ":" + t.State
	}
	return key{t.WorkflowID, t.ID, t.Metadata}
}

func (t Tool) with(workflowID, id string) Item {
	t.WorkflowID, t.ID = workflowID, id
	return t
}
