package rpc

import (
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"chatfeed/feed"
	v1 "chatfeed/rpc/chatfeedv1"
)

const (
	maxCursors = 1000
	maxLast    = 1000
	maxLimit   = 1000
	maxWait    = time.Minute
)

// feedService implements chatfeed.v1.FeedService.
type feedService struct {
	Config
	encoder *encoder
}

// Subscribe implements the RPC of that name.
func (s *feedService) Subscribe(
	ctx context.Context, request *v1.SubscribeRequest, stream *connect.ServerStream[v1.SubscribeResponse],
) error {
	options, err := subscribeOptions(request)
	if err != nil {
		return public(ctx, s.Log, err)
	}
	options.Idle = s.Heartbeat
	conn := stream.Conn()
	if err := conn.Send(nil); err != nil { // the headers, before anything that may take long
		return public(ctx, s.Log, err)
	}
	at := make([]feed.Position, len(options.From))
	for i, from := range options.From {
		at[i] = from.Position // zero where the last items are asked for
	}
	if i := s.neverGiven(ctx, at...); i >= 0 {
		return public(ctx, s.Log, ahead(fmt.Sprintf("cursors[%d].after", i), request.GetCursors()[i].GetAfter()))
	}
	sender, err := s.encoder.newSender(ctx, conn)
	if err != nil {
		return public(ctx, s.Log, err)
	}
	return public(ctx, s.Log, pump(ctx, s.Feed, options, sender.send))
}

// pump follows workflows and sends each batch, those without items as heartbeats, until ctx ends, sending fails or the
// feed drains. Every transport's stream is one.
func pump(ctx context.Context, f *feed.Feed, options feed.Options, send func(feed.Batch) error) error {
	subscription, err := f.Subscribe(ctx, options)
	if err != nil {
		return err
	}
	defer subscription.Close()
	for {
		batch, err := subscription.Next()
		if err != nil {
			return err
		}
		if err := send(batch); err != nil {
			return err
		}
	}
}

func subscribeOptions(request *v1.SubscribeRequest) (feed.Options, error) {
	var options feed.Options
	if n := len(request.GetCursors()); n == 0 || n > maxCursors {
		return options, invalid("cursors", "has %d entries; 1 to %d are accepted", n, maxCursors)
	}
	seen := make(map[string]bool, len(request.GetCursors()))
	for i, c := range request.GetCursors() {
		field := fmt.Sprintf("cursors[%d]", i)
		start := feed.After(c.GetWorkflowId(), 0)
		if err := checkWorkflowID(field+".workflow_id", c.GetWorkflowId()); err != nil {
			return options, err
		}
		if seen[c.GetWorkflowId()] {
			return options, invalid(field+".workflow_id", "%q stands there twice; each workflow is accepted once", c.GetWorkflowId())
		}
		seen[c.GetWorkflowId()] = true
		switch c.GetStart().(type) {
		case *v1.Cursor_After:
			after, err := cursor(field+".after", c.GetAfter())
			if err != nil {
				return options, err
			}
			start.Cursor = after
		case *v1.Cursor_Last:
			if err := checkRange(field+".last", c.GetLast(), 0, maxLast); err != nil {
				return options, err
			}
			start = feed.Last(c.GetWorkflowId(), int(c.GetLast()))
		}
		options.From = append(options.From, start)
	}
	types, err := checkTypes("types", request.GetTypes())
	options.Types = types
	return options, err
}

// GetChatData implements the RPC of that name.
func (s *feedService) GetChatData(ctx context.Context, request *v1.GetChatDataRequest) (*v1.GetChatDataResponse, error) {
	query, err := chatDataQuery(request)
	if err != nil {
		return nil, public(ctx, s.Log, err)
	}
	if query.after != nil && s.neverGiven(ctx, feed.Position{WorkflowID: query.workflowID, Cursor: *query.after}) >= 0 {
		return nil, public(ctx, s.Log, ahead("after", request.GetAfter()))
	}
	response, err := s.page(ctx, query)
	if err != nil {
		return nil, public(ctx, s.Log, err)
	}
	return response, nil
}

// maxPage bounds, in bytes, what one answer has of items. One item may be larger; gRPC clients take 4 MiB.
const maxPage = 1 << 20

// page answers a query with as much as fits into one message.
func (s *feedService) page(ctx context.Context, query chatData) (*v1.GetChatDataResponse, error) {
	var items []*v1.Item // in the direction of reading
	size := 0
	upToDate, err := query.pages(ctx, s.Feed, func(page []*feed.Item) (full bool, err error) { //nolint:contextcheck // what is logged of an item is of no request
		if query.backwards() {
			page = slices.Clone(page)
			slices.Reverse(page)
		}
		for _, item := range page {
			message, err := encodeItem(s.encoder, item, itemMessage)
			if err != nil {
				return false, err
			}
			if size += proto.Size(message); size > maxPage && len(items) > 0 {
				return true, nil
			}
			items = append(items, message)
		}
		return false, nil
	})
	if query.backwards() {
		slices.Reverse(items)
	}
	return &v1.GetChatDataResponse{Items: items, UpToDate: upToDate}, err
}

func chatDataQuery(request *v1.GetChatDataRequest) (chatData, error) {
	after, err := cursor("after", request.GetAfter())
	if err != nil {
		return chatData{}, err
	}
	before, err := cursor("before", request.GetBefore())
	if err != nil {
		return chatData{}, err
	}
	query := chatData{
		workflowID: request.GetWorkflowId(),
		limit:      int(request.GetLimit()),
		onePage:    request.GetLimit() == 0,
		types:      request.GetTypes(),
		wait:       request.GetWait().AsDuration(),
	}
	if request.GetAfter() != nil {
		query.after = &after
	}
	if request.GetBefore() != nil {
		query.before = &before
	}
	if err := checkRange("last", request.GetLast(), 0, maxLast); err != nil {
		return query, err
	}
	query.last = int(request.GetLast())
	return query, query.check(rpcFields)
}

// ListWorkflows implements the RPC of that name.
func (s *feedService) ListWorkflows(ctx context.Context, request *v1.ListWorkflowsRequest) (*v1.ListWorkflowsResponse, error) {
	size := int(request.GetPageSize())
	if size == 0 {
		size = 50
	}
	if err := checkRange("page_size", request.GetPageSize(), 0, 1000); err != nil {
		return nil, public(ctx, s.Log, err)
	}
	after, err := parseToken(request.GetPageToken())
	if err != nil {
		return nil, public(ctx, s.Log, err)
	}
	workflows, err := s.Workflows.Workflows(ctx, after, size+1)
	if err != nil {
		return nil, public(ctx, s.Log, err)
	}
	response := &v1.ListWorkflowsResponse{}
	if len(workflows) > size {
		workflows = workflows[:size]
		response.NextPageToken = formatToken(workflows[size-1])
	}
	slices.SortStableFunc(workflows, func(a, b feed.Workflow) int { return cmp.Compare(b.Head, a.Head) })
	for _, w := range workflows {
		response.Workflows = append(response.Workflows, &v1.Workflow{
			Id: validText(w.ID), Head: timestamp(w.Head), Status: validText(w.Status),
		})
	}
	return response, nil
}

// A page token is the time of activity in microseconds and the id of the page's last workflow.
func formatToken(w feed.Workflow) string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d %s", w.Active, w.ID))
}

func parseToken(token string) (feed.Workflow, error) {
	if token == "" {
		return feed.Workflow{}, nil
	}
	text, err := base64.RawURLEncoding.DecodeString(token)
	active, id, ok := strings.Cut(string(text), " ")
	micros, numberErr := strconv.ParseInt(active, 10, 64)
	if err != nil || numberErr != nil || !ok || micros <= 0 || checkWorkflowID("", id) != nil {
		return feed.Workflow{}, invalid("page_token", "is not one of ours; the next_page_token of an earlier page or nothing is accepted")
	}
	return feed.Workflow{ID: id, Active: feed.Cursor(micros)}, nil
}
