package rpc

import (
	"fmt"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"chatfeed/feed"
)

// frame is a SubscribeResponse that is put together from items that are already encoded, so that a stream costs the
// copying of bytes and not the marshalling of messages.
type frame feed.Batch

// codecs are Connect's own, which also know frames.
func codecs() connect.HandlerOption {
	return connect.WithHandlerOptions(
		connect.WithCodec(protoCodec{}),
		connect.WithCodec(jsonCodec{"json"}),
		connect.WithCodec(jsonCodec{"json; charset=utf-8"}),
	)
}

type protoCodec struct{}

func (protoCodec) Name() string { return "proto" }

func (c protoCodec) Marshal(message any) ([]byte, error) { return c.MarshalAppend(nil, message) }

func (protoCodec) MarshalAppend(b []byte, message any) ([]byte, error) {
	switch m := message.(type) {
	case *frame:
		for _, item := range m.Items {
			b = append(b, item.Encoded(formatProto, encodeProto)...)
		}
		if m.UpToDate {
			b = protowire.AppendTag(b, 2, protowire.VarintType)
			b = protowire.AppendVarint(b, 1)
		}
		return b, nil
	case proto.Message:
		return proto.MarshalOptions{}.MarshalAppend(b, m)
	}
	return nil, notAMessage(message)
}

func (protoCodec) Unmarshal(b []byte, message any) error {
	m, ok := message.(proto.Message)
	if !ok {
		return notAMessage(message)
	}
	return proto.Unmarshal(b, m)
}

type jsonCodec struct{ name string }

func (c jsonCodec) Name() string { return c.name }

func (c jsonCodec) Marshal(message any) ([]byte, error) { return c.MarshalAppend(nil, message) }

func (jsonCodec) MarshalAppend(b []byte, message any) ([]byte, error) {
	switch m := message.(type) {
	case *frame:
		b = append(b, '{')
		for i, item := range m.Items {
			b = append(b, separator(i, `"items":[`, `,`)...)
			b = append(b, item.Encoded(formatJSON, encodeJSON)...)
		}
		if len(m.Items) > 0 {
			b = append(b, ']')
		}
		if m.UpToDate {
			b = append(b, separator(len(m.Items), `"upToDate":true`, `,"upToDate":true`)...)
		}
		return append(b, '}'), nil
	case proto.Message:
		return protojson.MarshalOptions{}.MarshalAppend(b, m)
	}
	return nil, notAMessage(message)
}

func (jsonCodec) Unmarshal(b []byte, message any) error {
	m, ok := message.(proto.Message)
	if !ok {
		return notAMessage(message)
	}
	if len(b) == 0 {
		return fmt.Errorf("the body is empty; a JSON object is accepted")
	}
	return decodeJSON(b, m)
}

// decodeJSON decodes on a stack of its own. It takes a deep one, which a stream would keep for as long as it is open.
func decodeJSON(b []byte, m proto.Message) (err error) {
	var panicked any
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { panicked = recover() }()
		err = protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(b, m)
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
	return fmt.Errorf("%T is no protobuf message", message)
}
