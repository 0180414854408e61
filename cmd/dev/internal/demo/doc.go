// Package demo is a chat for trying the feed: a workflow that answers every message with a summary of its text and statistics
// of its words. The work is real and needs no network.
//
// A client starts the workflow [WorkflowName] on the task queue [TaskQueue] with its first message, by signal-with-start
// without arguments, and sends the further ones as the signal [SignalName]. The signal [StopSignal] stops the answer that is
// being given; [ApprovalSignal] answers the question that the chat asks before it analyzes a long text. The activities of
// package chatfeed/activities and its Recorder record what happens, for clients that follow the workflow:
//
//	message   the user's own, with the id of the signal; then the answer, as Markdown that reads well as plain text
//	delta     the answer's words as they are written, and the reasoning before it
//	tool      word_statistics: the analysis; full_analysis: that of a long text, for which approval is requested
//	progress  0 reading, 20 answering or waiting, 100 done; or failed, stopped or cancelled, where it was
//	log       what is done; a warning at a stop or a cancellation, an error when a message could not be handled
//	stat      the time that the analysis took and the tokens that it read
package demo

import (
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"

	"chatfeed/activities"
)

// How clients address the workflow.
const (
	WorkflowName   = "Chat"
	TaskQueue      = "chatfeed-demo"
	SignalName     = "message"
	StopSignal     = "stop"
	ApprovalSignal = "approval"
)

// UserMessage is the payload of the signal with a message.
type UserMessage struct {
	// ID identifies a message that a client sends again: a message with an ID that the workflow has seen is ignored. The
	// recorded message has the same ID. A message with an empty ID is never ignored. At most 200 bytes.
	ID string `json:"id"`
	// Text to be analyzed, as plain text or Markdown; at most 1 MiB.
	Text string `json:"text"`
}

// Approval is the payload of the signal that answers a question. One to a call that does not wait is ignored.
type Approval struct {
	CallID   string `json:"callId"`
	Approved bool   `json:"approved"`
	Reason   string `json:"reason,omitempty"` // why not
}

// Pace is the time that a word of an answer takes, so that a person can watch the answer and stop it.
const Pace = 80 * time.Millisecond

// longest is the time that an answer of any length takes, at most. The words of a long one come faster.
const longest = 4 * time.Second

// NewWorker makes a worker for the workflow and its activities, which record through w, a word each pace or faster. The writer must
// outlive the worker.
func NewWorker(c client.Client, w activities.Writer, pace time.Duration) worker.Worker {
	made := worker.New(c, TaskQueue, worker.Options{
		WorkerStopTimeout:            5 * time.Second,
		MaxHeartbeatThrottleInterval: 200 * time.Millisecond, // so that an answer stops soon
	})
	Register(made, w, pace)
	return made
}

// Register puts the workflow and its activities on a worker, which should serve [TaskQueue].
func Register(registry worker.Registry, w activities.Writer, pace time.Duration) {
	registry.RegisterWorkflow(Chat)
	registry.RegisterActivity(&Answers{writer: w, pace: pace})
}
