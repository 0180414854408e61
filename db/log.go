package db

import "encoding/json"

// Log is a line of the workflow's log. An empty Level means info.
type Log struct {
	WorkflowID string          `json:"workflowId,omitempty"`
	ID         string          `json:"id,omitempty"`
	Level      string          `json:"level,omitempty"`
	Message    string          `json:"message"`
	Metadata   json.RawMessage `json:"metadata,omitempty"`
}

var logs = newKind[Log]("log", "logs", "log_", []string{"message"},
	label("level", text2, "info", func(l Log) string { return l.Level }),
	long("message", text1, func(l Log) string { return l.Message }),
)

func (Log) kind() *Kind { return logs }

func (l Log) key() key { return key{l.WorkflowID, l.ID, l.Metadata} }

func (l Log) with(workflowID, id string) Item {
	l.WorkflowID, l.ID = workflowID, id
	return l
}
