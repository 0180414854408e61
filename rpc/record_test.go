package rpc_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/structpb"

	"chatfeed/rpc"
	v1 "chatfeed/rpc/chatfeedv1"
	"chatfeed/rpc/chatfeedv1/chatfeedv1connect"
)

// record is a call of RecordService.Record.
type record func(context.Context, *server, *v1.RecordRequest) (*v1.RecordResponse, error)

// recordWays are all ways to record.
var recordWays = []struct {
	name   string
	record record
	tls    bool
}{
	{"Connect proto over HTTP/1.1", recordBy(h1), false},
	{"Connect proto over h2c", recordBy(h2), false},
	{"Connect proto over TLS", recordBy(h2), true},
	{"Connect proto with gzip", recordBy(h2, connect.WithSendGzip()), false},
	{"Connect JSON over HTTP/1.1", recordBy(h1, connect.WithProtoJSON()), false},
	{"gRPC over h2c", recordBy(h2, connect.WithGRPC()), false},
	{"gRPC JSON over h2c", recordBy(h2, connect.WithGRPC(), connect.WithProtoJSON()), false},
	{"gRPC-Web over HTTP/1.1", recordBy(h1, connect.WithGRPCWeb()), false},
	{"plain HTTP", recordPlainly, false},
}

func recordBy(over func(*server) *http.Client, options ...connect.ClientOption) record {
	return func(ctx context.Context, s *server, request *v1.RecordRequest) (*v1.RecordResponse, error) {
		return chatfeedv1connect.NewRecordServiceClient(over(s), s.url, options...).Record(ctx, request)
	}
}

// recordPlainly posts JSON, as a program without any library does.
func recordPlainly(ctx context.Context, s *server, request *v1.RecordRequest) (*v1.RecordResponse, error) {
	body, err := protojson.Marshal(request)
	if err != nil {
		return nil, err
	}
	got, err := s.post(ctx, string(body))
	if err != nil {
		return nil, err
	}
	if got.status != http.StatusOK {
		var said struct{ Code, Message string }
		if err := json.Unmarshal(got.body, &said); err != nil {
			return nil, err
		}
		var code connect.Code
		if err := code.UnmarshalText([]byte(said.Code)); err != nil {
			return nil, err
		}
		return nil, connect.NewError(code, fmt.Errorf("%s", said.Message))
	}
	response := new(v1.RecordResponse)
	return response, protojson.Unmarshal(got.body, response)
}

// post posts JSON to RecordService.Record.
func (s *server) post(ctx context.Context, body string) (answer, error) {
	return do(ctx, s.h1, http.MethodPost, s.url+chatfeedv1connect.RecordServiceRecordProcedure, body, "Content-Type", "application/json")
}

// ofEachType is an item of each type, with all fields.
func ofEachType() []*v1.Item {
	return []*v1.Item{
		{Id: "1", Item: &v1.Item_Message{Message: &v1.Message{Message: "żółć 🙂 \"<b>\n", Role: "user", Status: "first", Replaces: "0"}}},
		{Id: "2", Item: &v1.Item_Log{Log: &v1.Log{Level: "warn", Message: "m"}}, Metadata: structpb.NewListValue(&structpb.ListValue{})},
		{Id: "3", Item: &v1.Item_Stat{Stat: &v1.Stat{ProcessingTime: 0.1, TokenCount: 2147483647}}, Metadata: structpb.NewNullValue()},
		{Id: "4", Item: &v1.Item_Progress{Progress: &v1.Progress{Progress: 99.5, Status: "s", Result: "r", Final: true}}},
		{Item: &v1.Item_Delta{Delta: &v1.Delta{MessageId: "m", Attempt: 2, Part: 3, Kind: "reasoning", At: 4, Delta: "d"}}},
		{WorkflowId: "wf", Item: &v1.Item_Tool{Tool: &v1.Tool{
			CallId: "c", MessageId: "m", Name: "n", State: "output-available", Error: "e",
			Input: structpb.NewNumberValue(1.5), Output: structpb.NewBoolValue(false),
		}}},
	}
}

func TestItemsOfEveryTypeAreRecordedOverEveryProtocol(t *testing.T) {
	t.Parallel()
	items := ofEachType()
	bodies := []string{
		`{"message": "żółć 🙂 \"<b>\n", "role": "user", "status": "first", "replaces": "0"}`, `{"level": "warn", "message": "m"}`,
		`{"processingTime": 0.1, "tokenCount": 2147483647}`, `{"progress": 99.5, "status": "s", "result": "r", "final": true}`,
		`{"messageId": "m", "attempt": 2, "part": 3, "kind": "reasoning", "at": 4, "delta": "d"}`,
		`{"callId": "c", "messageId": "m", "name": "n", "state": "output-available", "error": "e", "input": 1.5, "output": false}`,
	}
	types := (*v1.Item)(nil).ProtoReflect().Descriptor().Oneofs().ByName("item").Fields()
	require.Len(t, items, types.Len(), "a new type needs an item here")
	for _, way := range recordWays {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			var workflow string
			var got []rpc.NewItem
			s := serve(t, &source{}, config{tls: way.tls, rpc: rpc.Config{Recorder: recorder(
				func(workflowID string, items []rpc.NewItem) (recorded []rpc.Recorded, _ error) {
					workflow, got = workflowID, items
					for i := range items {
						recorded = append(recorded, rpc.Recorded{ID: fmt.Sprint("id ", i), Already: i%2 == 1})
					}
					return recorded, nil
				})}})
			response, err := way.record(limited(t), s, &v1.RecordRequest{WorkflowId: "wf", Items: items})
			require.NoError(t, err)
			require.Equal(t, "wf", workflow)
			require.Len(t, got, len(items))
			for i, item := range got {
				require.Equal(t, string(types.Get(i).Name()), item.Type)
				require.Equal(t, items[i].GetId(), item.ID)
				require.JSONEq(t, bodies[i], string(item.Body))
				require.Equal(t, map[int]string{1: "[]", 2: "null"}[i], string(item.Metadata))
				require.Equal(t, fmt.Sprint("id ", i), response.GetItems()[i].GetId())
				require.Equal(t, i%2 == 1, response.GetItems()[i].GetAlready())
			}
		})
	}
}

// recordsNothing is a recorder that nothing that is refused may reach.
func recordsNothing(t *testing.T) rpc.Recorder {
	t.Helper()
	return recorder(func(string, []rpc.NewItem) ([]rpc.Recorded, error) {
		t.Error("items were recorded")
		return nil, errInternal
	})
}

func one(items ...*v1.Item) *v1.RecordRequest {
	return &v1.RecordRequest{WorkflowId: "wf", Items: items}
}

// unknownField adds to a message a field that the schema does not have.
func unknownField[T proto.Message](message T) T {
	message.ProtoReflect().SetUnknown(protoreflect.RawFields(protowire.AppendVarint(protowire.AppendTag(nil, 99, protowire.VarintType), 1)))
	return message
}

func TestAnItemThatCannotBeRecordedIsNamedAsTheCallerHasWrittenIt(t *testing.T) {
	t.Parallel()
	s := serve(t, &source{}, config{rpc: rpc.Config{Recorder: recordsNothing(t)}})
	deep := strings.Repeat("[", 33) + strings.Repeat("]", 33)
	log := &v1.Item_Log{Log: &v1.Log{Message: "m"}}
	for _, c := range []struct {
		request any // a message, sent as protobuf, or a string, sent as JSON
		say     []string
	}{
		{&v1.RecordRequest{}, []string{"workflow_id:", "empty", "1 to 1000 bytes"}},
		{&v1.RecordRequest{WorkflowId: long}, []string{"workflow_id:", "1001 bytes"}},
		{one(), []string{"items:", "0 entries", "1 to 1000"}},
		{one(make([]*v1.Item, 1001)...), []string{"items:", "1001 entries", "1 to 1000"}},
		{one(&v1.Item{}), []string{"items[0]:", "no body", "message, log, stat, progress, delta, tool"}},
		{one(&v1.Item{Item: log}, &v1.Item{WorkflowId: "other", Item: log}), []string{"items[1].workflow_id:", "not that of the request"}},
		{one(&v1.Item{CreatedAt: now, Item: log}), []string{"items[0].created_at:", "stamps"}},
		{one(&v1.Item{Omitted: []string{"log"}, Item: log}), []string{"items[0].omitted:"}},
		{one(&v1.Item{Item: log, Metadata: structpb.NewNumberValue(math.NaN())}), []string{"items[0].metadata:", "NaN", "any JSON value"}},
		{one(&v1.Item{Item: log, Metadata: &structpb.Value{}}), []string{"items[0].metadata:", "without a kind"}},
		{unknownField(one(&v1.Item{Item: log})), []string{"field 99:", "older than the client"}},
		{one(unknownField(&v1.Item{Item: log})), []string{"items[0].field 99:"}},
		{one(&v1.Item{Item: log}, &v1.Item{Item: &v1.Item_Log{Log: unknownField(&v1.Log{})}}), []string{"items[1].log.field 99:"}},

		{`{}`, []string{"workflowId:", "empty", "1 to 1000 bytes"}},
		{``, []string{"request:", "empty", "JSON object"}},
		{`{"workflowId": "wf", "items": []`, []string{"request:", "unexpected"}},
		{`[]`, []string{"request:", "unexpected"}},
		{`{"workflowId": "wf"}`, []string{"items:", "0 entries"}},
		{`{"workflowId": "wf", "items": [` + strings.Repeat(`{},`, 1000) + `{}]}`, []string{"items:", "1001 entries"}},
		{`{"workflow": "wf", "items": [{}]}`, []string{"workflow:", "is not a field", "workflowId, items"}},
		{`{"workflowId": "wf", "items": [{"id": "1", "mesage": {}}]}`, []string{"items[0].mesage:", "workflowId, id, metadata, message, log, stat"}},
		{`{"workflowId": "wf", "items": [{"log": {}}, {"message": {"text": "hi"}}]}`, []string{"items[1].message.text:", "message, role, status, replaces"}},
		{`{"workflowId": "wf", "items": [{"log": {}, "metadata": {"a": 12345678901234567890}}]}`, []string{"items[0].metadata:", "64-bit float"}},
		{`{"workflowId": "wf", "items": [{"log": {}, "metadata": {"a": 1, "a": 2}}]}`, []string{"items[0].metadata:", "no name twice"}},
		{`{"workflowId": "wf", "items": [{"log": {}, "metadata": ` + deep + `}]}`, []string{"items[0].metadata:", "32 deep"}},
		{`{"workflowId": "wf", "items": [{"log": {}, "metadata": ` + strings.Repeat("[", 1<<20) + `}]}`, []string{"request:", "nested too deep"}},
		{`{"workflowId": "wf", "items": [{"tool": {"input": 1e400}}]}`, []string{"items[0].tool.input:", "64-bit float"}},
		{`{"workflowId": "wf", "items": [{"stat": {"tokenCount": "many"}}]}`, []string{"request:", "tokenCount", `"many"`}},
		{`{"workflowId": "wf", "items": [{"log": {}, "stat": {}}]}`, []string{"request:", "oneof"}},
		{`{"workflowId": "wf", "items": [{"log": {}, "_createdAt": "2026-01-01T00:00:00Z"}]}`, []string{"items[0]._createdAt:", "stamps"}},
		{`{"workflowId": "wf", "items": [{"log": {}, "workflowId": "other"}]}`, []string{"items[0].workflowId:"}},
		{`{"workflowId": "wf", "items": [null]}`, []string{"request:", "null"}},
		{"{\"workflowId\": \"\xff\"}", []string{"request:", "UTF-8"}},
	} {
		t.Run(fmt.Sprintf("%.80v", c.request), func(t *testing.T) {
			t.Parallel()
			ways := []error{}
			if text, ok := c.request.(string); ok {
				got, err := s.post(limited(t), text)
				require.NoError(t, err)
				ways = append(ways, got.error())
			} else {
				ways = append(ways, s.call(limited(t), c.request))
				_, err := recordBy(h2, connect.WithGRPC())(limited(t), s, c.request.(*v1.RecordRequest))
				ways = append(ways, err)
			}
			for _, err := range ways {
				require.Equal(t, connect.CodeInvalidArgument, connect.CodeOf(err), "%v", err)
				for _, text := range c.say {
					require.ErrorContains(t, err, text)
				}
				requirePublic(t, err.Error())
				require.Less(t, len(err.Error()), 400)
			}
		})
	}
}

func TestWhatTheDatabaseRefusesIsNamedAsTheCallerHasWrittenIt(t *testing.T) {
	t.Parallel()
	var refusal error
	s := serve(t, &source{}, config{rpc: rpc.Config{Recorder: recorder(func(string, []rpc.NewItem) ([]rpc.Recorded, error) { return nil, refusal })}})
	for _, c := range []struct {
		refusal     rpc.InvalidItemError
		proto, json string
	}{
		{rpc.InvalidItemError{Index: 2, Field: "tokenCount", Reason: "x"}, "items[2].stat.token_count: x", "items[2].stat.tokenCount: x"},
		{rpc.InvalidItemError{Index: 4, Field: "messageId", Reason: "x"}, "items[4].delta.message_id: x", "items[4].delta.messageId: x"},
		{rpc.InvalidItemError{Index: 0, Field: "message", Reason: "x"}, "items[0].message.message: x", "items[0].message.message: x"},
		{rpc.InvalidItemError{Index: 0, Field: "metadata", Reason: "x"}, "items[0].metadata: x", "items[0].metadata: x"},
		{rpc.InvalidItemError{Index: 3, Field: "id", Reason: "x"}, "items[3].id: x", "items[3].id: x"},
		{rpc.InvalidItemError{Index: -1, Field: "workflowId", Reason: "x"}, "workflow_id: x", "workflowId: x"},
		{rpc.InvalidItemError{Index: -1, Field: "items", Reason: "x"}, "items: x", "items: x"},
		{rpc.InvalidItemError{Index: -1, Field: "replaces", Reason: "x"}, "items: the replaces of one of them: x", "items: the replaces of one of them: x"},
	} {
		refusal = fmt.Errorf("10.1.2.3: secret: %w", &c.refusal)
		for _, way := range recordWays {
			if way.tls {
				continue
			}
			_, err := way.record(limited(t), s, one(ofEachType()...))
			require.Equal(t, connect.CodeInvalidArgument, connect.CodeOf(err), "%s: %v", way.name, err)
			want := c.proto
			if strings.Contains(way.name, "JSON") || way.name == "plain HTTP" {
				want = c.json
			}
			require.ErrorContains(t, err, want, way.name)
			requirePublic(t, err.Error())
		}
	}
}

// A client has to know from the code alone whether to try again.
func TestErrorsOfARecorderSayWhetherARetryMaySucceed(t *testing.T) {
	t.Parallel()
	var failure error
	s := serve(t, &source{}, config{rpc: rpc.Config{Recorder: recorder(func(string, []rpc.NewItem) ([]rpc.Recorded, error) { return nil, failure })}})
	for _, c := range []struct {
		failure error
		code    connect.Code
		status  int
		say     string
	}{
		{fmt.Errorf("secret: %w", rpc.ErrWorkflowClosed), connect.CodeFailedPrecondition, 400, "the workflow is closed"},
		{errInternal, connect.CodeUnavailable, 503, "cannot be reached; try again"},
		{context.DeadlineExceeded, connect.CodeUnavailable, 503, "takes too long to answer; try again"},
		{&pgconn.PgError{Code: "42501", Message: "secret"}, connect.CodeUnavailable, 503, "a permission is missing, see the grants in docs/operations.md"},
		{&pgconn.PgError{Code: "25006", Message: "secret"}, connect.CodeUnavailable, 503, "read-only"},
		{&pgconn.PgError{Code: "42P01", Message: "secret"}, connect.CodeUnavailable, 503, "its schema is missing or outdated"},
		{&rpc.AwayError{Reason: "the server is stopping; try again"}, connect.CodeUnavailable, 503, "the server is stopping"},
	} {
		failure = c.failure
		for _, way := range recordWays {
			if way.tls {
				continue
			}
			_, err := way.record(limited(t), s, one(ofEachType()...))
			require.Equal(t, c.code, connect.CodeOf(err), "%s: %v", way.name, err)
			require.ErrorContains(t, err, c.say, way.name)
			requirePublic(t, err.Error())
		}
		got, err := s.post(limited(t), `{"workflowId": "wf", "items": [{"log": {}}]}`)
		require.NoError(t, err)
		require.Equal(t, c.status, got.status)
	}
}

func TestOnlyAViewerThatMayRecordRecords(t *testing.T) {
	t.Parallel()
	var recorded []string
	s := serve(t, &source{}, config{rpc: rpc.Config{
		Gate: viewer{unseen: "secret", unrecorded: "fixed", unwritten: "quiet"}.gate,
		Recorder: recorder(func(workflowID string, _ []rpc.NewItem) ([]rpc.Recorded, error) {
			recorded = append(recorded, workflowID)
			return nil, nil
		}),
	}})
	for _, way := range recordWays {
		if way.tls {
			continue
		}
		recorded = nil
		for _, workflow := range []string{"open", "fixed", "secret", "secret fixed", "quiet"} {
			_, err := way.record(limited(t), s, &v1.RecordRequest{WorkflowId: workflow, Items: ofEachType()[:5]})
			if !strings.Contains(workflow, "fixed") {
				require.NoError(t, err, "%s: %s", way.name, workflow)
				continue
			}
			require.Equal(t, connect.CodePermissionDenied, connect.CodeOf(err), "%s: %v", way.name, err)
			require.ErrorContains(t, err, "you may not write to this workflow")
		}
		require.Equal(t, []string{"open", "secret", "quiet"}, recorded, "who may not send a message or read may record all the same")
	}
}

// A page of another site can make a browser send these, with the browser's cookies and from inside its network, without asking
// the server first.
func TestNothingThatABrowserSendsWithoutAPreflightRecords(t *testing.T) {
	t.Parallel()
	s := serve(t, &source{}, config{rpc: rpc.Config{Recorder: recordsNothing(t), Origins: []string{"https://example.com"}}})
	const body = `{"workflowId": "wf", "items": [{"id": "1", "log": {"message": "m"}}]}`
	address := s.url + chatfeedv1connect.RecordServiceRecordProcedure
	for _, headers := range [][]string{
		{},
		{"Content-Type", ""},
		{"Content-Type", "text/plain"},
		{"Content-Type", "text/plain; charset=utf-8"},
		{"Content-Type", "text/plain;application/json"},
		{"Content-Type", "text/plain; a=application/json"},
		{"Content-Type", "application/x-www-form-urlencoded"},
		{"Content-Type", "multipart/form-data; boundary=application/json"},
	} {
		got, err := do(limited(t), s.h1, http.MethodPost, address, body, append(headers, "Origin", "https://evil.example")...)
		require.NoError(t, err)
		require.Equal(t, http.StatusUnsupportedMediaType, got.status, headers)
	}
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		for _, query := range []string{
			"", "?connect=v1&encoding=json&message=%7B%22workflowId%22%3A%22wf%22%2C%22items%22%3A%5B%7B%22log%22%3A%7B%7D%7D%5D%7D",
		} {
			for _, kind := range []string{"", "application/json"} {
				got, err := do(limited(t), s.h1, method, address+query, "", "Content-Type", kind)
				require.NoError(t, err)
				require.Equal(t, http.StatusMethodNotAllowed, got.status)
			}
		}
	}
	preflight, err := do(limited(t), s.h1, http.MethodOptions, address, "", "Origin", "https://evil.example",
		"Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "content-type")
	require.NoError(t, err)
	require.Empty(t, preflight.header.Get("Access-Control-Allow-Origin"))
}

func TestWithoutARecorderThereIsNoRecordService(t *testing.T) {
	t.Parallel()
	s := serve(t, &source{}, config{})
	require.Equal(t, connect.CodeUnimplemented, connect.CodeOf(s.call(limited(t), one(ofEachType()...))))
}
