package compare_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"chatfeed/cmd/internal/compare"
)

// answering serves the bodies by the last part of the path and, for chatData, the type. A body may be made per request.
func answering(t *testing.T, bodies map[string]func() string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:] + r.URL.Query().Get("types")
		body, ok := bodies[name]
		if !ok {
			http.NotFound(w, r)
			return
		}
		_, _ = fmt.Fprint(w, body())
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func always(body string) func() string { return func() string { return body } }

// chatData wraps items as the new server does.
func chatData(items ...string) func() string {
	return func() string {
		var wrapped []string
		for _, item := range items {
			wrapped = append(wrapped, `{"type": "message", "createdAt": 5, "item": `+item+`}`)
		}
		return `{"items": [` + strings.Join(wrapped, ", ") + `], "upToDate": true}`
	}
}

func compared(t *testing.T, old, current func() string) []compare.Difference {
	t.Helper()
	servers := compare.Servers{
		Old: answering(t, map[string]func() string{"messages": old, "logs": always(`[]`), "stats": always(`{"items": []}`)}),
		New: answering(t, map[string]func() string{"chatDatamessage": current, "chatDatalog": chatData(), "chatDatastat": chatData()}), Client: http.DefaultClient,
	}
	found, _, err := compare.Workflow(t.Context(), servers, "wf")
	require.NoError(t, err)
	return found
}

func TestEveryKindOfDifferenceIsReported(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		old, current func() string
		want         []compare.Difference
	}{
		"nothing": {
			always(`[{"id": "1", "message": "a", "n": 1.50, "_createdAt": 3, "extra": {"b": [1]}}, {"id": "2"}]`),
			chatData(`{"id": "1", "message": "a", "n": 1.5, "_createdAt": 9, "extra": {"b": [1]}, "more": true}`, `{"id": "2"}`), nil,
		},
		"missing": {always(`{"messages": [{"id": "1"}, {"id": "2"}]}`), chatData(`{"id": "1"}`), []compare.Difference{{Kind: compare.Missing, ID: "2"}}},
		"added":   {always(`{"messages": []}`), chatData(`{"id": "1"}`), []compare.Difference{{Kind: compare.Added, ID: "1"}}},
		"different": {
			always(`[{"id": "1", "message": "a", "n": 1, "m": 12345678901234567890}]`), chatData(`{"id": "1", "message": "b", "m": 12345678901234567890}`),
			[]compare.Difference{
				{Kind: compare.Different, ID: "1", Field: "message", Old: `"a"`, New: `"b"`},
				{Kind: compare.Different, ID: "1", Field: "n", Old: `1`},
			},
		},
		"order": {
			always(`[{"id": "1"}, {"id": "9"}, {"id": "2"}, {"id": "3"}]`), chatData(`{"id": "1"}`, `{"id": "3"}`, `{"id": "2"}`),
			[]compare.Difference{{Kind: compare.Missing, ID: "9"}, {Kind: compare.Order, ID: "3"}},
		},
	} {
		for i := range c.want {
			c.want[i].Workflow, c.want[i].Type = "wf", "message"
		}
		require.Equal(t, c.want, compared(t, c.old, c.current), name)
	}
}

func TestWhatIsWrittenOrDeletedMeanwhileIsNoDifference(t *testing.T) {
	t.Parallel()
	var reads atomic.Int32
	growing := func() string { // the old server has one item at first, and another one later
		if reads.Add(1) == 1 {
			return `[{"id": "1"}, {"id": "deleted"}]`
		}
		return `[{"id": "1"}, {"id": "2"}]`
	}
	require.Empty(t, compared(t, growing, chatData(`{"id": "1"}`, `{"id": "2"}`)))
}

func TestAnswersThatCannotBeComparedAreNamed(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"data": []}`:   `/workflows/wf/messages: the answer has neither "messages" nor "items"`,
		`<html>`:         "/workflows/wf/messages: the answer is no list of items",
		`[{"text": ""}]`: `/workflows/wf/messages: item 0 has no "id"`,
	} {
		servers := compare.Servers{
			Old: answering(t, map[string]func() string{"messages": always(body)}), New: answering(t, nil), Client: http.DefaultClient,
		}
		_, _, err := compare.Workflow(t.Context(), servers, "wf")
		require.ErrorContains(t, err, want)
	}
	empty := answering(t, map[string]func() string{"messages": always(`[]`)})
	_, _, err := compare.Workflow(t.Context(), compare.Servers{Old: empty, New: answering(t, nil), Client: http.DefaultClient}, "wf")
	require.ErrorContains(t, err, "/workflows/wf/chatData?types=message: 404 Not Found")
}
