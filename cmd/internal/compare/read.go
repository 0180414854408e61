package compare

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// Servers are the two servers that are compared, by their base URLs without a slash at the end.
type Servers struct {
	Old, New string
	Client   *http.Client
}

// old reads a whole list of the old server: an array of items, or an object that has the array under the endpoint's name or "items".
func (s Servers) old(ctx context.Context, workflow string, e endpoint) ([]item, error) {
	address := s.Old + "/workflows/" + url.PathEscape(workflow) + "/" + e.name
	body, err := s.get(ctx, address)
	if err != nil {
		return nil, err
	}
	var list []item
	if bytes.HasPrefix(bytes.TrimSpace(body), []byte("[")) {
		err = decode(body, &list)
	} else {
		var object map[string]json.RawMessage
		err = decode(body, &object)
		raw, ok := object[e.name]
		if !ok {
			raw, ok = object["items"]
		}
		switch {
		case err == nil && !ok:
			return nil, fmt.Errorf("%s: the answer has neither %q nor \"items\"", address, e.name)
		case err == nil:
			err = decode(raw, &list)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%s: the answer is no list of items: %w", address, err)
	}
	return list, check(address, list)
}

// new reads a whole list of the new server.
func (s Servers) new(ctx context.Context, workflow string, e endpoint) ([]item, error) {
	address := s.New + "/workflows/" + url.PathEscape(workflow) + "/chatData?types=" + e.itemType
	body, err := s.get(ctx, address)
	if err != nil {
		return nil, err
	}
	var answer struct{ Items []struct{ Item item } }
	if err := decode(body, &answer); err != nil {
		return nil, fmt.Errorf("%s: the answer is no chatData: %w", address, err)
	}
	list := make([]item, len(answer.Items))
	for i, element := range answer.Items {
		list[i] = element.Item
	}
	return list, check(address, list)
}

// check reports an item without an id.
func check(address string, list []item) error {
	for i, element := range list {
		if element["id"] == nil {
			return fmt.Errorf("%s: item %d has no \"id\"", address, i)
		}
	}
	return nil
}

func decode(body []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	return decoder.Decode(into)
}

func (s Servers) get(ctx context.Context, address string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	response, err := s.Client.Do(request)
	if err != nil {
		return nil, err // it names the address
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", address, err)
	case response.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("%s: %s: %.200s", address, response.Status, bytes.TrimSpace(body))
	}
	return body, nil
}
