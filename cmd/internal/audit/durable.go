package audit

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// durablePolls follows by the Durable Streams protocol: page by page to the end, and from there by long poll. It goes on from
// the offsets that it is given.
func durablePolls(ctx context.Context, at *endpoint, workflow string, after int64, take func(frame)) error {
	query := url.Values{"offset": {offset(after)}, "types": {strings.Join(kinds(), ",")}}
	for {
		response, err := at.stream(ctx, workflow, query, take)
		if err != nil {
			return err
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil {
			return fmt.Errorf("read a Durable Stream: %w", err)
		}
		if response.StatusCode != http.StatusOK {
			body = []byte("[]")
		}
		f, err := at.sums.durableFrame(body)
		if err != nil {
			return err
		}
		take(f)
		query.Set("offset", response.Header.Get("Stream-Next-Offset"))
		if response.Header.Get("Stream-Closed") != "" {
			return errors.New("the Durable Stream is closed")
		}
		if response.Header.Get("Stream-Up-To-Date") != "" {
			query.Set("live", "long-poll")
			query.Set("cursor", response.Header.Get("Stream-Cursor"))
		}
	}
}

// durableEvents follows by the events of the Durable Streams protocol.
func durableEvents(ctx context.Context, at *endpoint, workflow string, after int64, take func(frame)) error {
	response, err := at.stream(ctx, workflow, url.Values{
		"offset": {offset(after)}, "live": {"sse"}, "types": {strings.Join(kinds(), ",")},
	}, take)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	lines := bufio.NewReader(response.Body)
	for {
		fields, err := readEvent(lines)
		if err != nil {
			return fmt.Errorf("read a Durable Stream: %w", err)
		}
		var f frame
		switch fields["event"] {
		case "control":
		case "data":
			f, err = at.sums.durableFrame([]byte(fields["data"]))
		default:
			f, err = at.sums.event(fields)
		}
		if err != nil {
			return fmt.Errorf("read event %q of a Durable Stream: %w", fields["event"], err)
		}
		take(f)
	}
}

// offset is the protocol's for a cursor.
func offset(after int64) string {
	if after == 0 {
		return "-1"
	}
	return fmt.Sprintf("%019d", after)
}

// absentPause is the pause before a stream is asked for again that does not exist yet.
const absentPause = 50 * time.Millisecond

// stream makes a request for a workflow's stream. There is none until the workflow has items, which is an answer like that of
// other transports without items.
func (e *endpoint) stream(ctx context.Context, workflow string, query url.Values, take func(frame)) (*http.Response, error) {
	address := e.server + "/v1/stream/workflows/" + url.PathEscape(workflow) + "?" + query.Encode()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
		if err != nil {
			return nil, err
		}
		response, err := e.http.Do(request)
		if err != nil || response.StatusCode == http.StatusOK || response.StatusCode == http.StatusNoContent {
			return response, err
		}
		body, _ := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if response.StatusCode != http.StatusNotFound || !strings.Contains(string(body), `"not_found"`) {
			return nil, fmt.Errorf("read a Durable Stream: %s: %.200s", response.Status, body)
		}
		take(frame{})
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(absentPause):
		}
	}
}

// durableFrame parses an array of items.
func (s sums) durableFrame(array []byte) (frame, error) {
	items, err := s.restItems(fmt.Appendf(nil, `{"items": %s}`, json.RawMessage(array)))
	if err != nil {
		return frame{}, fmt.Errorf("read a Durable Stream: %w", err)
	}
	return frame{items: items}, nil
}
