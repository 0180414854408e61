package rpc

import (
	"net/url"
	"strconv"
	"strings"
	"time"

	"chatfeed/feed"
)

// chatDataRequest reads the request of chatData. As the polling design wants, an afterTimestamp that is not understood gives
// everything; ignored then has its name.
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

// parseTime reads a time, nil where there is none.
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

// parseCount reads a number, nil where there is none. Its range is checked with the rest of the request.
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

// parseTypes reads types that are separated by commas or given one by one.
func parseTypes(field string, query url.Values) []string {
	text := strings.Join(query[field], ",")
	if text == "" {
		return nil
	}
	return strings.Split(text, ",")
}
