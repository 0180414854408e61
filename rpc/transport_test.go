package rpc_test

import (
	"context"
	"encoding/json"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/timestamppb"

	"chatfeed/feed"
	v1 "chatfeed/rpc/chatfeedv1"
	"chatfeed/rpc/chatfeedv1/chatfeedv1connect"
)

// transport is a way to follow workflows.
type transport struct {
	name  string
	feed  func(*server) chatfeedv1connect.FeedServiceClient // nil where it is not that service
	open  func(context.Context, *server, follow) iter.Seq2[frame, error]
	polls bool // it asks again and again, so it has no stream that could end
	tls   bool
	// durable is the Durable Streams protocol: it has a stream for each workflow, which exists as soon as there are items, and
	// no last items.
	durable bool
}

// transports are all that there are. Each must keep every promise of TestEveryTransport.
var transports = []transport{
	streaming("Connect proto over HTTP/1.1", h1),
	streaming("Connect proto over h2c", h2),
	streaming("Connect proto over TLS", h2).over(true),
	streaming("Connect JSON over HTTP/1.1", h1, connect.WithProtoJSON()),
	streaming("Connect JSON over h2c", h2, connect.WithProtoJSON()),
	streaming("gRPC over HTTP/1.1", h1, connect.WithGRPC()),
	streaming("gRPC over h2c", h2, connect.WithGRPC()),
	streaming("gRPC JSON over h2c", h2, connect.WithGRPC(), connect.WithProtoJSON()),
	streaming("gRPC-Web over HTTP/1.1", h1, connect.WithGRPCWeb()),
	streaming("gRPC-Web over h2c", h2, connect.WithGRPCWeb()),
	{name: "server-sent events over HTTP/1.1", open: listen(h1)},
	{name: "server-sent events over h2c", open: listen(h2)},
	{name: "server-sent events over TLS", open: listen(h2), tls: true},
	{name: "WebSocket", open: overSocket},
	{name: "REST long poll over HTTP/1.1", open: poll(h1), polls: true},
	{name: "REST long poll over h2c", open: poll(h2), polls: true},
	{name: "Durable Streams long poll over HTTP/1.1", open: durable(h1, "long-poll"), polls: true, durable: true},
	{name: "Durable Streams long poll over h2c", open: durable(h2, "long-poll"), polls: true, durable: true},
	{name: "Durable Streams events over HTTP/1.1", open: durable(h1, "sse"), durable: true},
	{name: "Durable Streams events over h2c", open: durable(h2, "sse"), durable: true},
}

// streaming is a transport by FeedService.Subscribe.
func streaming(name string, over func(*server) *http.Client, options ...connect.ClientOption) transport {
	client := func(s *server) chatfeedv1connect.FeedServiceClient {
		return chatfeedv1connect.NewFeedServiceClient(over(s), s.url, options...)
	}
	return transport{name: name, feed: client, open: subscribe(client)}
}

func (tr transport) over(tls bool) transport {
	tr.tls = tls
	return tr
}

// follow says what to follow, and frame is what then comes, on any transport.
type (
	follow struct {
		from  []from
		types []string
	}
	from struct {
		workflow string
		after    int64 // microseconds; zero: from the beginning
		last     int   // above zero: in place of after
	}
	frame struct {
		items    []item
		upToDate bool
		final    bool
		gone     []feed.Gone
		anew     []string
	}
	item struct {
		Workflow, ID, Type string
		At                 int64 // microseconds
		Body               map[string]any
		Metadata           string // as JSON; empty where there is none
		Omitted            []string
	}
)

func all(workflows ...string) follow {
	var f follow
	for _, w := range workflows {
		f.from = append(f.from, from{workflow: w})
	}
	return f
}

func h1(s *server) *http.Client { return s.h1 }
func h2(s *server) *http.Client { return s.h2 }

// subscribe follows by FeedService.Subscribe.
func subscribe(
	client func(*server) chatfeedv1connect.FeedServiceClient,
) func(context.Context, *server, follow) iter.Seq2[frame, error] {
	return func(ctx context.Context, s *server, f follow) iter.Seq2[frame, error] {
		return func(yield func(frame, error) bool) {
			request := &v1.SubscribeRequest{Types: f.types}
			for _, from := range f.from {
				cursor := &v1.Cursor{WorkflowId: from.workflow}
				switch {
				case from.last > 0:
					cursor.Start = &v1.Cursor_Last{Last: int32(from.last)}
				case from.after > 0:
					cursor.Start = &v1.Cursor_After{After: timestamppb.New(time.UnixMicro(from.after))}
				}
				request.Cursors = append(request.Cursors, cursor)
			}
			stream, err := client(s).Subscribe(ctx, request)
			if err != nil {
				yield(frame{}, err)
				return
			}
			defer func() { _ = stream.Close() }()
			for stream.Receive() {
				items, err := itemsOf(stream.Msg().GetItems())
				got := frame{items: items, upToDate: stream.Msg().GetUpToDate(), final: stream.Msg().GetFinal(), anew: stream.Msg().GetAnew()}
				for _, one := range stream.Msg().GetGone() {
					got.gone = append(got.gone, feed.Gone{
						WorkflowID: one.GetWorkflowId(), Type: one.GetType(), ID: one.GetId(),
						CreatedAt: feed.Cursor(one.GetCreatedAt().AsTime().UnixMicro()),
					})
				}
				if !yield(got, err) {
					return
				}
			}
			yield(frame{}, stream.Err())
		}
	}
}

func itemsOf(messages []*v1.Item) ([]item, error) {
	var items []item
	for _, m := range messages {
		got := item{Workflow: m.GetWorkflowId(), ID: m.GetId(), At: m.GetCreatedAt().AsTime().UnixMicro(), Omitted: m.GetOmitted()}
		reflected := m.ProtoReflect()
		if field := reflected.WhichOneof(reflected.Descriptor().Oneofs().ByName("item")); field != nil {
			got.Type = string(field.Name())
			text, err := protojson.MarshalOptions{EmitUnpopulated: true}.Marshal(reflected.Get(field).Message().Interface())
			if err != nil {
				return nil, err
			}
			if err := json.Unmarshal(text, &got.Body); err != nil {
				return nil, err
			}
			for _, sparse := range []string{"replaces", "final"} { // the other formats leave them out where they are empty
				if got.Body[sparse] == "" || got.Body[sparse] == false {
					delete(got.Body, sparse)
				}
			}
		}
		if m.GetMetadata() != nil {
			text, err := protojson.Marshal(m.GetMetadata())
			if err != nil {
				return nil, err
			}
			got.Metadata = sameJSON(text)
		}
		items = append(items, got)
	}
	return items, nil
}

// poll follows by chatData, a request for each workflow in turn.
func poll(over func(*server) *http.Client) func(context.Context, *server, follow) iter.Seq2[frame, error] {
	return func(ctx context.Context, s *server, f follow) iter.Seq2[frame, error] {
		return func(yield func(frame, error) bool) {
			first := true
			for {
				round := frame{upToDate: true, final: true}
				for i := range f.from {
					at := &f.from[i]
					query := url.Values{"types": {strings.Join(f.types, ",")}}
					if at.last > 0 {
						query.Set("last", strconv.Itoa(at.last))
					} else {
						query.Set("afterTimestamp", seconds(at.after))
						if wait := min(s.heartbeat, 10*time.Second/time.Duration(len(f.from)*len(f.from))); !first {
							query.Set("wait", wait.String())
						}
					}
					got, err := chatData(ctx, over(s), s.url, at.workflow, query)
					if err != nil {
						yield(frame{}, err)
						return
					}
					if at.last == 0 { // read backwards, it says something else
						round.upToDate = round.upToDate && got.upToDate
					}
					round.final = round.final && got.final
					round.items = append(round.items, got.items...)
					at.last = 0
					if n := len(got.items); n > 0 {
						at.after = got.items[n-1].At
					}
				}
				first = false
				if !yield(round, nil) {
					return
				}
			}
		}
	}
}

// chatData makes one REST request.
func chatData(ctx context.Context, c *http.Client, base, workflow string, query url.Values) (frame, error) {
	answer, err := get(ctx, c, base+"/workflows/"+url.PathEscape(workflow)+"/chatData?"+query.Encode())
	if err != nil {
		return frame{}, err
	}
	if answer.status != http.StatusOK {
		return frame{}, answer.error()
	}
	return readREST(answer.body)
}

func readREST(body []byte) (frame, error) {
	var answer struct {
		Items []struct {
			Type      string
			CreatedAt json.Number
			Item      map[string]json.RawMessage
		}
		UpToDate bool
		Final    bool
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return frame{}, err
	}
	got := frame{upToDate: answer.UpToDate, final: answer.Final}
	for _, i := range answer.Items {
		one := item{Type: i.Type, At: micros(i.CreatedAt.String()), Body: map[string]any{}}
		for name, value := range i.Item {
			var err error
			switch name {
			case "id":
				err = json.Unmarshal(value, &one.ID)
			case "workflowId":
				err = json.Unmarshal(value, &one.Workflow)
			case "metadata":
				one.Metadata = sameJSON(value)
			case "omitted":
				err = json.Unmarshal(value, &one.Omitted)
			case "_createdAt":
				if string(value) != i.CreatedAt.String() {
					one.At = -1
				}
			default:
				var v any
				err = json.Unmarshal(value, &v)
				one.Body[name] = v
			}
			if err != nil {
				return frame{}, err
			}
		}
		got.items = append(got.items, one)
	}
	return got, nil
}

// seconds writes microseconds as Unix seconds, with all six decimals.
func seconds(micros int64) string {
	text := strconv.FormatInt(1_000_000+micros%1_000_000, 10)
	return strconv.FormatInt(micros/1_000_000, 10) + "." + text[1:]
}

// micros reads Unix seconds with up to six decimals; it is -1 for anything else.
func micros(text string) int64 {
	whole, fraction, _ := strings.Cut(text, ".")
	if len(fraction) > 6 {
		return -1
	}
	n, err := strconv.ParseInt(whole+fraction+"000000"[len(fraction):], 10, 64)
	if err != nil {
		return -1
	}
	return n
}

// sameJSON writes equal JSON values equally.
func sameJSON(text []byte) string {
	var value any
	if err := json.Unmarshal(text, &value); err != nil {
		return "not JSON: " + string(text)
	}
	same, err := json.Marshal(value)
	if err != nil {
		return err.Error()
	}
	return string(same)
}

// reader reads a transport's frames.
type reader struct {
	next       func() (frame, error, bool)
	disconnect func()
}

// follow opens a stream, which is closed at the end of the test at the latest.
func (tr transport) follow(t *testing.T, s *server, f follow) *reader {
	t.Helper()
	ctx, cancel := context.WithCancel(limited(t))
	next, stop := iter.Pull2(tr.open(ctx, s, f))
	t.Cleanup(func() {
		cancel()
		stop()
	})
	return &reader{next, cancel}
}

func (r *reader) frame(t *testing.T) frame {
	t.Helper()
	got, err, ok := r.next()
	require.True(t, ok, "the stream has ended without an error")
	require.NoError(t, err)
	return got
}

// items reads until there are at least so many items.
func (r *reader) items(t *testing.T, n int) []item {
	t.Helper()
	var got []item
	for len(got) < n {
		got = append(got, r.frame(t).items...)
	}
	return got
}

// history reads until a frame is up to date.
func (r *reader) history(t *testing.T) []item {
	t.Helper()
	var got []item
	for {
		f := r.frame(t)
		got = append(got, f.items...)
		if f.upToDate {
			return got
		}
	}
}

func ids(items []item) []string {
	got := make([]string, len(items))
	for i, one := range items {
		got[i] = one.ID
	}
	return got
}

func TestEveryStreamDisablesBufferingInProxies(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	for _, tr := range transports {
		if tr.feed == nil { // events_test.go has those
			continue
		}
		t.Run(tr.name, func(t *testing.T) {
			t.Parallel()
			stream, err := tr.feed(tr.start(t, d, config{})).Subscribe(limited(t), &v1.SubscribeRequest{
				Cursors: []*v1.Cursor{{WorkflowId: "wf"}},
			})
			require.NoError(t, err)
			require.True(t, stream.Receive())
			require.Equal(t, "no", stream.ResponseHeader().Get("X-Accel-Buffering"))
			require.NoError(t, stream.Close())
		})
	}
}
