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

// In Connect, gRPC and gRPC-Web, a message of a stream is an envelope: a byte of flags, of which we set none, the length of
// the message in four bytes, and the message.
const envelopeSize = 5

// liveFormat encodes an item as the whole envelope of a frame that contains only this item and says that the client is up to
// date. Almost every frame of a live stream is like that, so it is made once for all receivers. The item's element is
// between the two texts around it.
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
		return setLength(append(append(append(b, before...), element...), after...)), nil
	})
	return liveFormat{whole, feed.NewFormat(func(item *feed.Item) ([]byte, error) {
		b, err := item.Encoded(whole)
		if err != nil {
			return nil, err
		}
		return b[envelopeSize+len(before) : len(b)-len(after) : len(b)-len(after)], nil
	})}
}

// setLength fills in the length of the message that follows the envelope's head.
func setLength(b []byte) []byte {
	binary.BigEndian.PutUint32(b[1:envelopeSize], uint32(len(b)-envelopeSize)) //nolint:gosec // a page is smaller
	return b
}

// sender writes the frames of one stream to its response. Connect begins and ends the response; the frames between bypass
// it, because its marshaller, buffer and envelope for each frame and stream cost as much as everything else that the server
// does for a frame.
type sender struct {
	response http.ResponseWriter
	live     *feed.Format
	marshal  func(b []byte, message any) ([]byte, error)
}

// newSender makes the sender of a stream whose headers have been sent.
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

// buffers are for frames that are assembled.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// maxBuffer is the largest buffer that is kept for the next frame.
const maxBuffer = 64 << 10

// send writes a batch and flushes it. It blocks while the client does not read it, up to the write timeout.
func (s *sender) send(batch feed.Batch) error {
	if len(batch.Items) == 1 && batch.UpToDate && !batch.Final && len(batch.Gone)+len(batch.Anew) == 0 {
		b, err := batch.Items[0].Encoded(s.live)
		if err != nil {
			return err
		}
		return s.write(b)
	}
	return s.sendFrame(batch)
}

// sendFrame assembles and writes a frame. It is a function of its own because it moves the batch to the heap.
func (s *sender) sendFrame(batch feed.Batch) error {
	buffer := buffers.Get().(*[]byte)
	b, err := s.marshal(append((*buffer)[:0], make([]byte, envelopeSize)...), (*frame)(&batch))
	if err != nil {
		return err
	}
	err = s.write(setLength(b))
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

// responseKey is the context key of a stream's response, set by limitWrites.
type responseKey struct{}
