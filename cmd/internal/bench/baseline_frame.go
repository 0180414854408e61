package bench

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// subscribePath is the path of streams on both servers.
const subscribePath = "/chatfeed.v1.FeedService/Subscribe"

// Format is how a server streams items: as one of Connect's encodings, as server-sent events or as messages of a WebSocket.
type Format string

// The formats.
const (
	AsProtobuf Format = "protobuf" // of Connect
	AsJSON     Format = "JSON"     // of Connect
	AsEvents   Format = "events"
	AsMessages Format = "socket"
)

func (f Format) contentType() string {
	if f == AsJSON {
		return "application/connect+json"
	}
	return "application/connect+proto"
}

// frame returns a message of Connect framed like on a Connect stream: a byte of flags, four of length, and the message.
func (f Format) frame(message proto.Message) ([]byte, error) {
	marshal := proto.Marshal
	if f == AsJSON {
		marshal = protojson.Marshal
	}
	body, err := marshal(message)
	if err != nil {
		return nil, fmt.Errorf("encode a frame: %w", err)
	}
	frame := make([]byte, 5, 5+len(body))
	binary.BigEndian.PutUint32(frame[1:], uint32(len(body))) //nolint:gosec // it is far below 4 GiB
	return append(frame, body...), nil
}

// endStream is the flag of Connect's last frame, which says how the stream ended.
const endStream = 0b10

// nextFrame reads a frame into buffer, growing it if it is too small, and returns the message's bytes.
func nextFrame(stream io.Reader, buffer []byte) ([]byte, error) {
	var head [5]byte
	if _, err := io.ReadFull(stream, head[:]); err != nil {
		return nil, fmt.Errorf("read a frame: %w", err)
	}
	size := int(binary.BigEndian.Uint32(head[1:]))
	if cap(buffer) < size {
		buffer = make([]byte, size)
	}
	buffer = buffer[:size]
	if _, err := io.ReadFull(stream, buffer); err != nil {
		return nil, fmt.Errorf("read a frame: %w", err)
	}
	if head[0]&endStream != 0 {
		return nil, fmt.Errorf("the server has ended a stream: %s", buffer)
	}
	return buffer, nil
}

// publishFrames sends frames to a baseline, in the format of [appendFrame].
func publishFrames(ctx context.Context, server *Process, frames []byte) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL+"/publish", bytes.NewReader(frames))
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("publish to the baseline: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return fmt.Errorf("publish to the baseline: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("publish to the baseline: %s", response.Status)
	}
	return nil
}
