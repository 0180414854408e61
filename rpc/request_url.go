package rpc

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"chatfeed/feed"
)

// chatDataRequest reads the request of chatData. As the polling design requires, an invalid afterTimestamp is ignored and
// everything is returned; ignored then has its name.
func chatDataRequest(id string, query url.Values) (q request, ignored []string, err error) {
	q = request{from: []start{{workflowID: id}}}
	if text := query.Get(chatDataForm.after); text != "" {
		if after, ok := parseTimestamp(text); ok {
			q.from[0].after = &after
		} else {
			ignored = append(ignored, chatDataForm.after)
		}
	}
	if q.before, err = parseTime(chatDataForm.before, query); err != nil {
		return q, nil, err
	}
	if q.from[0].last, err = parseCount(chatDataForm.last, query, chatDataForm.minLast, maxLast); err != nil {
		return q, nil, err
	}
	if q.limit, err = parseCount(chatDataForm.limit, query, 1, maxLimit); err != nil {
		return q, nil, err
	}
	if text := query.Get(chatDataForm.wait); text != "" {
		if q.wait, err = time.ParseDuration(text); err != nil {
			return q, nil, invalid(chatDataForm.wait, "%q is not a duration; 0s to %v are accepted, for example 25s", text, maxWait)
		}
	}
	q.types = parseTypes(chatDataForm.types, query)
	return q, ignored, q.check(chatDataForm)
}

// eventsRequest reads the request of events. A client resumes with Last-Event-ID, as EventSource does, or with after: the id
// of an event, or a time. after may be repeated, once for each workflow in the same order. Without a cursor, last says where
// to begin.
func eventsRequest(r *http.Request) (request, error) {
	query := r.URL.Query()
	ids := query[eventsForm.workflows]
	if id := r.PathValue("id"); id != "" {
		ids = []string{id}
	}
	q := request{from: make([]start, len(ids)), types: parseTypes(eventsForm.types, query)}
	last, err := parseCount(eventsForm.last, query, eventsForm.minLast, maxLast)
	if err != nil {
		return q, err
	}
	for i, id := range ids {
		q.from[i] = start{workflowID: id, last: last}
	}
	if err := q.check(eventsForm); err != nil {
		return q, err
	}
	field, cursors := eventsForm.after, query[eventsForm.after]
	if id := r.Header.Get(lastEventID); id != "" {
		field, cursors = lastEventID, []string{id}
	}
	if n := len(cursors); n > 1 && n != len(ids) {
		return q, invalid(field, "is given %d times for %d workflows; one for all or one for each is accepted", n, len(ids))
	}
	for i, text := range cursors {
		to := q.from
		if len(cursors) > 1 {
			to = q.from[i : i+1]
		}
		if text != "" && !parsePositions(text, to) {
			return q, invalid(field, "%.100q is not a cursor; the id of an event of the same workflows in the same order, Unix seconds "+
				"with up to six decimals and RFC 3339 are accepted", text)
		}
	}
	for i := range q.from {
		if q.from[i].after != nil {
			q.from[i].last = nil
		}
	}
	return q, nil
}

// lastEventID is the header with the id of the last event that a client has received.
const lastEventID = "Last-Event-ID"

// parseTime reads a time; nil if absent.
func parseTime(field string, query url.Values) (*feed.Cursor, error) {
	text := query.Get(field)
	if text == "" {
		return nil, nil
	}
	at, ok := parseTimestamp(text)
	if !ok {
		return nil, invalid(field, "%q is not a time; Unix seconds with up to six decimals and RFC 3339 are accepted", text)
	}
	return &at, nil
}

// parseCount reads a number; nil if absent. Its range is checked with the rest of the request.
func parseCount(field string, query url.Values, least, most int) (*int, error) {
	text := query.Get(field)
	if text == "" {
		return nil, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return nil, invalid(field, "is %q; %d to %d are accepted", text, least, most)
	}
	return &n, nil
}

// parseTypes reads types that are separated by commas or in repeated parameters.
func parseTypes(field string, query url.Values) []string {
	text := strings.Join(query[field], ",")
	if text == "" {
		return nil
	}
	return strings.Split(text, ",")
}
