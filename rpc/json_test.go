package rpc_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"chatfeed/feed"
	"chatfeed/rpc/chatfeedv1/chatfeedv1connect"
)

// All times have the same format, so that clients that compare them as text resume from the right item.
func TestEveryTimeInJSONHasSixDecimals(t *testing.T) {
	t.Parallel()
	item := func(id string, at feed.Cursor, body string) *feed.Item {
		return &feed.Item{WorkflowID: "wf", ID: id, Type: "log", CreatedAt: at, Body: []byte(body), Metadata: []byte(`{"_createdAt": "2026-01-01T00:00:00Z"}`)}
	}
	there := fixed(item("flat", 1_000_000, `{"message": "x"}`), item("nested", 2_500_000, `{"message": "x", "unknown": {"a": 1}}`),
		item("escaped", 3_000_001, `{"message": "\"_createdAt\":\"2026-01-01T00:00:00Z\""}`))
	there.workflows = func(feed.Workflow, int) ([]feed.Workflow, error) {
		return []feed.Workflow{{ID: "wf", Head: 1_000_000, Active: 1}, {ID: "quiet", Head: 1_000, Active: 1}}, nil
	}
	s := serve(t, there, config{})
	requireTimes := func(answer string) {
		require.Contains(t, answer, `"_createdAt":"1970-01-01T00:00:01.000000Z"`)
		require.Contains(t, answer, `"_createdAt":"1970-01-01T00:00:02.500000Z"`)
		require.Contains(t, answer, `"_createdAt":"1970-01-01T00:00:03.000001Z"`)
		require.Equal(t, 3, strings.Count(answer, `2026-01-01T00:00:00Z"}`), "what the writer wrote is unchanged")
	}
	call := func(procedure, request string) string {
		answer, err := do(limited(t), s.h1, http.MethodPost, s.url+procedure, request, "Content-Type", "application/json")
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, answer.status, string(answer.body))
		return string(answer.body)
	}
	requireTimes(strings.ReplaceAll(call(chatfeedv1connect.FeedServiceGetChatDataProcedure, `{"workflowId": "wf"}`), `": "`, `":"`))
	listed := call(chatfeedv1connect.FeedServiceListWorkflowsProcedure, `{}`)
	require.JSONEq(t, `{"workflows": [{"id": "wf", "head": "1970-01-01T00:00:01.000000Z"}, {"id": "quiet", "head": "1970-01-01T00:00:00.001000Z"}]}`, listed)

	request := "\x00\x00\x00\x00\x23" + `{"cursors": [{"workflowId": "wf"}]}`
	answer, err := do(limited(t), s.h1, http.MethodPost, s.url+chatfeedv1connect.FeedServiceSubscribeProcedure, request,
		"Content-Type", "application/connect+json", "Connect-Protocol-Version", "1", "Connect-Timeout-Ms", "300")
	require.NoError(t, err)
	requireTimes(strings.ReplaceAll(string(answer.body), `": "`, `":"`))
}

func TestAnswersToGETAreNotCached(t *testing.T) {
	t.Parallel()
	s := serve(t, fixed(), config{})
	for procedure, message := range map[string]string{
		chatfeedv1connect.FeedServiceGetChatDataProcedure:   `{"workflowId": "wf"}`,
		chatfeedv1connect.FeedServiceListWorkflowsProcedure: `{}`,
	} {
		query := url.Values{"connect": {"v1"}, "encoding": {"json"}, "message": {message}}
		answer, err := get(limited(t), s.h1, s.url+procedure+"?"+query.Encode())
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, answer.status, string(answer.body))
		require.Equal(t, "no-store", answer.header.Get("Cache-Control"), procedure)
	}
}

// stateError is an error of PostgreSQL, as drivers have it.
type stateError string

func (e stateError) Error() string    { return "SELECT secret: SQLSTATE " + string(e) }
func (e stateError) SQLState() string { return string(e) }

// An error says whether to wait or to call an operator.
func TestDifferentCausesHaveDifferentMessages(t *testing.T) {
	t.Parallel()
	for want, cause := range map[string]error{
		"takes too long to answer; try again":                    stateError("57014"),
		"takes too long to answer; try again ":                   context.DeadlineExceeded,
		"outdated, or a permission is missing; its operator can": stateError("42P01"),
		"schema is missing or outdated":                          stateError("3F000"),
		"a permission is missing":                                stateError("42501"),
		"cannot be reached; try again":                           stateError("57P03"),
		"cannot be reached":                                      errInternal,
	} {
		failing := func(feed.Position, feed.Window) (feed.Page, error) { return feed.Page{}, cause }
		s := serve(t, &source{after: failing, before: failing, workflows: func(feed.Workflow, int) ([]feed.Workflow, error) {
			return nil, cause
		}}, config{})
		for name, call := range s.calls(limited(t)) {
			if strings.Contains(name, "wait") {
				continue
			}
			err := call()
			require.ErrorContains(t, err, strings.TrimSpace(want), name)
			requirePublic(t, err.Error())
		}
	}
}
