package rpc

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"chatfeed/feed"
)

// chatData serves GET /workflows/{id}/chatData, the endpoint for clients of the polling design. Without a limit it
// returns everything after the timestamp in one response, read page by page. A timestamp that is invalid, or that no item can
// have, is ignored, and the answer says so. A short answer has an entity tag; who has it already is answered with 304.
func (s *feedService) chatData(w http.ResponseWriter, r *http.Request) {
	s.writeItems(w, r, r.URL.Query(), listing{begin: `{"items": [`, format: s.encoder.rest, end: func(b []byte, end reached, ignored []string) []byte {
		b = strconv.AppendBool(append(b, `], "upToDate": `...), end.upToDate)
		if end.final {
			b = append(b, `, "final": true`...)
		}
		for i, name := range ignored {
			b = appendString(append(b, separator(i, `, "ignored": [`, `, `)...), name)
		}
		if ignored != nil {
			b = append(b, ']')
		}
		return append(b, "}\n"...)
	}})
}

// listing is the form of an answer that has a list of items: what comes before, the format of an item, and what comes after.
type listing struct {
	begin  string
	format *feed.Format
	end    func(b []byte, end reached, ignored []string) []byte
}

// writeItems answers a request of chatData's form with a list of items.
func (s *feedService) writeItems(w http.ResponseWriter, r *http.Request, parameters url.Values, form listing) {
	query, ignored, err := chatDataRequest(r.PathValue("id"), parameters)
	if err != nil {
		writeError(w, public(r.Context(), s.Log, err))
		return
	}
	query.hide(s.viewer(r.Context()))
	if s.findFutureCursor(r.Context(), query.from) >= 0 {
		query.from[0].after = nil
		ignored = append(ignored, chatDataForm.after)
	}
	header := w.Header()
	if ignored != nil {
		header.Set(ignoredHeader, strings.Join(ignored, ", "))
	}
	header.Set("Content-Type", "application/json")
	mayKeep(header)
	buffer, sent := []byte(form.begin), false
	items := 0
	end, err := query.read(r.Context(), s.Feed, func(page []*feed.Item) error {
		if items > 0 && len(page) > 0 {
			buffer = append(buffer, ", "...)
		}
		items += len(page)
		if buffer, err = appendElements(buffer, page, form.format); err != nil {
			return err
		}
		if len(buffer) < 64<<10 { // so that an early failure can still be answered with an error
			return nil
		}
		_, err := w.Write(buffer)
		buffer, sent = buffer[:0], true
		return err
	})
	switch {
	case err != nil && !sent:
		writeError(w, public(r.Context(), s.Log, err))
		return
	case err != nil: // abort, so that the answer is not mistaken for complete
		_ = public(r.Context(), s.Log, err)
		panic(http.ErrAbortHandler)
	}
	buffer = form.end(buffer, end, ignored)
	if !sent && unchanged(w, r, buffer) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	_, _ = w.Write(buffer)
}

// appendElements appends items with commas between them.
func appendElements(b []byte, items []*feed.Item, format *feed.Format) ([]byte, error) {
	for i, item := range items {
		element, err := item.Encoded(format)
		if err != nil {
			return b, err
		}
		b = append(append(b, separator(i, "", ", ")...), element...)
	}
	return b, nil
}

// ignoredHeader lists the ignored parameters of a request, as the field "ignored" does.
const ignoredHeader = "Chatfeed-Ignored"

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
		fields := bytes.TrimSpace(wire.body) // without its braces
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

// goneText names an erased item, with the field names of chatData's items.
func goneText(gone feed.Gone) []byte {
	b := appendString([]byte(`{"workflowId": `), validText(gone.WorkflowID))
	b = appendString(append(b, `, "type": `...), validText(gone.Type))
	b = appendString(append(b, `, "id": `...), validText(gone.ID))
	return append(b, `, "_createdAt": `+formatTimestamp(clamp(gone.CreatedAt))+`}`...)
}

// workflowText names a workflow, with the field name of chatData's items.
func workflowText(id string) []byte {
	return append(appendString([]byte(`{"workflowId": `), validText(id)), '}')
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
// be long, are copied unchanged.
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
