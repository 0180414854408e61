package rpc

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"connectrpc.com/connect"

	"chatfeed/feed"
)

// Gate makes of a request the viewer that it comes from. It is called once for each request, before anything else looks at
// it, from many goroutines at once, and should not block for long. An error that wraps [ErrUnauthenticated] refuses the
// request; any other says that the gate itself has failed, and the client is asked to come back. Clients see neither's text.
type Gate func(*http.Request) (Viewer, error)

// Viewer is who a request comes from. Its methods are called from several goroutines at once, must not block, and must
// answer the same for as long as the request lasts.
type Viewer interface {
	// CanRead reports whether the viewer may see the workflow. One that it may not see looks like one that does not exist.
	CanRead(workflowID string) bool
	// CanWrite reports whether the viewer may send messages to the workflow and cancel it.
	CanWrite(workflowID string) bool
	// Expires is when the viewer may do nothing any more; its streams end then. Zero is never.
	Expires() time.Time
}

// everyone may do everything: the viewer where there is no gate.
type everyone struct{}

func (everyone) CanRead(string) bool  { return true }
func (everyone) CanWrite(string) bool { return true }
func (everyone) Expires() time.Time   { return time.Time{} }

// nobody may do nothing: the viewer where there is a gate that the request has not come through.
type nobody struct{}

func (nobody) CanRead(string) bool  { return false }
func (nobody) CanWrite(string) bool { return false }
func (nobody) Expires() time.Time   { return time.Time{} }

// viewerKey is where guard leaves the viewer.
type viewerKey struct{}

// viewer returns who a request comes from.
func (c Config) viewer(ctx context.Context) Viewer {
	if c.Gate == nil {
		return everyone{}
	}
	if viewer, ok := ctx.Value(viewerKey{}).(Viewer); ok {
		return viewer
	}
	return nobody{}
}

// guard lets through to next whoever the gate makes a viewer of, until that viewer expires: the request's context then ends
// with [errExpired]. Whoever it refuses is told so in the words of the request's protocol.
func (c Config) guard(next http.Handler, words *connect.ErrorWriter) http.Handler {
	if c.Gate == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		viewer, err := c.Gate(r)
		if err == nil && viewer == nil {
			err = errors.New("the gate has made neither a viewer nor an error")
		}
		if err != nil {
			c.refuse(w, r, words, fmt.Errorf("gate: %w", err))
			return
		}
		ctx := context.WithValue(r.Context(), viewerKey{}, viewer)
		if expires := viewer.Expires(); !expires.IsZero() {
			if !time.Now().Before(expires) {
				c.refuse(w, r, words, errExpired)
				return
			}
			var cancel context.CancelFunc
			ctx, cancel = context.WithDeadlineCause(ctx, expires, errExpired)
			defer cancel()
		}
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

func (c Config) refuse(w http.ResponseWriter, r *http.Request, words *connect.ErrorWriter, err error) {
	refusal := public(r.Context(), c.Log, err)
	if words.IsSupported(r) {
		_ = words.Write(w, r, refusal)
		return
	}
	writeError(w, refusal)
}

// nowhere is the id of a workflow that does not exist and never will: requests and rows with an empty id are refused.
const nowhere = ""

// hide puts nowhere in the place of each workflow that the viewer may not read. All that follows, errors and waiting
// included, is then what it would be for a workflow that does not exist. It returns the ids that it has taken, each at its
// place, or nil where there are none.
func (q *request) hide(viewer Viewer) (hidden []string) {
	for i := range q.from {
		id := q.from[i].workflowID
		if viewer.CanRead(id) {
			continue
		}
		if hidden == nil {
			hidden, q.from = make([]string, len(q.from)), slices.Clone(q.from) // the caller's stays as it is
		}
		hidden[i], q.from[i].workflowID = id, nowhere
	}
	return hidden
}

// reveal gives a batch's anew the ids that hide has taken. Of a workflow that does not exist, those who come with a cursor
// are told that it begins anew.
func (q *request) reveal(batch *feed.Batch, hidden []string) {
	for i, id := range batch.Anew {
		if id != nowhere {
			continue
		}
		anew := append([]string{}, batch.Anew[:i]...)
		for place, id := range hidden {
			if id != "" && q.from[place].cursor() > 0 {
				anew = append(anew, id)
			}
		}
		batch.Anew = append(anew, batch.Anew[i+1:]...)
		return
	}
}
