package audit

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// events follows by server-sent events.
func events(ctx context.Context, at *endpoint, workflow string, after int64, take func(frame)) error {
	address := at.server + "/workflows/" + url.PathEscape(workflow) + "/events?types=" + strings.Join(kinds(), ",")
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	if after > 0 {
		request.Header.Set("Last-Event-ID", seconds(after))
	}
	response, err := at.http.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(response.Body)
		return fmt.Errorf("read events: %s: %.200s", response.Status, body)
	}
	lines := bufio.NewReader(response.Body)
	for {
		fields, err := readEvent(lines)
		if err != nil {
			return fmt.Errorf("read events: %w", err)
		}
		f, err := at.sums.event(fields)
		if err != nil {
			return fmt.Errorf("read event %q: %w", fields["event"], err)
		}
		take(f)
	}
}

// readEvent reads the fields of one event; a comment is a field without a name.
func readEvent(lines *bufio.Reader) (map[string]string, error) {
	fields := map[string]string{}
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return nil, err
		}
		if line == "\n" {
			return fields, nil
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		fields[name] += strings.TrimPrefix(value, " ")
	}
}

// event parses an event. The id of an item's event must be the item's cursor, because clients resume from it.
func (s sums) event(fields map[string]string) (frame, error) {
	data := fields["data"]
	switch fields["event"] {
	case "", "up-to-date":
		return frame{}, nil
	case "end":
		return frame{}, fmt.Errorf("the stream has ended: %.200s", data)
	case "gone":
		gone, err := goneItem([]byte(data))
		return frame{gone: []item{gone}}, err
	case "anew":
		var anew struct{ WorkflowID string }
		err := json.Unmarshal([]byte(data), &anew)
		return frame{anew: []string{anew.WorkflowID}}, err
	}
	items, err := s.restItems([]byte(`{"items": [` + data + `]}`))
	if err != nil {
		return frame{}, err
	}
	if at, err := micros(fields["id"]); err != nil || at != items[0].at || fields["event"] != items[0].kind {
		items[0].sum++ // it differs from the row
	}
	return frame{items: items}, nil
}

// goneItem parses an erased item in JSON.
func goneItem(data []byte) (item, error) {
	var gone struct {
		WorkflowID, Type, ID string
		CreatedAt            json.Number `json:"_createdAt"`
	}
	if err := json.Unmarshal(data, &gone); err != nil {
		return item{}, err
	}
	at, err := micros(gone.CreatedAt.String())
	return item{workflow: gone.WorkflowID, kind: gone.Type, id: gone.ID, at: at}, err
}
