package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"chatfeed/activities/webhook"
)

// A feed of twenty events, one a second, is delivered in random portions, each any number of times and in any order.
func TestEachEventIsShownOnceWhateverIsRepeatedOrMissing(t *testing.T) {
	t.Parallel()
	const events = 20
	cursor := func(n int) webhook.Cursor { return webhook.Cursor(n * 1_000_000) }
	event := func(n int) webhook.Event { return webhook.Event{ID: strconv.Itoa(n), Progress: float64(n)} }
	recorded := 0 // how many events the feed has
	feed := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		after, err := webhook.ParseCursor(r.URL.Query().Get("afterTimestamp"))
		if err != nil || r.URL.EscapedPath() != "/workflows/wf%2F1/chatData" || r.URL.Query().Get("types") != "progress" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		items := []map[string]any{}
		for n := int(after/1_000_000) + 1; n <= recorded && len(items) < 3; n++ {
			items = append(items, map[string]any{"createdAt": cursor(n), "item": event(n)})
		}
		upToDate := len(items) == 0 || items[len(items)-1]["createdAt"] == cursor(recorded)
		_ = json.NewEncoder(w).Encode(map[string]any{"items": items, "upToDate": upToDate})
	}))
	t.Cleanup(feed.Close)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	key := make([]byte, 32)
	hook, err := standardwebhooks.NewWebhookRaw(key)
	require.NoError(t, err)
	post := func(r *receiver, d webhook.Data) int {
		now := time.Now()
		body, err := json.Marshal(webhook.Payload{Type: webhook.ProgressType, Timestamp: now, Data: d})
		require.NoError(t, err)
		request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", bytes.NewReader(body))
		signature, err := hook.Sign("msg_1", now, body)
		require.NoError(t, err)
		request.Header.Set("webhook-id", "msg_1")
		request.Header.Set("webhook-timestamp", strconv.FormatInt(now.Unix(), 10))
		request.Header.Set("webhook-signature", signature)
		answer := httptest.NewRecorder()
		r.ServeHTTP(answer, request)
		return answer.Code
	}
	rapid.Check(t, func(t *rapid.T) {
		var shown []string
		r := &receiver{hook: hook, feed: feed.URL, at: make(map[string]webhook.Cursor), show: func(workflowID string, e webhook.Event) {
			shown = append(shown, workflowID+" "+e.ID)
		}}
		var deliveries []webhook.Data
		for n := 0; n < events; {
			size := rapid.IntRange(1, 4).Draw(t, "size")
			d := webhook.Data{WorkflowID: "wf/1", Before: cursor(n), After: cursor(min(n+size, events))}
			for ; size > 0 && n < events; size-- {
				n++
				d.Events = append(d.Events, event(n))
			}
			deliveries = append(deliveries, d)
		}
		recorded = 0
		for range 30 {
			next := rapid.IntRange(0, len(deliveries)-1).Draw(t, "delivery")
			recorded = max(recorded, int(deliveries[next].After/1_000_000)) // the feed has it first, and perhaps more
			recorded = min(events, recorded+rapid.IntRange(0, 2).Draw(t, "more"))
			require.Equal(t, http.StatusNoContent, post(r, deliveries[next]))
		}
		recorded = events
		require.Equal(t, http.StatusNoContent, post(r, deliveries[len(deliveries)-1]))
		want := make([]string, events)
		for n := range events {
			want[n] = fmt.Sprint("wf/1 ", n+1)
		}
		require.Equal(t, want, shown)
	})

	r := &receiver{hook: hook, feed: "http://127.0.0.1:1", at: make(map[string]webhook.Cursor), show: func(string, webhook.Event) {}}
	require.Equal(t, http.StatusServiceUnavailable, post(r, webhook.Data{WorkflowID: "wf", Before: 1, After: 2}), "it is repeated")
	request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader("{}"))
	answer := httptest.NewRecorder()
	r.ServeHTTP(answer, request)
	require.Equal(t, http.StatusUnauthorized, answer.Code)
}

func TestTheDocsQuoteTheExample(t *testing.T) {
	t.Parallel()
	docs, err := os.ReadFile("../../docs/webhooks.md")
	require.NoError(t, err)
	var code strings.Builder
	for _, file := range []string{"main.go", "receiver.go"} {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		code.WriteString(unindented(string(text)))
	}
	blocks := strings.Split(string(docs), "```go\n")[1:]
	require.NotEmpty(t, blocks)
	for _, block := range blocks {
		quoted, _, _ := strings.Cut(block, "```")
		require.True(t, strings.Contains(code.String(), unindented(quoted)), "the example does not have this code:\n%s", quoted)
	}
}

func unindented(text string) string {
	var lines strings.Builder
	for line := range strings.Lines(text) {
		lines.WriteString(strings.TrimLeft(line, "\t"))
	}
	return lines.String()
}
