package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	v1 "chatfeed/rpc/chatfeedv1"
	"chatfeed/rpc/chatfeedv1/chatfeedv1connect"
)

// Transport is a way to follow a workflow.
type Transport struct {
	Name   string
	http2  bool
	polls  bool // its answers do not report erasures
	follow follow
}

// Polls reports whether the transport polls, and so is not notified of erasures.
func (t Transport) Polls() bool { return t.polls }

// follow reads the items after a cursor, in microseconds, and passes each frame to take, including empty ones, until the
// stream or ctx ends; the error says why. It keeps no state: the client calls it again with its cursor.
type follow func(ctx context.Context, at *endpoint, workflow string, after int64, take func(frame)) error

// frame is one message of a server.
type frame struct {
	gone  []item   // erased items: workflow, type and id
	anew  []string // workflows whose earlier items are all gone
	items []item
}

// The versions of HTTP. Over TLS h2c is HTTP/2.
const (
	http1 = false
	h2c   = true

	streams = false
	polls   = true
)

// Transports returns all transports. A new one is a line here, with a follow function.
func Transports() []Transport {
	return []Transport{
		{"Connect protobuf over HTTP/1.1", http1, streams, subscribe()},
		{"Connect protobuf over h2c", h2c, streams, subscribe()},
		{"Connect JSON over HTTP/1.1", http1, streams, subscribe(connect.WithProtoJSON())},
		{"Connect JSON over h2c", h2c, streams, subscribe(connect.WithProtoJSON())},
		{"gRPC over h2c", h2c, streams, subscribe(connect.WithGRPC())},
		{"gRPC-Web over HTTP/1.1", http1, streams, subscribe(connect.WithGRPCWeb())},
		{"server-sent events over HTTP/1.1", http1, streams, events},
		{"server-sent events over h2c", h2c, streams, events},
		{"WebSocket", http1, streams, socket},
		{"Durable Streams events over HTTP/1.1", http1, streams, durableEvents},
		{"GetChatData long poll over h2c", h2c, polls, getChatData()},
		{"REST long poll over HTTP/1.1", http1, polls, chatData},
		{"Durable Streams long poll over h2c", h2c, polls, durablePolls},
	}
}

// endpoint is how the clients of a transport reach the server.
type endpoint struct {
	http   *http.Client
	server string
	sums   sums
	wait   time.Duration // of a long poll
}

const (
	longestWait = 20 * time.Second
	// pageLimit is how many items a poll requests: few enough that a backlog takes many pages.
	pageLimit = 64
)

// subscribe follows by FeedService.Subscribe.
func subscribe(options ...connect.ClientOption) follow {
	return func(ctx context.Context, at *endpoint, workflow string, after int64, take func(frame)) error {
		cursor := &v1.Cursor{WorkflowId: workflow}
		if after > 0 {
			cursor.Start = &v1.Cursor_After{After: timestamppb.New(time.UnixMicro(after))}
		}
		client := chatfeedv1connect.NewFeedServiceClient(at.http, at.server, options...)
		stream, err := client.Subscribe(ctx, &v1.SubscribeRequest{Cursors: []*v1.Cursor{cursor}, Types: kinds()})
		if err != nil {
			return err
		}
		defer func() { _ = stream.Close() }()
		var items []item
		for stream.Receive() {
			items = at.sums.protoItems(items[:0], stream.Msg().GetItems())
			take(frame{items: items, gone: goneItems(stream.Msg().GetGone()), anew: stream.Msg().GetAnew()})
		}
		return stream.Err()
	}
}

func goneItems(messages []*v1.Gone) (gone []item) {
	for _, m := range messages {
		gone = append(gone, item{
			workflow: m.GetWorkflowId(), kind: m.GetType(), id: m.GetId(), at: m.GetCreatedAt().AsTime().UnixMicro(),
		})
	}
	return gone
}

// getChatData follows by unary calls of FeedService.GetChatData that wait for items. The first does not wait, so that the
// client soon receives an answer.
func getChatData(options ...connect.ClientOption) follow {
	return func(ctx context.Context, at *endpoint, workflow string, after int64, take func(frame)) error {
		client := chatfeedv1connect.NewFeedServiceClient(at.http, at.server, options...)
		request := &v1.GetChatDataRequest{WorkflowId: workflow, Limit: pageLimit, Types: kinds()}
		var items []item
		for {
			if after > 0 {
				request.After = timestamppb.New(time.UnixMicro(after))
			}
			response, err := client.GetChatData(ctx, request)
			if err != nil {
				return err
			}
			items = at.sums.protoItems(items[:0], response.GetItems())
			after = newest(items, after)
			take(frame{items: items})
			request.Wait = durationpb.New(at.wait)
		}
	}
}

// newest is the cursor after items. It never goes back.
func newest(items []item, after int64) int64 {
	for _, it := range items {
		after = max(after, it.at)
	}
	return after
}

func (s sums) protoItems(items []item, messages []*v1.Item) []item {
	for _, m := range messages {
		it := item{workflow: m.GetWorkflowId(), id: m.GetId(), at: m.GetCreatedAt().AsTime().UnixMicro()}
		var body uint64
		m.ProtoReflect().Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
			if field.ContainingOneof() != nil {
				it.kind = string(field.Name())
				body = s.message(value.Message())
			}
			return true
		})
		it.sum = s.contents(it.kind, body, s.protoMetadata(m.GetMetadata()))
		it.shown = s.protoShown(m)
		items = append(items, it)
	}
	return items
}

// chatData follows by the REST endpoint of the polling design, as a long poll.
func chatData(ctx context.Context, at *endpoint, workflow string, after int64, take func(frame)) error {
	query := url.Values{"limit": {strconv.Itoa(pageLimit)}, "types": {strings.Join(kinds(), ",")}}
	for {
		query.Set("afterTimestamp", seconds(after))
		address := at.server + "/workflows/" + url.PathEscape(workflow) + "/chatData?" + query.Encode()
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
		if err != nil {
			return err
		}
		response, err := at.http.Do(request)
		if err != nil {
			return err
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		switch {
		case err != nil:
			return fmt.Errorf("read chatData: %w", err)
		case response.StatusCode != http.StatusOK:
			return fmt.Errorf("read chatData: %s: %.200s", response.Status, body)
		}
		items, err := at.sums.restItems(body)
		if err != nil {
			return fmt.Errorf("read chatData: %w", err)
		}
		after = newest(items, after)
		take(frame{items: items})
		query.Set("wait", at.wait.String())
	}
}

func (s sums) restItems(body []byte) ([]item, error) {
	var answer struct {
		Items []struct {
			Type      string
			CreatedAt json.Number
			Item      map[string]any
		}
	}
	if err := decodeJSON(body, &answer); err != nil {
		return nil, err
	}
	items := make([]item, len(answer.Items))
	for i, one := range answer.Items {
		at, err := micros(string(one.CreatedAt))
		if err != nil {
			return nil, fmt.Errorf("createdAt of item %d: %w", i, err)
		}
		it := item{kind: one.Type, at: at}
		fields := one.Item
		it.workflow, _ = fields["workflowId"].(string)
		it.id, _ = fields["id"].(string)
		var metadata uint64
		if value, ok := fields["metadata"]; ok {
			metadata = s.jsonMetadata(value)
		}
		if fields["_createdAt"] == one.CreatedAt { // a different one is kept, and makes the contents differ
			delete(fields, "_createdAt")
		}
		delete(fields, "workflowId")
		delete(fields, "id")
		delete(fields, "metadata")
		it.sum = s.contents(it.kind, s.object(fields), metadata)
		it.shown = s.jsonShown(it.kind, fields)
		items[i] = it
	}
	return items, nil
}

// micros reads Unix seconds with up to six decimals.
func micros(text string) (int64, error) {
	whole, fraction, _ := strings.Cut(text, ".")
	if len(fraction) > 6 {
		return 0, fmt.Errorf("%q has more than six decimals", text)
	}
	return strconv.ParseInt(whole+fraction+"000000"[len(fraction):], 10, 64)
}
