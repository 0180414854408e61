package activities

import (
	"encoding/json"

	"chatfeed/db"
)

// Item is the input of an activity: a [Message], [Log], [Stat] or [Progress]. An empty WorkflowID means the workflow that
// calls; for everything else see [db.Item].
type Item interface {
	item() db.Item
	state() input
}

// Message is the input of RecordMessage: see [db.Message].
type Message struct {
	WorkflowID string          `json:"workflowId,omitempty"`
	ID         string          `json:"id,omitempty"`
	Role       string          `json:"role,omitempty"`
	Message    string          `json:"message"`
	Status     string          `json:"status,omitempty"`
	Metadata   json.RawMessage `json:"metadata,omitempty"`
	input
}

func (m Message) item() db.Item {
	return db.Message{WorkflowID: m.WorkflowID, ID: m.ID, Role: m.Role, Message: m.Message, Status: m.Status, Metadata: m.Metadata}
}

// UnmarshalJSON never fails, because the SDK would then retry the activity; an error is reported when the item is recorded. An
// unknown field is left out, with a warning. The message is required, and may be empty.
func (m *Message) UnmarshalJSON(text []byte) error {
	type plain Message
	m.input = decode(text, (*plain)(m), db.KindOf(db.Message{}))
	return nil
}

// Log is the input of RecordLog: see [db.Log].
type Log struct {
	WorkflowID string          `json:"workflowId,omitempty"`
	ID         string          `json:"id,omitempty"`
	Level      string          `json:"level,omitempty"`
	Message    string          `json:"message"`
	Metadata   json.RawMessage `json:"metadata,omitempty"`
	input
}

func (l Log) item() db.Item {
	return db.Log{WorkflowID: l.WorkflowID, ID: l.ID, Level: l.Level, Message: l.Message, Metadata: l.Metadata}
}

// UnmarshalJSON decodes as that of Message does.
func (l *Log) UnmarshalJSON(text []byte) error {
	type plain Log
	l.input = decode(text, (*plain)(l), db.KindOf(db.Log{}))
	return nil
}

// Stat is the input of RecordStat: see [db.Stat].
type Stat struct {
	WorkflowID     string          `json:"workflowId,omitempty"`
	ID             string          `json:"id,omitempty"`
	ProcessingTime float64         `json:"processingTime"` // seconds, zero or more
	TokenCount     int64           `json:"tokenCount"`     // zero to 2,147,483,647
	Metadata       json.RawMessage `json:"metadata,omitempty"`
	input
}

func (s Stat) item() db.Item {
	return db.Stat{WorkflowID: s.WorkflowID, ID: s.ID, ProcessingTime: s.ProcessingTime, TokenCount: s.TokenCount, Metadata: s.Metadata}
}

// UnmarshalJSON decodes as that of Message does. One of the two numbers is required.
func (s *Stat) UnmarshalJSON(text []byte) error {
	type plain Stat
	s.input = decode(text, (*plain)(s), db.KindOf(db.Stat{}))
	return nil
}

// Progress is the input of RecordProgress: see [db.Progress].
type Progress struct {
	WorkflowID string          `json:"workflowId,omitempty"`
	ID         string          `json:"id,omitempty"`
	Progress   float64         `json:"progress"` // per cent, 0 to 100
	Status     string          `json:"status,omitempty"`
	Result     string          `json:"result,omitempty"`
	Final      bool            `json:"final,omitempty"` // nothing can be written to the workflow after this
	Metadata   json.RawMessage `json:"metadata,omitempty"`
	input
}

func (p Progress) item() db.Item {
	return db.Progress{
		WorkflowID: p.WorkflowID, ID: p.ID, Progress: p.Progress, Status: p.Status, Result: p.Result, Final: p.Final, Metadata: p.Metadata,
	}
}

// UnmarshalJSON decodes as that of Message does. The progress is required.
func (p *Progress) UnmarshalJSON(text []byte) error {
	type plain Progress
	p.input = decode(text, (*plain)(p), db.KindOf(db.Progress{}))
	return nil
}

// other is an item of any type, as RecordItems decodes it.
type other struct {
	decoded db.Item
	input
}

func (o other) item() db.Item { return o.decoded }
