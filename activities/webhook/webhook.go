// Package webhook tells others of a workflow's progress: each delivery is a signed POST request, as the specification
// Standard Webhooks has it, with events that are also progress items of the workflow's feed.
//
// A workflow calls [Send]. The activity behind it records the events, so that the feed has them before the receiver does, and
// posts them until the receiver accepts the delivery or the time for it is over. A delivery that failed for good is kept among
// the dead letters, from where "chatfeed webhooks" delivers it again. So each delivery arrives at least once, under an id that never
// changes, or is a dead letter, whichever worker dies at whatever time.
package webhook

import (
	"time"
)

// The names of the activities. Both take a [Request] in JSON, the second in a [Letter], and return [Delivered]. [Send] calls them; a
// workflow in another language does the same.
const (
	Deliver = "DeliverWebhook"
	Bury    = "BuryWebhook"
)

// Request is a delivery.
type Request struct {
	// URL is the endpoint: https, without a user or a password. A plain http URL is accepted only for the networks that the
	// worker's configuration allows.
	URL string `json:"url"`
	// ID is what the receiver knows the delivery by, the header webhook-id: letters, digits, - and _, at most 200. All attempts
	// and replays have the same; no other delivery may. Empty means that [Send] derives it from the run and the request.
	ID string `json:"id,omitempty"`
	// WorkflowID is the workflow whose progress it is; empty means the workflow that calls.
	WorkflowID string `json:"workflowId,omitempty"`
	// Before is the cursor of the previous delivery to this endpoint, [Delivered.After]; zero for the first.
	Before Cursor `json:"before,omitempty"`
	// Events are in order, 1 to 1,000.
	Events []Event `json:"events"`

	invalid string // what of the JSON could not be decoded
}

// Event is a change of a workflow's progress. It is recorded as a progress item, unless the workflow has one of this id.
type Event struct {
	ID       string    `json:"id,omitempty"` // of the progress item; empty means one derived from the delivery's id
	Progress float64   `json:"progress"`     // per cent, 0 to 100
	Status   string    `json:"status,omitempty"`
	Result   string    `json:"result,omitempty"`
	Final    bool      `json:"final,omitempty"` // nothing can be written to the workflow after this
	At       time.Time `json:"at"`              // when the workflow has changed it
}

// Delivered is what became of a delivery.
type Delivered struct {
	// After is the cursor after the last event, the [Request.Before] of the next delivery to the endpoint. It is that of the
	// request if the events could not be recorded.
	After Cursor `json:"after"`
	// Gone says that the endpoint has answered 410: it wants no more deliveries. This one was dropped.
	Gone bool `json:"gone,omitempty"`
	// Dead says that the delivery failed for good and is a dead letter, for the reason in Error.
	Dead  bool   `json:"dead,omitempty"`
	Error string `json:"error,omitempty"`
}

// Letter is the input of [Bury]: a delivery that failed for good.
type Letter struct {
	Request  Request `json:"request"`
	Error    string  `json:"error"`
	Attempts int     `json:"attempts,omitempty"` // zero if it is not known
}

// Payload is the body of a delivery, for receivers in Go.
type Payload struct {
	Type      string    `json:"type"`      // ProgressType
	Timestamp time.Time `json:"timestamp"` // of the last event
	Data      Data      `json:"data"`
}

// ProgressType is the type of every payload.
const ProgressType = "workflow.progress"

// Data is the events of a payload, with the cursors before and after them: a receiver whose own cursor of the workflow is less than
// Before has missed a delivery. It reads what it has missed from the feed, at /workflows/ID/chatData?afterTimestamp=CURSOR.
type Data struct {
	WorkflowID string  `json:"workflowId"`
	Before     Cursor  `json:"before"`
	After      Cursor  `json:"after"`
	Events     []Event `json:"events"`
}
