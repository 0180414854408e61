package rpc

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"chatfeed/feed"
)

// events serves GET /workflows/{id}/events and, for many workflows, GET /events?workflow=a&workflow=b: server-sent events for
// EventSource. An item is an event of its type; its data is an element of chatData's items, and its id is the cursor that a
// client resumes from, which EventSource does by itself. A client that resumes at the end of workflows that are all closed is
// answered with 204, after which EventSource does not come back.
func (s *feedService) events(w http.ResponseWriter, r *http.Request) {
	q, err := eventsRequest(r)
	stream := &eventStream{eventWriter: eventWriter{ResponseWriter: w}, encoder: s.encoder, from: slices.Clone(q.from)}
	switch {
	case err == nil && r.Method == http.MethodHead: // which has no body to wait for
		stream.headers()
		return
	case err == nil:
		stream.resumes = r.Header.Get(lastEventID) != ""
		err = s.pump(r.Context(), q, eventsForm, stream.begin)
	}
	switch {
	case stream.positions == nil:
		writeError(w, public(r.Context(), s.Log, err))
	case err == nil && stream.resumes: // nothing was sent
		w.WriteHeader(http.StatusNoContent)
	case err == nil:
		_ = stream.write(appendEvent(nil, "end", "", []byte(`{"final": true}`)))
	default:
		stream.start()
		_ = stream.write(appendEvent(nil, "end", "", errorText(public(r.Context(), s.Log, err))))
	}
}

// eventStream writes batches as events.
type eventStream struct {
	eventWriter

	encoder   *encoder
	from      []start        // the client's positions after each event
	positions func() []start // its positions after everything sent so far, also without items; nil before the stream begins
	cursor    feed.Cursor    // where the only workflow is; a place of its own, so that an item needs no new one
	upToDate  bool           // what the client was last sent

	mu      sync.Mutex
	resumes bool        // the client resumes, and the headers have not been sent; guarded by mu
	late    *time.Timer // sends the headers all the same
}

// resumeTime is how long the headers of a client that resumes wait for the first batch, which says whether anything can follow.
const resumeTime = time.Second

// begin sends the headers, and how many milliseconds to wait before reconnecting.
func (e *eventStream) begin(positions func() []start) (send func(feed.Batch) error, err error) {
	e.positions = positions
	if e.resumes {
		e.late = time.AfterFunc(resumeTime, e.start)
		return e.send, nil
	}
	return e.send, e.open()
}

// start sends the headers if they have waited.
func (e *eventStream) start() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.resumes {
		e.resumes = false
		_ = e.open() // an error comes again with the next write
	}
}

func (e *eventStream) open() error {
	return e.write(fmt.Appendf(nil, "retry: %d\n\n", retryAfter*1000))
}

func (e *eventStream) send(batch feed.Batch) error {
	if e.late != nil {
		if e.late.Stop() && batch.Final && len(batch.Items)+len(batch.Gone)+len(batch.Anew) == 0 {
			return nil
		}
		e.start()
		e.late = nil
	}
	if e.live(batch) {
		return e.sendLive(batch.Items[0])
	}
	var b []byte
	for _, gone := range batch.Gone {
		b = appendEvent(b, "gone", "", goneText(gone))
	}
	for _, id := range batch.Anew {
		e.upToDate = false
		b = appendEvent(b, "anew", e.move(id, 0), workflowText(id))
	}
	for _, item := range batch.Items {
		data, err := item.Encoded(e.encoder.rest)
		if err != nil {
			return err
		}
		b = appendEvent(b, item.Type, e.move(item.WorkflowID, item.CreatedAt), data)
	}
	switch {
	case batch.UpToDate != e.upToDate && (batch.UpToDate || len(b) == 0): // after items, false says only that more follow
		e.upToDate = batch.UpToDate
		b = appendEvent(b, "up-to-date", e.settle(), strconv.AppendBool(nil, e.upToDate))
	case len(b) == 0:
		b = append(b, ": heartbeat\n\n"...)
	}
	return e.write(b)
}

// live reports whether a batch is one item of the only workflow and changes nothing else, as almost every one is.
func (e *eventStream) live(batch feed.Batch) bool {
	return len(e.from) == 1 && len(batch.Items) == 1 && batch.Items[0].WorkflowID == e.from[0].workflowID &&
		(e.upToDate || !batch.UpToDate) && len(batch.Gone)+len(batch.Anew) == 0
}

// sendLive writes a live item, as the event that all streams of the workflow share.
func (e *eventStream) sendLive(item *feed.Item) error {
	b, err := item.Encoded(e.encoder.event)
	if err != nil {
		return err
	}
	e.cursor = item.CreatedAt
	e.from[0].after = &e.cursor
	return e.write(b)
}

// move records the client's position in a workflow, and returns the event id for its positions in all. The id is empty for a
// workflow that was not requested, should a source return its items.
func (e *eventStream) move(workflowID string, to feed.Cursor) string {
	i := slices.IndexFunc(e.from, func(s start) bool { return s.workflowID == workflowID })
	if i < 0 {
		return ""
	}
	e.from[i].after = &to
	return formatPositions(e.from)
}

// settle records the client's positions, and returns their event id: a client that requested the last items and received
// none resumes from the same place.
func (e *eventStream) settle() string {
	for i, at := range e.positions() {
		e.from[i].after = at.after
	}
	return formatPositions(e.from)
}

// eventWriter writes server-sent events. The headers are sent with the first, so that a stream which cannot begin is refused with a
// status.
type eventWriter struct {
	http.ResponseWriter
	begun bool // the headers have been sent
}

func (e *eventWriter) headers() {
	e.begun = true
	e.Header().Set("Content-Type", "text/event-stream")
	e.Header().Set("Cache-Control", "no-store")
	disableBuffering(e.Header())
}

func (e *eventWriter) write(b []byte) error {
	if !e.begun {
		e.headers()
	}
	_, err := e.Write(b)
	if err == nil {
		e.ResponseWriter.(http.Flusher).Flush() //nolint:forcetypeassert // limitedWriter is one
	}
	return err
}

// appendEvent appends an event. None of its parts has a line break: types are names of kinds, and the rest is made here.
func appendEvent(b []byte, event, id string, data []byte) []byte {
	b = append(append(b, "event: "...), event...)
	if id != "" {
		b = append(append(b, "\nid: "...), id...)
	}
	return append(append(append(b, "\ndata: "...), data...), "\n\n"...)
}
