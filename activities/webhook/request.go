package webhook

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"chatfeed/db"
)

// The bounds of a request.
const (
	maxURL    = 2000
	maxID     = 200
	maxEvents = 1000
)

// invalidError says which field of a request makes it one that can never be delivered, and what is accepted.
type invalidError struct{ field, reason string }

func (e *invalidError) Error() string { return e.field + ": " + e.reason }

func invalidf(field, format string, args ...any) error {
	return &invalidError{field, fmt.Sprintf(format, args...)}
}

// UnmarshalJSON never fails, because the SDK would then retry the activity; the activity reports the error instead.
func (r *Request) UnmarshalJSON(text []byte) error {
	type plain Request
	*r = Request{}
	r.invalid = mistake("request", json.Unmarshal(text, (*plain)(r)))
	return nil
}

// UnmarshalJSON never fails, as that of [Request]; what is wrong with the letter is reported as if it were wrong with the request.
func (l *Letter) UnmarshalJSON(text []byte) error {
	type plain Letter
	*l = Letter{}
	if wrong := mistake("letter", json.Unmarshal(text, (*plain)(l))); wrong != "" {
		l.Request.invalid = wrong
	}
	return nil
}

// mistake describes an error of JSON, by the field or by what the text is.
func mistake(what string, err error) string {
	var mismatch *json.UnmarshalTypeError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &mismatch) && mismatch.Field != "":
		return fmt.Sprintf("%s: is a JSON %s; another type is accepted, see docs/webhooks.md", mismatch.Field, mismatch.Value)
	case errors.As(err, &mismatch):
		return fmt.Sprintf("%s: is a JSON %s; an object is accepted", what, mismatch.Value)
	}
	return what + ": " + err.Error()
}

// check returns an [invalidError] for a request that can never be delivered.
func (r *Request) check() error {
	switch {
	case r.invalid != "":
		field, reason, _ := strings.Cut(r.invalid, ": ")
		return invalidf(field, "%s", reason)
	case r.ID == "":
		return invalidf("id", "is empty; the delivery's id is needed, the same in each attempt")
	case len(r.ID) > maxID || strings.Trim(r.ID, idCharacters) != "":
		return invalidf("id", "1 to %d letters, digits, - and _ are accepted", maxID)
	case r.WorkflowID == "":
		return invalidf("workflowId", "is empty; the id of a workflow is needed")
	case r.Before < 0:
		return invalidf("before", "is less than zero; the cursor of the previous delivery is accepted, or zero")
	case len(r.Events) == 0 || len(r.Events) > maxEvents:
		return invalidf("events", "are %d; 1 to %d are accepted", len(r.Events), maxEvents)
	}
	_, err := endpoint(r.URL)
	return err
}

const idCharacters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// endpoint parses a URL. The error does not repeat it, because it may hold a password.
func endpoint(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	const accepted = "an address such as https://hooks.example/chatfeed is accepted"
	switch {
	case len(text) > maxURL:
		return nil, invalidf("url", "is %d bytes long; at most %d are accepted", len(text), maxURL)
	case err != nil || u.Hostname() == "" || u.Opaque != "":
		return nil, invalidf("url", "is not a URL with a host; %s", accepted)
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, invalidf("url", "has the scheme %q; %s", u.Scheme, accepted)
	case u.User != nil:
		return nil, invalidf("url", "has a user or a password, which would be in the workflow's history; %s", accepted)
	}
	return u, nil
}

// origin names an endpoint: deliveries to the same one share its limit.
func origin(u *url.URL) string { return u.Scheme + "://" + strings.ToLower(u.Host) }

// items returns the events as items. An event without an id has one that is derived from the delivery's.
func (r *Request) items() ([]db.Item, []string) {
	items, ids := make([]db.Item, len(r.Events)), make([]string, len(r.Events))
	for i, e := range r.events() {
		ids[i] = e.ID
		items[i] = db.Progress{
			WorkflowID: r.WorkflowID, ID: e.ID, Progress: e.Progress, Status: e.Status, Result: e.Result, Final: e.Final,
		}
	}
	return items, ids
}

// events returns the events, each with an id.
func (r *Request) events() []Event {
	events := make([]Event, len(r.Events))
	for i, e := range r.Events {
		if e.ID == "" {
			e.ID = fmt.Sprintf("%s-%d", shortened(r.ID), i)
		}
		events[i] = e
	}
	return events
}

// payload returns the body of the delivery. It is the same in each attempt.
func (r *Request) payload(after Cursor) ([]byte, error) {
	events := r.events()
	for i := range events {
		if events[i].At.IsZero() {
			events[i].At = time.UnixMicro(int64(after)).UTC()
		}
	}
	return json.Marshal(Payload{
		Type:      ProgressType,
		Timestamp: events[len(events)-1].At,
		Data:      Data{WorkflowID: r.WorkflowID, Before: r.Before, After: after, Events: events},
	})
}
