package program_test

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"chatfeed/db"
	"chatfeed/internal/dbtest"
	v1 "chatfeed/rpc/chatfeedv1"
	"chatfeed/rpc/chatfeedv1/chatfeedv1connect"
)

// ofEachType is an item of each type, as a client reads it when a server has recorded it.
func ofEachType(workflow, prefix string) []*v1.Item {
	metadata, _ := structpb.NewValue(map[string]any{"a": []any{1.5, nil, "żółć"}})
	items := []*v1.Item{
		{Id: prefix + "1", Metadata: metadata, Item: &v1.Item_Message{Message: &v1.Message{Message: "Hello 🙂\n", Role: "user", Status: "s", Replaces: "m"}}},
		{Id: prefix + "2", Item: &v1.Item_Log{Log: &v1.Log{Level: "warn", Message: "m"}}},
		{Id: prefix + "3", Item: &v1.Item_Stat{Stat: &v1.Stat{ProcessingTime: 0.1, TokenCount: 7}}},
		{Id: prefix + "4", Item: &v1.Item_Progress{Progress: &v1.Progress{Progress: 99.5, Status: "s", Result: "r"}}},
		{Id: prefix + ":2:1:5", Item: &v1.Item_Delta{Delta: &v1.Delta{MessageId: prefix, Attempt: 2, Part: 1, Kind: "reasoning", At: 5, Delta: "d"}}},
		{Id: prefix + ":output-error", Item: &v1.Item_Tool{Tool: &v1.Tool{
			CallId: prefix, Name: "n", State: "output-error", Error: "e", Input: structpb.NewNumberValue(1.5), Output: structpb.NewNullValue(),
		}}},
	}
	for _, item := range items {
		item.WorkflowId = workflow
	}
	return items
}

var everyType = []string{"message", "log", "stat", "progress", "delta", "tool"}

func TestItemsAreRecordedOnceAndReadBackOverEveryProtocol(t *testing.T) {
	t.Parallel()
	url := serve(t, dbtest.URL(t))
	defer http.DefaultClient.CloseIdleConnections()
	for i, options := range [][]connect.ClientOption{
		{}, {connect.WithProtoJSON()}, {connect.WithGRPC()}, {connect.WithGRPC(), connect.WithProtoJSON()}, {connect.WithGRPCWeb()},
	} {
		records := chatfeedv1connect.NewRecordServiceClient(http.DefaultClient, url, options...)
		feeds := chatfeedv1connect.NewFeedServiceClient(http.DefaultClient, url, options...)
		workflow := fmt.Sprint("wf", i)
		items := ofEachType(workflow, "a")
		for _, already := range []bool{false, true} {
			got, err := records.Record(t.Context(), &v1.RecordRequest{WorkflowId: workflow, Items: items})
			require.NoError(t, err)
			for j, item := range got.GetItems() {
				require.Equal(t, items[j].GetId(), item.GetId())
				require.Equal(t, already, item.GetAlready())
			}
		}
		page, err := feeds.GetChatData(t.Context(), &v1.GetChatDataRequest{WorkflowId: workflow, Types: everyType})
		require.NoError(t, err)
		require.Len(t, page.GetItems(), len(items))
		for j, item := range page.GetItems() {
			require.NotNil(t, item.GetCreatedAt())
			item.CreatedAt = nil
			require.Truef(t, proto.Equal(items[j], item), "want %v\ngot  %v", items[j], item)
		}
	}
}

// post posts JSON as curl does.
func post(t *testing.T, url, body string) (status int, answer string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/chatfeed.v1.RecordService/Record", strings.NewReader(body))
	require.NoError(t, err)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer func() { require.NoError(t, response.Body.Close()) }()
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(text)
}

func TestAProgramWithoutALibraryRecordsByPlainHTTP(t *testing.T) {
	t.Parallel()
	url := serve(t, dbtest.URL(t))
	defer http.DefaultClient.CloseIdleConnections()
	delta := `{"workflowId": "wf", "items": [{"delta": {"messageId": "m", "delta": "Hel"}}, {"delta": {"messageId": "m", "at": 3, "delta": "lo"}}]}`
	status, answer := post(t, url, delta)
	require.Equal(t, http.StatusOK, status, answer)
	require.JSONEq(t, `{"items": [{"id": "m:1:0:0"}, {"id": "m:1:0:3"}]}`, answer)
	last := `{"workflowId": "wf", "items": [{"id": "m", "message": {"message": "Hello", "status": "complete"}}, {"id": "p", "progress": {"progress": 100, "final": true}}]}`
	for _, already := range []string{``, `, "already": true`} {
		status, answer = post(t, url, last)
		require.Equal(t, http.StatusOK, status, answer)
		require.JSONEq(t, strings.ReplaceAll(`{"items": [{"id": "m"ALREADY}, {"id": "p"ALREADY}]}`, "ALREADY", already), answer)
	}

	status, answer = post(t, url, `{"workflowId": "wf", "items": [{"id": "late", "log": {"message": "m"}}]}`)
	require.Equal(t, http.StatusBadRequest, status)
	require.Contains(t, answer, `"failed_precondition"`)
	require.Contains(t, answer, "the workflow is closed")
	page, err := chatfeedv1connect.NewFeedServiceClient(http.DefaultClient, url).GetChatData(t.Context(),
		&v1.GetChatDataRequest{WorkflowId: "wf", Types: everyType})
	require.NoError(t, err)
	require.Len(t, page.GetItems(), 2, "the message has taken the place of its deltas")
	require.Equal(t, "assistant", page.GetItems()[0].GetMessage().GetRole())
}

func TestWhatCannotBeStoredIsNamedAndNothingOfTheCallIsRecorded(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	_, err := pool.Exec(t.Context(), `alter table chatfeed.logs add constraint own check (message <> 'unwanted')`)
	require.NoError(t, err)
	url := serve(t, pool.Config().ConnString())
	defer http.DefaultClient.CloseIdleConnections()
	records := chatfeedv1connect.NewRecordServiceClient(http.DefaultClient, url, connect.WithProtoJSON())
	text := func(n int) string { return strings.Repeat("x", n) }
	deep := []byte(strings.Repeat("[", 32) + strings.Repeat("]", 32))
	value := new(structpb.Value)
	require.NoError(t, protojson.Unmarshal(deep, value))
	for say, item := range map[string]*v1.Item{
		"items[1].id: is empty; 1 to 200 bytes are required":            {Item: &v1.Item_Log{Log: &v1.Log{}}},
		"items[1].id: is 201 bytes long":                                {Id: text(201), Item: &v1.Item_Log{Log: &v1.Log{}}},
		"items[1].id: contains a NUL byte":                              {Id: "\x00", Item: &v1.Item_Log{Log: &v1.Log{}}},
		"items[1].message.message: is 1048577 bytes long":               {Id: "a", Item: &v1.Item_Message{Message: &v1.Message{Message: text(1<<20 + 1)}}},
		"items[1].message.role: is 1001 bytes long":                     {Id: "a", Item: &v1.Item_Message{Message: &v1.Message{Role: text(1001)}}},
		"items[1].metadata: is 65539 bytes long":                        {Id: "a", Item: &v1.Item_Log{Log: &v1.Log{}}, Metadata: structpb.NewStringValue(text(65537))},
		"items[1].stat.tokenCount: is -1":                               {Id: "a", Item: &v1.Item_Stat{Stat: &v1.Stat{TokenCount: -1}}},
		"items[1].stat.processingTime: is not a finite number":          {Id: "a", Item: &v1.Item_Stat{Stat: &v1.Stat{ProcessingTime: math.Inf(1)}}},
		"items[1].progress.progress: is 101; accepted is a number from": {Id: "a", Item: &v1.Item_Progress{Progress: &v1.Progress{Progress: 101}}},
		"items[1].delta.messageId: is empty":                            {Item: &v1.Item_Delta{Delta: &v1.Delta{Delta: "d"}}},
		"items[1].tool.state: is \"done\"; accepted are input-availabl": {Item: &v1.Item_Tool{Tool: &v1.Tool{CallId: "c", Name: "n", State: "done"}}},
		"items[1].tool.input:":                                          {Item: &v1.Item_Tool{Tool: &v1.Tool{CallId: "c", Name: "n", State: "output-error", Input: value}}},
		"items: are refused by a constraint that the database":          {Id: "a", Item: &v1.Item_Log{Log: &v1.Log{Message: "unwanted"}}},
	} {
		_, err := records.Record(t.Context(), &v1.RecordRequest{WorkflowId: "wf", Items: []*v1.Item{
			{Id: "first", Item: &v1.Item_Log{Log: &v1.Log{Message: "fine"}}}, item,
		}})
		require.Equal(t, connect.CodeInvalidArgument, connect.CodeOf(err), "%s: %v", say, err)
		require.ErrorContains(t, err, say)
	}
	var n int
	require.NoError(t, pool.QueryRow(t.Context(), `select count(*) from chatfeed.items`).Scan(&n))
	require.Zero(t, n)
}

// granted returns the grants that docs/operations.md has for a role.
func granted(t *testing.T, role string) string {
	t.Helper()
	text, err := os.ReadFile("../../../docs/operations.md")
	require.NoError(t, err)
	found := regexp.MustCompile("(?s)```sql " + role + "\n(.*?)```").FindSubmatch(text)
	require.NotNil(t, found)
	return string(found[1])
}

func TestAServerRecordsOnceItsRoleHasTheDocumentedGrants(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	server := dbtest.Server(t)
	admin, err := db.Open(ctx, server.URL())
	require.NoError(t, err)
	t.Cleanup(admin.Close)
	_, err = admin.Exec(ctx, `create role chatfeed_reader login;`+granted(t, "reader"))
	require.NoError(t, err)
	url := serve(t, strings.Replace(server.URL(), "postgres@", "chatfeed_reader@", 1))
	defer http.DefaultClient.CloseIdleConnections()
	const items = `{"workflowId": "wf", "items": [{"id": "1", "message": {"message": "m"}}, {"delta": {"messageId": "m", "delta": "d"}}]}`
	status, answer := post(t, url, items)
	require.Equal(t, http.StatusServiceUnavailable, status)
	var said struct{ Code, Message string }
	require.NoError(t, json.Unmarshal([]byte(answer), &said))
	require.Equal(t, "unavailable", said.Code)
	require.Contains(t, said.Message, "a permission is missing, see the grants in docs/operations.md")

	_, err = admin.Exec(ctx, strings.ReplaceAll(granted(t, "writer"), "chatfeed_writer", "chatfeed_reader"))
	require.NoError(t, err)
	status, answer = post(t, url, items)
	require.Equal(t, http.StatusOK, status, answer)
}
