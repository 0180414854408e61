package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"chatfeed/activities/webhook"
)

// receiver is an endpoint that shows every event of a workflow once, in order, also when deliveries are repeated or missing.
type receiver struct {
	hook *standardwebhooks.Webhook
	feed string // URL of the feed server
	show func(workflowID string, event webhook.Event)

	mu sync.Mutex
	at map[string]webhook.Cursor // how far each workflow was shown; to survive a restart, keep it where the events go
}

// ServeHTTP answers with 204 when the events have been shown. Any other answer has the delivery repeated, or kept for a replay.
func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, request.Body, 4<<20))
	if err != nil {
		http.Error(w, "the body cannot be read", http.StatusBadRequest)
		return
	}
	if err := r.hook.Verify(body, request.Header); err != nil {
		http.Error(w, "the signature is not ours, or too old", http.StatusUnauthorized)
		return
	}
	var payload webhook.Payload
	if err := json.Unmarshal(body, &payload); err != nil || payload.Type != webhook.ProgressType {
		http.Error(w, "the payload is not known", http.StatusBadRequest)
		return
	}
	if err := r.take(request.Context(), payload.Data); err != nil {
		http.Error(w, "the feed cannot be read", http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// take shows what is new in a delivery.
func (r *receiver) take(ctx context.Context, d webhook.Data) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch at := r.at[d.WorkflowID]; {
	case d.After <= at: // it was here before
		return nil
	case d.Before != at: // something is missing in between, or we have read some of it from the feed
		return r.catchUp(ctx, d.WorkflowID)
	}
	for _, event := range d.Events {
		r.show(d.WorkflowID, event)
	}
	r.at[d.WorkflowID] = d.After
	return nil
}

// catchUp shows what the feed has after the cursor. A delivery's events are in the feed before the delivery arrives.
func (r *receiver) catchUp(ctx context.Context, workflowID string) error {
	for upToDate := false; !upToDate; {
		address := fmt.Sprintf("%s/workflows/%s/chatData?types=progress&afterTimestamp=%s",
			r.feed, url.PathEscape(workflowID), r.at[workflowID])
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
		if err != nil {
			return err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		var page struct {
			Items []struct {
				CreatedAt webhook.Cursor `json:"createdAt"`
				Item      webhook.Event  `json:"item"`
			} `json:"items"`
			UpToDate bool `json:"upToDate"`
		}
		err = json.NewDecoder(response.Body).Decode(&page)
		_ = response.Body.Close()
		if err != nil || response.StatusCode != http.StatusOK {
			return fmt.Errorf("the feed answered %d: %w", response.StatusCode, err)
		}
		for _, item := range page.Items {
			r.show(workflowID, item.Item)
			r.at[workflowID] = item.CreatedAt
		}
		upToDate = page.UpToDate
	}
	return nil
}
