package rpc

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"

	"chatfeed/feed"
)

var (
	rpcFields  = fields{"workflow_id", "after", "last", "limit", "types", "wait"}
	restFields = fields{"workflow id", "afterTimestamp", "last", "limit", "types", "wait"}
)

// chatData serves GET /workflows/{id}/chatData, the endpoint that clients of the polling design know. Without a limit it
// gives all there is after the timestamp, a page at a time, in one response. A timestamp that no item can have says nothing,
// as one that is no number does.
func (s *feedService) chatData(w http.ResponseWriter, r *http.Request) {
	query, err := restQuery(r.PathValue("id"), r.URL.Query())
	if err != nil {
		restError(w, public(r.Context(), s.Log, err))
		return
	}
	if query.after != nil && s.neverGiven(r.Context(), feed.Position{WorkflowID: query.workflowID, Cursor: *query.after}) >= 0 {
		query.after = nil // as any timestamp that says nothing
	}
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Cache-Control", "no-store")
	buffer := []byte(`{"items": [`)
	items := 0
	upToDate, err := query.read(r.Context(), s.Feed, func(page []*feed.Item) error {
		for _, item := range page {
			element, err := item.Encoded(s.encoder.rest)
			if err != nil {
				return err
			}
			buffer = append(buffer, separator(items, "", ", ")...)
			buffer = append(buffer, element...)
			items++
		}
		if len(buffer) < 64<<10 { // so that a failure before anything was written can still say so
			return nil
		}
		_, err := w.Write(buffer) //nolint:gosec // it is JSON and is said to be
		buffer = buffer[:0]
		return err
	})
	switch {
	case err != nil && bytes.HasPrefix(buffer, []byte("{")): // nothing is out yet
		restError(w, public(r.Context(), s.Log, err))
		return
	case err != nil: // half of the answer is out: break it off, so that nobody takes it for whole
		_ = public(r.Context(), s.Log, err)
		panic(http.ErrAbortHandler)
	}
	buffer = append(buffer, `], "upToDate": `...)
	buffer = strconv.AppendBool(buffer, upToDate)
	_, _ = w.Write(append(buffer, "}\n"...)) //nolint:gosec // it is JSON and is said to be
}

func restQuery(id string, values url.Values) (chatData, error) {
	query := chatData{workflowID: id}
	if after, ok := parseTimestamp(values.Get("afterTimestamp")); ok {
		query.after = &after
	}
	if text := values.Get("beforeTimestamp"); text != "" {
		before, ok := parseTimestamp(text)
		if !ok {
			return query, invalid("beforeTimestamp", "%q is not a time; Unix seconds with up to six decimals are accepted", text)
		}
		query.before = &before
	}
	var err error
	if query.last, err = parseCount("last", values.Get("last"), maxLast); err != nil {
		return query, err
	}
	if query.limit, err = parseCount("limit", values.Get("limit"), maxLimit); err != nil {
		return query, err
	}
	if text := values.Get("wait"); text != "" {
		query.wait, err = time.ParseDuration(text)
		if err != nil {
			return query, invalid("wait", "%q is not a duration; 0s to %v are accepted, for example 25s", text, maxWait)
		}
	}
	if text := strings.Join(values["types"], ","); text != "" {
		query.types = strings.Split(text, ",")
	}
	return query, query.check(restFields)
}

func parseCount(field, text string, most int) (int, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > most {
		return 0, invalid(field, "is %q; 1 to %d are accepted", text, most)
	}
	return n, nil
}

// encodeREST writes an element of chatData's items, with a space after each colon and comma, as the polling design's server did.
func encodeREST(wire wireItem) ([]byte, error) {
	at := formatTimestamp(wire.at)
	b := make([]byte, 0, 192+len(wire.workflowID)+len(wire.body)+len(wire.metadata))
	b = append(b, `{"type": `...)
	b = appendString(b, wire.itemType)
	b = append(b, `, "createdAt": `+at+`, "item": {"id": `...)
	b = appendString(b, wire.id)
	b = append(b, `, "workflowId": `...)
	b = appendString(b, wire.workflowID)
	if wire.body != nil {
		fields := bytes.TrimSpace(wire.body) // its braces give way to what is around it
		before := len(b)
		b = appendSpaced(append(b, `, `...), fields[1:len(fields)-1])
		if len(b) == before+len(`, `) {
			b = b[:before]
		}
	}
	if wire.metadata != nil {
		b = append(b, `, "metadata": `...)
		b = appendSpaced(b, wire.metadata)
	}
	for i, part := range wire.omitted {
		b = append(b, separator(i, `, "omitted": [`, `, `)...)
		b = appendString(b, part)
	}
	if wire.omitted != nil {
		b = append(b, ']')
	}
	return append(b, `, "_createdAt": `+at+`}}`...), nil
}

// appendString appends a text as JSON.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			text, _ := json.Marshal(s) // it never fails for a string
			return append(b, text...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// appendSpaced appends a JSON value with one space after each colon and comma and no other white space. Strings, which may
// be long, are copied as they are.
func appendSpaced(b, value []byte) []byte {
	for i := 0; i < len(value); i++ {
		switch c := value[i]; c {
		case ' ', '\n', '\t', '\r':
		case ':', ',':
			b = append(b, c, ' ')
		case '"':
			end := quoteEnd(value, i+1)
			b = append(b, value[i:min(end+1, len(value))]...)
			i = end
		default:
			b = append(b, c)
		}
	}
	return b
}

// restError writes an error as Connect does over HTTP: a status and a JSON object with code and message.
func restError(w http.ResponseWriter, err *connect.Error) {
	status := http.StatusServiceUnavailable
	switch err.Code() {
	case connect.CodeInvalidArgument:
		status = http.StatusBadRequest
	case connect.CodeResourceExhausted:
		status = http.StatusTooManyRequests
	case connect.CodeDeadlineExceeded:
		status = http.StatusGatewayTimeout
	case connect.CodeCanceled:
		status = 499 // the client has gone: nobody reads it but a log
	}
	body, _ := json.Marshal(map[string]string{"code": err.Code().String(), "message": errors.Unwrap(err).Error()})
	maps.Copy(w.Header(), err.Meta())
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
}
