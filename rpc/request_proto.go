package rpc

import (
	"google.golang.org/protobuf/types/known/timestamppb"

	"chatfeed/feed"
	v1 "chatfeed/rpc/chatfeedv1"
)

// subscribeRequest reads the request of Subscribe.
func subscribeRequest(message *v1.SubscribeRequest) (request, error) {
	q := request{from: make([]start, len(message.GetCursors())), types: message.GetTypes()}
	for i, c := range message.GetCursors() {
		s := start{workflowID: c.GetWorkflowId()}
		switch c.GetStart().(type) {
		case *v1.Cursor_After:
			after, err := cursor(subscribeForm.at(subscribeForm.after, i), c.GetAfter())
			if err != nil {
				return q, err
			}
			s.after = after
		case *v1.Cursor_Last:
			last := int(c.GetLast())
			s.last = &last
		}
		q.from[i] = s
	}
	return q, q.check(subscribeForm)
}

// getChatDataRequest reads the request of GetChatData, in which a number that is zero is absent.
func getChatDataRequest(message *v1.GetChatDataRequest) (request, error) {
	q := request{
		from:    []start{{workflowID: message.GetWorkflowId(), last: optional(message.GetLast())}},
		limit:   optional(message.GetLimit()),
		onePage: message.GetLimit() == 0,
		types:   message.GetTypes(),
		wait:    message.GetWait().AsDuration(),
	}
	var err error
	if q.from[0].after, err = cursor(getChatDataForm.after, message.GetAfter()); err != nil {
		return q, err
	}
	if q.before, err = cursor(getChatDataForm.before, message.GetBefore()); err != nil {
		return q, err
	}
	return q, q.check(getChatDataForm)
}

func optional(n int32) *int {
	if n == 0 {
		return nil
	}
	number := int(n)
	return &number
}

// cursor converts a timestamp, which may be nil. It is truncated to microseconds, the precision of items.
func cursor(field string, t *timestamppb.Timestamp) (*feed.Cursor, error) {
	if t == nil {
		return nil, nil
	}
	if err := t.CheckValid(); err != nil {
		return nil, invalid(field, "is not a time from the year 1 to the year 9999")
	}
	c := feed.Cursor(t.AsTime().UnixMicro())
	return &c, nil
}
