// Package demo is a chat for trying the feed: a workflow that answers every message with a summary of its text and statistics
// of its words. The work is real and needs no network.
//
// A client starts the workflow [WorkflowName] on the task queue [TaskQueue] with its first message, by signal-with-start
// without arguments, and sends the further ones as the signal [SignalName]. The activities of package
// chatfeed/activities record what happens, for clients that follow the workflow:
//
//	message   the user's own, with the id of the signal; then the answer, as Markdown that reads well as plain text
//	progress  0 reading, 20 analyzing, 80 writing, 100 done; or failed or cancelled, where it was
//	log       what is done; a warning at a cancellation, an error when a message could not be handled
//	stat      the time that the analysis took and the tokens that it read
package demo

import "go.temporal.io/sdk/worker"

// How clients address the workflow.
const (
	WorkflowName = "Chat"
	TaskQueue    = "chatfeed-demo"
	SignalName   = "message"
)

// UserMessage is the payload of the signal.
type UserMessage struct {
	// ID identifies a message that a client sends again: a message with an ID that the workflow has seen is ignored. The
	// recorded message has the same ID. A message with an empty ID is never ignored. At most 200 bytes.
	ID string `json:"id"`
	// Text to be analyzed, as plain text or Markdown; at most 1 MiB.
	Text string `json:"text"`
}

// Register puts the workflow and its activity on a worker, which should serve [TaskQueue].
func Register(w worker.Registry) {
	w.RegisterWorkflow(Chat)
	w.RegisterActivity(Analyze)
}
