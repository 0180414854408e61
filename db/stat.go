package db

import (
	"encoding/json"
	"math"
)

// Stat is the cost of a piece of work.
type Stat struct {
	WorkflowID     string          `json:"workflowId,omitempty"`
	ID             string          `json:"id,omitempty"`
	ProcessingTime float64         `json:"processingTime"` // seconds, zero or more
	TokenCount     int64           `json:"tokenCount"`     // zero to 2,147,483,647
	Metadata       json.RawMessage `json:"metadata,omitempty"`
}

var stats = newKind[Stat]("stat", "stats", "stat_", []string{"processingTime", "tokenCount"},
	number("processingTime", number1, 0, math.MaxFloat64, "seconds, zero or more", func(s Stat) float64 { return s.ProcessingTime }),
	whole("tokenCount", number2, func(s Stat) int64 { return s.TokenCount }),
)

func (Stat) kind() *Kind { return stats }

func (s Stat) key() key { return key{s.WorkflowID, s.ID, s.Metadata} }

func (s Stat) with(workflowID, id string) Item {
	s.WorkflowID, s.ID = workflowID, id
	return s
}
