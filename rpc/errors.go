package rpc

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"strconv"
	"strings"

	"connectrpc.com/connect"

	"chatfeed/feed"
)

// ErrWorkflowNotFound is what a [Chat] returns for a workflow that is not running.
var ErrWorkflowNotFound = errors.New("workflow not found")

// ErrRefused is what a [Chat] returns for a message that the workflow engine will never accept, such as one that is too
// large.
var ErrRefused = errors.New("refused")

// ErrFull is what a [Chat] returns for a workflow that has too many unhandled messages to accept more for now.
var ErrFull = errors.New("the workflow has too much to handle")

// ErrRunning is what a [Chat] returns for a workflow that cannot be started because another request has started it, and it is running.
var ErrRunning = errors.New("the workflow is running")

// ErrNoAnswer is what a [Chat] returns if the workflow does not answer before the context ends, or none of its workers runs.
var ErrNoAnswer = errors.New("the workflow does not answer")

// FailedError is what a [Chat] returns for a call that the workflow has refused or failed. Clients see its reason, which is what the
// workflow says to them; an error that wraps it may say more. Without a reason they only see that it has failed.
type FailedError struct{ Reason string }

func (e *FailedError) Error() string {
	return cmp.Or(e.Reason, "the workflow has failed this; its operator can see why")
}

// notAllowedError refuses a name that is not among [Allowed]. Clients see its text.
type notAllowedError struct{ field string }

func (e *notAllowedError) Error() string {
	return e.field + ": is not one that this server allows; its operator decides which are"
}

// errMayNotTerminate refuses to terminate workflows.
var errMayNotTerminate = errors.New("this server does not allow terminating workflows; its operator can allow it, and CancelWorkflow asks them to end")

// ErrUnusable is what a [Chat] returns if the workflow engine will not serve it until an operator intervenes.
var ErrUnusable = errors.New("the workflow engine cannot be used")

// AwayError is what a [Chat] returns while the workflow engine is known to be unavailable, and Config.Ready while something
// is missing. Clients see its text, which says what is being waited for.
type AwayError struct{ Reason string }

func (e *AwayError) Error() string { return e.Reason }

// errEngine marks a failure of the workflow engine, as opposed to the database.
var errEngine = errors.New("workflow engine")

// ErrUnauthenticated is what a [Gate] returns, perhaps wrapped, for a request without valid credentials. The client is
// asked to retry with a new token.
var ErrUnauthenticated = errors.New("unauthenticated")

// errNoItems is the error of a request for a stream of a workflow that has no items.
var errNoItems = errors.New("the workflow has no items")

// errExpired ends the requests of a viewer that has expired.
var errExpired = fmt.Errorf("the viewer has expired: %w", ErrUnauthenticated)

// errForbidden is the error of a write to a workflow that the viewer may not write to.
var errForbidden = errors.New("the viewer may not write to the workflow")

// errRecordingTooMuch refuses items while too many wait for the database.
var errRecordingTooMuch = errors.New("too many items wait for the database")

// invalidError says which field of a request is invalid and what is accepted. Clients see its text.
type invalidError struct{ field, reason string }

func (e *invalidError) Error() string { return e.field + ": " + e.reason }

func invalid(field, format string, args ...any) error {
	return &invalidError{field, fmt.Sprintf(format, args...)}
}

// public turns an error into what a client may see, for all protocols: the client's own mistakes in full, anything else only
// by its kind. Details that the client does not see are logged here. Connect's handlers return the result; [writeError] and
// [errorText] write it elsewhere.
func public(ctx context.Context, log *slog.Logger, err error) *connect.Error {
	var bad *invalidError
	var away *AwayError
	var failed *FailedError
	var notAllowed *notAllowedError
	switch {
	case errors.As(err, &bad):
		return connect.NewError(connect.CodeInvalidArgument, bad)
	case errors.Is(err, errExpired) || ctx.Err() != nil && errors.Is(context.Cause(ctx), errExpired):
		return unauthenticated("your access has expired; retry with a new token")
	case errors.Is(err, ErrUnauthenticated):
		return unauthenticated("the request has no valid token; retry with a new one")
	case errors.Is(err, errForbidden):
		return connect.NewError(connect.CodePermissionDenied, errors.New("you may not write to this workflow"))
	case errors.Is(err, ErrWorkflowNotFound):
		return connect.NewError(connect.CodeNotFound, errors.New("no workflow with this id is running"))
	case errors.As(err, &notAllowed):
		return connect.NewError(connect.CodePermissionDenied, notAllowed)
	case errors.Is(err, errMayNotTerminate):
		return connect.NewError(connect.CodePermissionDenied, errMayNotTerminate)
	case errors.Is(err, ErrRunning):
		return connect.NewError(connect.CodeAlreadyExists, errors.New("a workflow with this id is running, and another request has started it"))
	case errors.Is(err, ErrNoAnswer):
		return connect.NewError(connect.CodeDeadlineExceeded, errors.New("the workflow has not answered in time, perhaps because no worker runs it; "+
			"try again, an update with the same request_id"))
	case errors.As(err, &failed):
		if failed.Reason == "" {
			log.InfoContext(ctx, "a workflow has failed a call", "error", err)
		}
		return connect.NewError(connect.CodeFailedPrecondition, errors.New(shorten(failed.Error(), maxReason)))
	case errors.Is(err, errNoDirectory):
		return connect.NewError(connect.CodeUnimplemented, errors.New("this server does not offer WatchWorkflows; ListWorkflows lists the workflows"))
	case errors.Is(err, errNoMessages):
		return connect.NewError(connect.CodeUnimplemented, errors.New("this server does not offer CountMessages"))
	case errors.Is(err, errNoItems):
		return connect.NewError(connect.CodeNotFound, errors.New("no workflow with this id has items"))
	case errors.Is(err, feed.ErrDraining):
		return connect.NewError(connect.CodeUnavailable, errors.New("the server is stopping; subscribe again from your cursors"))
	case errors.Is(err, feed.ErrBusy):
		return busy("the server has too many reads waiting")
	case errors.Is(err, ErrWorkflowClosed):
		return connect.NewError(connect.CodeFailedPrecondition, errors.New("the workflow is closed: a progress item of it is final, and nothing can follow"))
	case errors.Is(err, errRecordingTooMuch):
		return busy("the server has too many items to write")
	case errors.Is(err, ErrFull):
		return busy("the workflow has too many messages to handle")
	case errors.Is(err, ErrUnusable):
		log.ErrorContext(ctx, "request failed", "error", err)
		return connect.NewError(connect.CodeFailedPrecondition, errors.New("the workflow engine does not serve this; its operator can fix that"))
	case errors.As(err, &away):
		return connect.NewError(connect.CodeUnavailable, away)
	case errors.Is(err, errTooManyStreams):
		return tooManyStreams()
	case errors.Is(err, ErrRefused):
		return connect.NewError(connect.CodeInvalidArgument, errors.New("the workflow engine refused the message; a shorter one may be accepted"))
	case ctx.Err() != nil && errors.Is(context.Cause(ctx), context.DeadlineExceeded):
		return connect.NewError(connect.CodeDeadlineExceeded, errors.New("the request's deadline has passed"))
	case ctx.Err() != nil:
		return connect.NewError(connect.CodeCanceled, errors.New("the client has gone"))
	}
	log.ErrorContext(ctx, "request failed", "error", err)
	return connect.NewError(connect.CodeUnavailable, errors.New(unavailable(err)))
}

// unavailable says what is wrong with what the server depends on, and who can do something about it.
func unavailable(err error) string {
	var sql interface{ SQLState() string } // implemented by PostgreSQL's errors, whatever the driver
	state := ""
	if errors.As(err, &sql) {
		state = sql.SQLState()
	}
	switch {
	case errors.Is(err, errEngine):
		return "the workflow engine cannot be reached; try again"
	case state == "57014", state == "55P03", errors.Is(err, context.DeadlineExceeded):
		return "the database takes too long to answer; try again"
	case state == "42501":
		return "the database refuses this to the server's role: a permission is missing, see the grants in docs/operations.md; its operator can fix that"
	case state == "25006":
		return "the database is read-only, perhaps a standby; its operator can fix that"
	case strings.HasPrefix(state, "42"), state == "3F000":
		return "the database is not set up for this server: its schema is missing or outdated, or a permission is missing; its operator can fix that"
	}
	return "the database cannot be reached; try again"
}

// retryAfter is how many seconds a client should wait after it was refused because the server is busy.
const retryAfter = 2

// busy tells a client why the server is busy, and when to retry.
func busy(reason string) *connect.Error {
	err := connect.NewError(connect.CodeResourceExhausted, fmt.Errorf("%s; try again in %d seconds", reason, retryAfter))
	err.Meta().Set("Retry-After", strconv.Itoa(retryAfter))
	return err
}

// unauthenticated tells a client that it needs a new token.
func unauthenticated(message string) *connect.Error {
	err := connect.NewError(connect.CodeUnauthenticated, errors.New(message))
	err.Meta().Set("WWW-Authenticate", "Bearer")
	return err
}

// status is the status of a response over plain HTTP, the same as Connect's.
func status(code connect.Code) int {
	switch code {
	case connect.CodeInvalidArgument, connect.CodeFailedPrecondition:
		return http.StatusBadRequest
	case connect.CodeUnauthenticated:
		return http.StatusUnauthorized
	case connect.CodePermissionDenied:
		return http.StatusForbidden
	case connect.CodeNotFound:
		return http.StatusNotFound
	case connect.CodeAlreadyExists:
		return http.StatusConflict
	case connect.CodeResourceExhausted:
		return http.StatusTooManyRequests
	case connect.CodeDeadlineExceeded:
		return http.StatusGatewayTimeout
	case connect.CodeCanceled:
		return 499 // the client has gone; only logs show it
	}
	return http.StatusServiceUnavailable
}

// errorText is an error as a JSON object with code and message.
func errorText(err *connect.Error) []byte {
	text, _ := json.Marshal(map[string]string{"code": err.Code().String(), "message": errors.Unwrap(err).Error()})
	return text
}

// writeError answers a request over plain HTTP with an error, as Connect does: a status, headers and a JSON object.
func writeError(w http.ResponseWriter, err *connect.Error) {
	maps.Copy(w.Header(), err.Meta())
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status(err.Code()))
	_, _ = w.Write(append(errorText(err), '\n'))
}
