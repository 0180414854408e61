package rpc

import (
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

// ErrRefused is what a [Chat] returns for a message that the workflow engine will never take, such as one that is too
// large for it.
var ErrRefused = errors.New("refused")

// ErrFull is what a [Chat] returns for a workflow that has so much to handle that it can take no more for now.
var ErrFull = errors.New("the workflow has too much to handle")

// ErrUnusable is what a [Chat] returns where the workflow engine will not serve it before an operator has done something.
var ErrUnusable = errors.New("the workflow engine cannot be used")

// AwayError is what a [Chat] returns while the workflow engine is known to be away, and Config.Ready while something is
// missing. It is all for the client's eyes: it says what is being waited for.
type AwayError struct{ Reason string }

func (e *AwayError) Error() string { return e.Reason }

// errEngine is of a failure that is the workflow engine's and not the database's.
var errEngine = errors.New("workflow engine")

// ErrUnauthenticated is what a [Gate] returns, perhaps wrapped, for a request that does not say who it comes from, or not
// credibly. The client is asked to come back with a new token.
var ErrUnauthenticated = errors.New("unauthenticated")

// errExpired ends what a viewer has begun when it expires.
var errExpired = fmt.Errorf("the viewer has expired: %w", ErrUnauthenticated)

// errForbidden is the error of a write to a workflow that the viewer may not write to.
var errForbidden = errors.New("the viewer may not write to the workflow")

// invalidError says which field of a request is wrong and what is accepted. It is all for the client's eyes.
type invalidError struct{ field, reason string }

func (e *invalidError) Error() string { return e.field + ": " + e.reason }

func invalid(field, format string, args ...any) error {
	return &invalidError{field, fmt.Sprintf(format, args...)}
}

// public turns an error into what a client may see, whatever its protocol: its own mistakes in full, anything else by kind
// only. What the client cannot see is logged here. Connect's handlers return it, [writeError] and [errorText] say it elsewhere.
func public(ctx context.Context, log *slog.Logger, err error) *connect.Error {
	var bad *invalidError
	var away *AwayError
	switch {
	case errors.As(err, &bad):
		return connect.NewError(connect.CodeInvalidArgument, bad)
	case errors.Is(err, errExpired) || ctx.Err() != nil && errors.Is(context.Cause(ctx), errExpired):
		return unauthenticated("your access has expired; come back with a new token")
	case errors.Is(err, ErrUnauthenticated):
		return unauthenticated("the request has no token that is accepted here; come back with a new one")
	case errors.Is(err, errForbidden):
		return connect.NewError(connect.CodePermissionDenied, errors.New("you may not write to this workflow"))
	case errors.Is(err, ErrWorkflowNotFound):
		return connect.NewError(connect.CodeNotFound, errors.New("no workflow with this id is running"))
	case errors.Is(err, feed.ErrDraining):
		return connect.NewError(connect.CodeUnavailable, errors.New("the server is stopping; subscribe again from your cursors"))
	case errors.Is(err, feed.ErrBusy):
		return busy("the server has too many reads to do")
	case errors.Is(err, ErrFull):
		return busy("the workflow has too many messages to handle")
	case errors.Is(err, ErrUnusable):
		log.ErrorContext(ctx, "request failed", "error", err)
		return connect.NewError(connect.CodeFailedPrecondition, errors.New("the workflow engine does not serve this; its operator can mend that"))
	case errors.As(err, &away):
		return connect.NewError(connect.CodeUnavailable, away)
	case errors.Is(err, errTooManyStreams):
		return tooManyStreams()
	case errors.Is(err, ErrRefused):
		return connect.NewError(connect.CodeInvalidArgument, errors.New("the workflow engine has refused the message; a shorter one may be accepted"))
	case ctx.Err() != nil && errors.Is(context.Cause(ctx), context.DeadlineExceeded):
		return connect.NewError(connect.CodeDeadlineExceeded, errors.New("the request's deadline has passed"))
	case ctx.Err() != nil:
		return connect.NewError(connect.CodeCanceled, errors.New("the client has gone"))
	}
	log.ErrorContext(ctx, "request failed", "error", err)
	return connect.NewError(connect.CodeUnavailable, errors.New(unavailable(err)))
}

// unavailable says what is the matter with what the server needs, and whose turn it is to do something.
func unavailable(err error) string {
	var sql interface{ SQLState() string } // as PostgreSQL's errors are, whatever the driver
	state := ""
	if errors.As(err, &sql) {
		state = sql.SQLState()
	}
	switch {
	case errors.Is(err, errEngine):
		return "the workflow engine cannot be reached; try again"
	case state == "57014", state == "55P03", errors.Is(err, context.DeadlineExceeded):
		return "the database takes too long to answer; try again"
	case strings.HasPrefix(state, "42"), state == "3F000":
		return "the database is not as this server needs it: its schema is missing or older, or a right is; its operator can mend that"
	}
	return "the database cannot be reached; try again"
}

// busyFor is how many seconds a client that was refused for want of room should stay away.
const busyFor = 2

// busy tells a client what there is too much of, and when to come back.
func busy(reason string) *connect.Error {
	err := connect.NewError(connect.CodeResourceExhausted, fmt.Errorf("%s; try again in %d seconds", reason, busyFor))
	err.Meta().Set("Retry-After", strconv.Itoa(busyFor))
	return err
}

// unauthenticated tells a client that a new token is what it needs.
func unauthenticated(message string) *connect.Error {
	err := connect.NewError(connect.CodeUnauthenticated, errors.New(message))
	err.Meta().Set("WWW-Authenticate", "Bearer")
	return err
}

// status is that of a response over plain HTTP, the same as Connect's.
func status(code connect.Code) int {
	switch code {
	case connect.CodeInvalidArgument:
		return http.StatusBadRequest
	case connect.CodeUnauthenticated:
		return http.StatusUnauthorized
	case connect.CodePermissionDenied:
		return http.StatusForbidden
	case connect.CodeNotFound:
		return http.StatusNotFound
	case connect.CodeResourceExhausted:
		return http.StatusTooManyRequests
	case connect.CodeDeadlineExceeded:
		return http.StatusGatewayTimeout
	case connect.CodeCanceled:
		return 499 // the client has gone: nobody reads it but a log
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
	w.WriteHeader(status(err.Code()))
	_, _ = w.Write(append(errorText(err), '\n'))
}
