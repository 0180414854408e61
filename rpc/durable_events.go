package rpc

import (
	"net/http"

	"chatfeed/feed"
)

// durableEvents serves a stream of the protocol as server-sent events: data with an array of items, and after each of them
// control, which says where the client goes on. The protocol has no event for an error: a stream that ends before its control
// event has said that it is closed is opened again by the client, and that request is answered with the error.
func (s *feedService) durableEvents(w http.ResponseWriter, r *http.Request, d durableRead) {
	stream := &durableStream{durableRead: d, out: eventWriter{ResponseWriter: w}}
	err := s.pump(r.Context(), d.request, durableForm, func(positions func() []start) (func(feed.Batch) error, error) {
		stream.positions = positions
		return stream.send, nil
	})
	if err == nil {
		return
	}
	answer := public(r.Context(), s.Log, err)
	if !stream.out.begun {
		writeError(w, answer)
	}
}

// durableStream writes batches as events.
type durableStream struct {
	durableRead

	out       eventWriter
	positions func() []start // the client's, after everything sent so far
	upToDate  bool           // what the client was last sent
}

func (e *durableStream) send(batch feed.Batch) error {
	var b []byte
	for _, gone := range batch.Gone { // this event and the next are not of the protocol, so its clients skip them
		b = appendEvent(b, "gone", "", goneText(gone))
	}
	for _, id := range batch.Anew {
		b = appendEvent(b, "anew", "", workflowText(id))
	}
	switch {
	case len(batch.Items) > 0:
		array, err := e.array(batch.Items)
		if err != nil {
			return err
		}
		b = e.control(appendEvent(b, "data", "", array), batch)
	case batch.UpToDate != e.upToDate || batch.Final || len(b) > 0 || !e.out.begun:
		b = e.control(b, batch)
	default:
		b = append(b, ": heartbeat\n\n"...)
	}
	e.upToDate = batch.UpToDate
	if !e.out.begun {
		e.out.headers()
		e.out.Header().Set("Cache-Control", "no-cache, no-store")
	}
	return e.out.write(b)
}

// control appends the event that says where the client goes on.
func (e *durableStream) control(b []byte, batch feed.Batch) []byte {
	text := []byte(`{"streamNextOffset":"` + formatOffset(e.positions()[0].cursor()) + `"`)
	if !batch.Final {
		text = append(text, `,"streamCursor":"`+e.cursor.text()+`"`...)
	}
	if batch.UpToDate {
		text = append(text, `,"upToDate":true`...)
	}
	if batch.Final {
		text = append(text, `,"streamClosed":true`...)
	}
	return appendEvent(b, "control", "", append(text, '}'))
}
