package progress

import (
	"errors"
	"runtime"
	"strings"
	"unicode/utf8"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// The statuses that say how a workflow has come to its end, or that it goes on.
const (
	Running        = "running"
	Completed      = "completed"
	Failed         = "failed"
	Cancelled      = "cancelled"
	ContinuedAsNew = "continued as new"
)

const (
	maxStatus = 1000    // bytes of a status
	maxResult = 4 << 10 // bytes of a failure's message
)

// outcome is the last snapshot of a run that ends with an error, or without, and the message of its failure.
func outcome(err error, last Snapshot) (end Snapshot, result string) {
	end = last
	end.Done = true
	switch {
	case err == nil:
		end.Progress, end.Status = 100, Completed
	case workflow.IsContinueAsNewError(err):
		end.Status, end.Done = ContinuedAsNew, false
	case temporal.IsCanceledError(err):
		end.Status = Cancelled
	default:
		end.Status = Failed
		result = cut(storable(message(err)), maxResult)
	}
	return end, result
}

// message is what the author of the code that failed has said, without what the SDK adds: ids, identities of workers, stacks.
func message(err error) string {
	if application, ok := errors.AsType[*temporal.ApplicationError](err); ok {
		return application.Message()
	}
	if _, ok := errors.AsType[*temporal.TimeoutError](err); ok {
		return "It took too long."
	}
	if _, ok := errors.AsType[*temporal.TerminatedError](err); ok {
		return "A child workflow was terminated."
	}
	if _, ok := errors.AsType[*temporal.PanicError](err); ok {
		return "The code has panicked."
	}
	_, activity := errors.AsType[*temporal.ActivityError](err)
	_, child := errors.AsType[*temporal.ChildWorkflowExecutionError](err)
	if activity || child {
		return "A part of it has failed."
	}
	return err.Error()
}

// unwinding reports whether the coroutine's functions are being left by a panic, or by runtime.Goexit, with which the SDK ends the
// coroutines of a workflow that it removes from memory. Neither is an end of the workflow, and neither allows waiting.
func unwinding() bool {
	var callers [32]uintptr
	for _, pc := range callers[:runtime.Callers(1, callers[:])] {
		switch runtime.FuncForPC(pc - 1).Name() { // of the call, which the return address may be behind
		case "runtime.gopanic", "runtime.Goexit":
			return true
		}
	}
	return false
}

// percentage returns the nearest percentage that can be recorded; what is no number is the last one.
func percentage(percent, last float64) float64 {
	if percent != percent {
		return last
	}
	return max(0, min(100, percent))
}

func label(text string) string { return cut(storable(text), maxStatus) }

// storable replaces what PostgreSQL cannot store.
func storable(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
}

// cut shortens a text to a number of bytes, between two characters.
func cut(text string, bytes int) string {
	if len(text) <= bytes {
		return text
	}
	for !utf8.RuneStart(text[bytes]) {
		bytes--
	}
	return text[:bytes]
}
