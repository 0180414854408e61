package rpc

import (
	"context"
	"slices"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"chatfeed/feed"
	v1 "chatfeed/rpc/chatfeedv1"
)

// feedService implements chatfeed.v1.FeedService.
type feedService struct {
	Config
	encoder *encoder
}

// Subscribe implements the RPC of that name.
func (s *feedService) Subscribe(
	ctx context.Context, message *v1.SubscribeRequest, stream *connect.ServerStream[v1.SubscribeResponse],
) error {
	q, err := subscribeRequest(message)
	if err != nil {
		return public(ctx, s.Log, err)
	}
	conn := stream.Conn()
	disableBuffering(conn.ResponseHeader())
	if err := onOwnStack(func() error { return conn.Send(nil) }); err != nil { // the headers, before anything that may take long
		return public(ctx, s.Log, err)
	}
	err = s.pump(ctx, q, subscribeForm, func(func() []start) (func(feed.Batch) error, error) {
		sender, err := s.encoder.newSender(ctx, conn)
		if err != nil {
			return nil, err
		}
		return sender.send, nil
	})
	if err != nil {
		return public(ctx, s.Log, err)
	}
	return nil
}

// GetChatData implements the RPC of that name.
func (s *feedService) GetChatData(ctx context.Context, message *v1.GetChatDataRequest) (*v1.GetChatDataResponse, error) {
	query, err := getChatDataRequest(message)
	if err != nil {
		return nil, public(ctx, s.Log, err)
	}
	query.hide(s.viewer(ctx))
	if err := s.refuseFutureCursors(ctx, query, getChatDataForm); err != nil {
		return nil, public(ctx, s.Log, err)
	}
	response, err := s.page(ctx, query)
	if err != nil {
		return nil, public(ctx, s.Log, err)
	}
	return response, nil
}

// maxPage bounds the bytes of items in one answer. A single item may be larger; gRPC clients accept 4 MiB.
const maxPage = 1 << 20

// page answers a query with as many items as fit into one message.
func (s *feedService) page(ctx context.Context, query request) (*v1.GetChatDataResponse, error) {
	var items []*v1.Item // in the direction of reading
	size := 0
	end, err := query.pages(ctx, s.Feed, func(page []*feed.Item) (full bool, err error) { //nolint:contextcheck // logging about an item is not tied to a request
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
	return &v1.GetChatDataResponse{Items: items, UpToDate: end.upToDate, Final: end.final}, err
}
