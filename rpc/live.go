package rpc

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"connectrpc.com/connect"

	"chatfeed/feed"
)

// A message of a stream is, over Connect, gRPC and gRPC-Web alike, an envelope: a byte of flags, none of which we set, the
// length of the message in four bytes, and the message.
const envelopeSize = 5

// liveFormat makes of an item the whole envelope of a frame that has it alone and says that with it the client is up to
// date. That is what almost every frame of a live stream is, so it is made once for all who receive it. The element of the
// item lies between the two texts around it.
type liveFormat struct {
	whole, element *feed.Format
}

func newLiveFormat(before, after string, encode func(*feed.Item) ([]byte, error)) liveFormat {
	whole := feed.NewFormat(func(item *feed.Item) ([]byte, error) {
		element, err := encode(item)
		if err != nil {
			return nil, err
		}
		b := make([]byte, envelopeSize, envelopeSize+len(before)+len(element)+len(after))
		return seal(append(append(append(b, before...), element...), after...)), nil
	})
	return liveFormat{whole, feed.NewFormat(func(item *feed.Item) ([]byte, error) {
		b, err := item.Encoded(whole)
		if err != nil {
			return nil, err
		}
		return b[envelopeSize+len(before) : len(b)-len(after) : len(b)-len(after)], nil
	})}
}

// seal writes the length of the message that comes after room for an envelope's head.
func seal(b []byte) []byte {
	binary.BigEndian.PutUint32(b[1:envelopeSize], uint32(len(b)-envelopeSize)) //nolint:gosec // a page is smaller
	return b
}

// sender writes the frames of one stream to its response. Connect begins the response and ends it; what is between goes
// past it, because its way through a marshaller, a buffer and an envelope for each frame and stream costs as much as all else
// that the server does for a frame.
type sender struct {
	response http.ResponseWriter
	live     *feed.Format
	marshal  func(b []byte, message any) ([]byte, error)
}

// newSender makes the sender of a stream whose headers are sent.
func (e *encoder) newSender(ctx context.Context, conn connect.StreamingHandlerConn) (*sender, error) {
	response, ok := ctx.Value(responseKey{}).(http.ResponseWriter)
	if !ok {
		return nil, fmt.Errorf("a stream outside of the handler of this package")
	}
	if strings.Contains(conn.RequestHeader().Get("Content-Type"), "json") {
		return &sender{response, e.json.whole, jsonCodec{"json", e.json.element}.MarshalAppend}, nil
	}
	return &sender{response, e.proto.whole, protoCodec{e.proto.element}.MarshalAppend}, nil
}

// buffers are for frames that are put together.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// maxBuffer is how large a buffer may be that is kept for the next frame.
const maxBuffer = 64 << 10

// send writes a batch and flushes it. It blocks while the client does not take it, up to the write timeout.
func (s *sender) send(batch feed.Batch) error {
	if len(batch.Items) == 1 && batch.UpToDate && len(batch.Gone)+len(batch.Anew) == 0 {
		b, err := batch.Items[0].Encoded(s.live)
		if err != nil {
			return err
		}
		return s.write(b)
	}
	return s.sendTogether(batch)
}

// sendTogether puts a frame together. The batch is moved to the heap for it, which the frames that are made already are spared.
func (s *sender) sendTogether(batch feed.Batch) error {
	buffer := buffers.Get().(*[]byte)
	b, err := s.marshal(append((*buffer)[:0], make([]byte, envelopeSize)...), (*frame)(&batch))
	if err != nil {
		return err
	}
	err = s.write(seal(b))
	if cap(b) <= maxBuffer {
		*buffer = b
		buffers.Put(buffer)
	}
	return err
}

func (s *sender) write(b []byte) error {
	if _, err := s.response.Write(b); err != nil {
		return err
	}
	s.response.(http.Flusher).Flush() //nolint:forcetypeassert // limitedWriter is one
	return nil
}

// responseKey is where limitWrites leaves the response for streams.
type responseKey struct{}
