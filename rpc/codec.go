package rpc

import (
	"fmt"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"chatfeed/feed"
	v1 "chatfeed/rpc/chatfeedv1"
)

// frame is a SubscribeResponse that is assembled from encoded items, so that a stream copies bytes instead of marshalling
// messages.
type frame feed.Batch

// codecs are Connect's own codecs, extended by frames.
func codecs(e *encoder) connect.HandlerOption {
	return connect.WithHandlerOptions(
		connect.WithCodec(protoCodec{e.proto.element}),
		connect.WithCodec(jsonCodec{"json", e.json.element}),
		connect.WithCodec(jsonCodec{"json; charset=utf-8", e.json.element}),
	)
}

type protoCodec struct{ items *feed.Format }

func (protoCodec) Name() string { return "proto" }

func (c protoCodec) Marshal(message any) ([]byte, error) { return c.MarshalAppend(nil, message) }

func (c protoCodec) MarshalAppend(b []byte, message any) ([]byte, error) {
	switch m := message.(type) {
	case *frame:
		for _, item := range m.Items {
			element, err := item.Encoded(c.items)
			if err != nil {
				return nil, err
			}
			b = append(b, element...)
		}
		if m.UpToDate {
			b = protowire.AppendTag(b, 2, protowire.VarintType)
			b = protowire.AppendVarint(b, 1)
		}
		if rest := m.rest(); rest != nil {
			return proto.MarshalOptions{}.MarshalAppend(b, rest) // concatenated messages are merged
		}
		return b, nil
	case proto.Message:
		return proto.MarshalOptions{}.MarshalAppend(b, m)
	}
	return nil, notAMessage(message)
}

// rest is the part of a frame about erasures and the end, or nil if there is none, the usual case.
func (m *frame) rest() *v1.SubscribeResponse {
	if len(m.Gone) == 0 && len(m.Anew) == 0 && !m.Final {
		return nil
	}
	response := &v1.SubscribeResponse{Final: m.Final}
	for _, gone := range m.Gone {
		response.Gone = append(response.Gone, &v1.Gone{
			WorkflowId: validText(gone.WorkflowID), Type: validText(gone.Type), Id: validText(gone.ID), CreatedAt: timestamp(gone.CreatedAt),
		})
	}
	for _, id := range m.Anew {
		response.Anew = append(response.Anew, validText(id))
	}
	return response
}

func (protoCodec) Unmarshal(b []byte, message any) error {
	if call, ok := message.(*recordCall); ok {
		return call.readProto(b)
	}
	m, ok := message.(proto.Message)
	if !ok {
		return notAMessage(message)
	}
	return proto.Unmarshal(b, m)
}

type jsonCodec struct {
	name  string
	items *feed.Format
}

func (c jsonCodec) Name() string { return c.name }

func (c jsonCodec) Marshal(message any) ([]byte, error) { return c.MarshalAppend(nil, message) }

func (c jsonCodec) MarshalAppend(b []byte, message any) ([]byte, error) {
	switch m := message.(type) {
	case *frame:
		return c.appendFrame(b, m)
	case proto.Message:
		return appendMessage(b, m.ProtoReflect())
	}
	return nil, notAMessage(message)
}

func (c jsonCodec) appendFrame(b []byte, m *frame) ([]byte, error) {
	b = append(b, '{')
	fields := 0
	for i, item := range m.Items {
		element, err := item.Encoded(c.items)
		if err != nil {
			return nil, err
		}
		b = append(b, separator(i, `"items":[`, `,`)...)
		b = append(b, element...)
	}
	if len(m.Items) > 0 {
		b = append(b, ']')
		fields++
	}
	if m.UpToDate {
		b = append(b, separator(fields, ``, `,`)...)
		b = append(b, `"upToDate":true`...)
		fields++
	}
	if rest := m.rest(); rest != nil {
		object, err := appendMessage(nil, rest.ProtoReflect())
		if err != nil {
			return nil, err
		}
		b = append(b, separator(fields, ``, `,`)...)
		b = append(b, object[1:len(object)-1]...) // its fields without the braces
	}
	return append(b, '}'), nil
}

func (jsonCodec) Unmarshal(b []byte, message any) error {
	if call, ok := message.(*recordCall); ok {
		return call.readJSON(b)
	}
	m, ok := message.(proto.Message)
	if !ok {
		return notAMessage(message)
	}
	if len(b) == 0 {
		return fmt.Errorf("the body is empty; a JSON object is accepted")
	}
	return decodeJSON(b, m)
}

// decodeJSON decodes in a goroutine of its own, because it needs a deep stack.
func decodeJSON(b []byte, m proto.Message) error {
	return onOwnStack(func() error { return protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(b, m) })
}

// onOwnStack calls f in another goroutine and waits for it. A stack that has grown stays large: a stream would keep 8 KiB as
// long as it is open, for what it did at its start.
func onOwnStack(f func() error) (err error) {
	var panicked any
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { panicked = recover() }()
		err = f()
	}()
	<-done
	if panicked != nil {
		panic(panicked) // where the server expects it
	}
	return err
}

func separator(i int, first, other string) string {
	if i == 0 {
		return first
	}
	return other
}

func notAMessage(message any) error {
	return fmt.Errorf("%T is not a protobuf message", message)
}
