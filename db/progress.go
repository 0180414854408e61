package db

import (
	"encoding/json"

	"chatfeed/db/internal/dbsqlc"
)

// Progress is the progress of the workflow. The status of a workflow is that of its latest progress item.
type Progress struct {
	WorkflowID string          `json:"workflowId,omitempty"`
	ID         string          `json:"id,omitempty"`
	Progress   float64         `json:"progress"` // per cent, 0 to 100
	Status     string          `json:"status,omitempty"`
	Result     string          `json:"result,omitempty"`
	Final      bool            `json:"final,omitempty"` // nothing can be written to the workflow after this
	Metadata   json.RawMessage `json:"metadata,omitempty"`
}

var progress = newKind[Progress]("progress", "progress", "prog_", []string{"progress"},
	number("progress", number1, 0, 100, "a number from 0 to 100", func(p Progress) float64 { return p.Progress }),
	label("status", text2, "", func(p Progress) string { return p.Status }),
	long("result", text1, func(p Progress) string { return p.Result }),
	flag("final", number2, func(p Progress) bool { return p.Final }),
)

// isFinal reports whether a row is the last that its workflow can have.
func isFinal(k *Kind, row *dbsqlc.AfterRow) bool { return k == progress && number2.whole(row) != 0 }

func (Progress) kind() *Kind { return progress }

func (p Progress) key() key { return key{p.WorkflowID, p.ID, p.Metadata} }

func (p Progress) with(workflowID, id string) Item {
	p.WorkflowID, p.ID = workflowID, id
	return p
}
