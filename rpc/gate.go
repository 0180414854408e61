package rpc

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"

	"chatfeed/feed"
)

// Gate returns the viewer that a request comes from. It is called once for each request, before anything else looks at it,
// concurrently, and should not block for long. An error that wraps [ErrUnauthenticated] refuses the request; any other means
// that the gate itself has failed, and the client is asked to retry. Clients see the text of neither.
type Gate func(*http.Request) (Viewer, error)

// Viewer is who a request comes from. Its methods are called concurrently, must not block, and must return the same
// results as long as the request lasts.
type Viewer interface {
	// CanRead reports whether the viewer may read the workflow. If not, the workflow looks as if it did not exist.
	CanRead(workflowID string) bool
	// CanWrite reports whether the viewer may send messages to the workflow and cancel it.
	CanWrite(workflowID string) bool
	// CanRecord reports whether the viewer may write any item to the workflow, such as a message of the assistant or the end. It
	// is for the workers of workflows, not for those who chat with them.
	CanRecord(workflowID string) bool
	// Expires is when the viewer loses all access; its streams end then. Zero means never.
	Expires() time.Time
}

// everyone may do everything. It is the viewer if there is no gate.
type everyone struct{}

func (everyone) CanRead(string) bool   { return true }
func (everyone) CanWrite(string) bool  { return true }
func (everyone) CanRecord(string) bool { return true }
func (everyone) Expires() time.Time    { return time.Time{} }

// nobody may not do anything. It is the viewer of a request that has not passed the gate.
type nobody struct{}

func (nobody) CanRead(string) bool   { return false }
func (nobody) CanWrite(string) bool  { return false }
func (nobody) CanRecord(string) bool { return false }
func (nobody) Expires() time.Time    { return time.Time{} }

// viewerKey is the context key of the viewer, set by guard.
type viewerKey struct{}

// viewer returns the viewer of a request.
func (c Config) viewer(ctx context.Context) Viewer {
	if c.Gate == nil {
		return everyone{}
	}
	if viewer, ok := ctx.Value(viewerKey{}).(Viewer); ok {
		return viewer
	}
	return nobody{}
}

// guard passes requests with a viewer on to next. When the viewer expires, the request's context ends with [errExpired]. Other
// requests are refused with an error in the request's protocol.
func (c Config) guard(next http.Handler, errorWriter *connect.ErrorWriter) http.Handler {
	if c.Gate == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		viewer, err := c.Gate(r)
		if err == nil && viewer == nil {
			err = errors.New("the gate returned neither a viewer nor an error")
		}
		if err != nil {
			c.refuse(w, r, errorWriter, fmt.Errorf("gate: %w", err))
			return
		}
		ctx := context.WithValue(r.Context(), viewerKey{}, viewer)
		if expires := viewer.Expires(); !expires.IsZero() {
			if !time.Now().Before(expires) {
				c.refuse(w, r, errorWriter, errExpired)
				return
			}
			var cancel context.CancelFunc
			ctx, cancel = context.WithDeadlineCause(ctx, expires, errExpired)
			defer cancel()
		}
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

func (c Config) refuse(w http.ResponseWriter, r *http.Request, errorWriter *connect.ErrorWriter, err error) {
	refusal := public(r.Context(), c.Log, err)
	if errorWriter.IsSupported(r) {
		_ = errorWriter.Write(w, r, refusal)
		return
	}
	writeError(w, refusal)
}

// hiding comes before the id of a workflow that the viewer may not read. No workflow has so long an id, so everything that follows,
// including errors and waiting, is the same as for a workflow that does not exist.
var hiding = strings.Repeat("?", maxWorkflowID+1)

func hide(viewer Viewer, id string) string {
	if viewer.CanRead(id) {
		return id
	}
	return hiding + id
}

// hide hides the request's workflows. The slice that the request came with is not changed.
func (q *request) hide(viewer Viewer) {
	q.from = slices.Clone(q.from)
	for i := range q.from {
		q.from[i].workflowID = hide(viewer, q.from[i].workflowID)
	}
}

// reveal names the workflows of a batch as the client does. Of a hidden one nothing comes but that its history begins anew, as of
// one that does not exist.
func reveal(batch *feed.Batch) {
	for i, id := range batch.Anew {
		batch.Anew[i] = strings.TrimPrefix(id, hiding)
	}
}
