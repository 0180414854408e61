package rpc

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"chatfeed/feed"
)

// The headers of the Durable Streams protocol.
const (
	nextOffsetHeader   = "Stream-Next-Offset"
	upToDateHeader     = "Stream-Up-To-Date"
	streamClosedHeader = "Stream-Closed"
	streamCursorHeader = "Stream-Cursor"
)

// durableHandler compresses answers that are not live.
func durableHandler(s *feedService) http.Handler {
	whole := compressed(http.HandlerFunc(s.durable))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("live") {
			s.durable(w, r)
			return
		}
		whole.ServeHTTP(w, r)
	})
}

// durable serves GET and HEAD /v1/stream/workflows/{id}: the read side of the Durable Streams protocol, on which a workflow is
// a stream of JSON. A read answers with an array of elements of chatData's items and with the offset to read from next; a
// final workflow is a closed stream. A workflow without items is not found.
//
// Nothing is stored by caches that many people share, and nothing is shown from a cache before this has been asked: else a
// cache would give items to those who may not read them, and items that were erased to anyone.
func (s *feedService) durable(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cross-Origin-Resource-Policy", "same-origin")
	w.Header().Set("Cache-Control", "no-store")
	d, err := durableRequest(r)
	d.format = s.encoder.rest
	if err == nil {
		err = s.findNewest(r.Context(), &d)
	}
	switch {
	case err != nil:
	case r.Method == http.MethodHead:
		d.describe(w.Header(), reach{at: d.newest.CreatedAt, closed: d.newest.Final})
		w.Header().Set("Content-Type", "application/json")
		return
	case d.live == liveEvents:
		s.durableEvents(w, r, d)
		return
	case d.live == livePoll:
		err = s.durablePoll(w, r, d)
	default:
		err = s.durablePage(w, r, d)
	}
	if err != nil {
		writeError(w, public(r.Context(), s.Log, err))
	}
}

// durableRead is a request of the protocol.
type durableRead struct {
	request

	live   string // livePoll, liveEvents, or empty for what there is now
	now    bool   // begin after the newest item
	cursor streamCursor
	newest *feed.Item // of all types; not nil once it was found
	format *feed.Format
}

// findNewest looks for the workflow's newest item, from which a request for what comes now begins.
func (s *feedService) findNewest(ctx context.Context, d *durableRead) error {
	d.hide(s.viewer(ctx))
	page, err := s.Feed.Page(ctx, feed.Read{
		Position: feed.Position{WorkflowID: d.from[0].workflowID, Cursor: feed.End}, Backwards: true, Limit: 1,
	})
	switch {
	case err != nil:
		return err
	case len(page.Items) == 0:
		return errNoItems
	}
	d.newest = page.Items[0]
	if d.now {
		d.from[0].after = &d.newest.CreatedAt
	}
	return nil
}

// reach is how far an answer takes its client.
type reach struct {
	at       feed.Cursor
	upToDate bool
	closed   bool
}

// describe sets the headers that say where a client goes on.
func (d *durableRead) describe(header http.Header, to reach) {
	header.Set(nextOffsetHeader, formatOffset(to.at))
	if to.upToDate {
		header.Set(upToDateHeader, "true")
	}
	switch {
	case to.closed:
		header.Set(streamClosedHeader, "true")
	case d.live != "":
		header.Set(streamCursorHeader, d.cursor.text())
	}
}

// durablePage answers with what there is after the offset, up to a page.
func (s *feedService) durablePage(w http.ResponseWriter, r *http.Request, d durableRead) error {
	to := reach{at: d.newest.CreatedAt, upToDate: true, closed: d.newest.Final}
	if d.now {
		return d.answer(w, r, nil, to)
	}
	if err := s.refuseFutureCursors(r.Context(), d.request, durableForm); err != nil {
		return err
	}
	from := feed.Position{WorkflowID: d.from[0].workflowID, Cursor: d.from[0].cursor()}
	page, err := s.Feed.Page(r.Context(), feed.Read{Position: from, Types: d.types})
	if err != nil {
		return err
	}
	if page.More {
		to = reach{}
	}
	to.at = max(to.at, from.Cursor)
	if n := len(page.Items); n > 0 {
		to.at = max(to.at, page.Items[n-1].CreatedAt)
	}
	to.closed = to.closed || page.Final
	return d.answer(w, r, page.Items, to)
}

// errAnswered ends the pump of a request that was answered.
var errAnswered = errors.New("answered")

// unreadTime is how long a request waits at least for the source to be read.
const unreadTime = 5 * time.Second

// errUnread is the error of a request that has waited while the source could not be read.
var errUnread = errors.New("the source could not be read while a client was waiting")

// durablePoll answers with the first items after the offset. When none have come for a heartbeat, and when the workflow is
// closed, it answers with 204.
func (s *feedService) durablePoll(w http.ResponseWriter, r *http.Request, d durableRead) error {
	err := s.pump(r.Context(), d.request, durableForm, func(positions func() []start) (func(feed.Batch) error, error) {
		upToDate, begun := false, time.Now()
		return func(batch feed.Batch) error {
			silent := len(batch.Gone)+len(batch.Anew) == 0 && batch.UpToDate == upToDate
			upToDate = batch.UpToDate
			to := reach{at: positions()[0].cursor(), upToDate: batch.UpToDate, closed: batch.Final}
			if to.at >= d.newest.CreatedAt { // it is what this request has found to be the end
				to.upToDate, to.closed = true, to.closed || d.newest.Final
			}
			switch {
			case len(batch.Items) > 0:
				if err := d.answer(w, r, batch.Items, to); err != nil {
					return err
				}
			case !batch.Final && !silent, !batch.UpToDate && time.Since(begun) < unreadTime:
				return nil
			case !batch.UpToDate:
				return errUnread
			default:
				d.describe(w.Header(), to)
				w.WriteHeader(http.StatusNoContent)
			}
			return errAnswered
		}, nil
	})
	if errors.Is(err, errAnswered) {
		return nil
	}
	return err
}

// answer sends items as an array. It fails before it has sent anything. The entity tag is made of all that the answer says, so
// that it also differs when an item was erased, and when the answer is no longer, or now, up to date or the last.
func (d *durableRead) answer(w http.ResponseWriter, r *http.Request, items []*feed.Item, to reach) error {
	body, err := d.array(items)
	if err != nil {
		return err
	}
	d.describe(w.Header(), to)
	same := !d.now && unchanged(w, r, fmt.Appendf(body[:len(body):len(body)], "%+v", to))
	if d.live == "" && !d.now {
		mayKeep(w.Header())
		if same {
			w.WriteHeader(http.StatusNotModified)
			return nil
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body) //nolint:gosec // JSON, with its content type
	return nil
}

// array writes items as a JSON array, on one line.
func (d *durableRead) array(items []*feed.Item) ([]byte, error) {
	b, err := appendElements([]byte{'['}, items, d.format)
	return append(b, ']'), err
}
