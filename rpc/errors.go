package rpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"

	"connectrpc.com/connect"

	"chatfeed/feed"
)

// ErrWorkflowNotFound is what a [Chat] returns for a workflow that is not running.
var ErrWorkflowNotFound = errors.New("workflow not found")

// ErrRefused is what a [Chat] returns for a message that the workflow engine will never take, such as one that is too
// large for it.
var ErrRefused = errors.New("refused")

// invalidError says which field of a request is wrong and what is accepted. It is all for the client's eyes.
type invalidError struct{ field, reason string }

func (e *invalidError) Error() string { return e.field + ": " + e.reason }

func invalid(field, format string, args ...any) error {
	return &invalidError{field, fmt.Sprintf(format, args...)}
}

// public turns an error into what a client may see: its own mistakes in full, anything else by kind only. What the
// client cannot see is logged here.
func public(ctx context.Context, log *slog.Logger, err error) *connect.Error {
	var bad *invalidError
	switch {
	case errors.As(err, &bad):
		return connect.NewError(connect.CodeInvalidArgument, bad)
	case errors.Is(err, ErrWorkflowNotFound):
		return connect.NewError(connect.CodeNotFound, errors.New("no workflow with this id is running"))
	case errors.Is(err, feed.ErrDraining):
		return connect.NewError(connect.CodeUnavailable, errors.New("the server is stopping; subscribe again from your cursors"))
	case errors.Is(err, feed.ErrBusy):
		return busy()
	case errors.Is(err, ErrRefused):
		return connect.NewError(connect.CodeInvalidArgument, errors.New("the workflow engine has refused the message; a shorter one may be accepted"))
	case ctx.Err() != nil && errors.Is(context.Cause(ctx), context.DeadlineExceeded):
		return connect.NewError(connect.CodeDeadlineExceeded, errors.New("the request's deadline has passed"))
	case ctx.Err() != nil:
		return connect.NewError(connect.CodeCanceled, errors.New("the client has gone"))
	}
	log.ErrorContext(ctx, "request failed", "error", err)
	return connect.NewError(connect.CodeUnavailable, errors.New("the server cannot reach what it needs; try again"))
}

// busyFor is how many seconds a client that was refused for want of room should stay away.
const busyFor = 2

// busy tells a client that too many others are being served, and when to come back.
func busy() *connect.Error {
	err := connect.NewError(connect.CodeResourceExhausted, fmt.Errorf("the server has too many reads to do; try again in %d seconds", busyFor))
	err.Meta().Set("Retry-After", strconv.Itoa(busyFor))
	return err
}
