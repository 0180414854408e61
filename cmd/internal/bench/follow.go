package bench

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"

	v1 "chatfeed/rpc/chatfeedv1"
)

// Stream is a client's stream of one workflow. Its methods are for one goroutine, except Close.
type Stream struct {
	conn   net.Conn
	format Format
	from   io.Reader
	buffer []byte
}

// OpenStream opens a stream, from the workflow's first item on, of a feed server or of a baseline. It returns when the server has
// said that there is nothing more so far, and so does not work for a workflow that has items. The caller must Close the stream.
func OpenStream(ctx context.Context, server *Process, format Format, workflow string) (*Stream, error) {
	conn, from, err := openStream(ctx, server.URL, format, &v1.Cursor{WorkflowId: workflow}, workflow)
	if err != nil {
		return nil, fmt.Errorf("open a stream: %w", err)
	}
	s := &Stream{conn: conn, format: format, from: from}
	if _, err := s.Next(); err != nil {
		s.Close()
		return nil, fmt.Errorf("open a stream: %w", err)
	}
	return s, nil
}

// Next returns the bytes of the next frame, as [Publish] takes them. They are valid until the next call. It returns an error when
// the stream has ended.
func (s *Stream) Next() ([]byte, error) {
	const head = 5
	if s.format != AsProtobuf && s.format != AsJSON {
		frame, err := s.format.next(s.from, s.buffer)
		s.buffer = frame
		return frame, err
	}
	if cap(s.buffer) < head {
		s.buffer = make([]byte, head, 512)
	}
	body, err := nextFrame(s.from, s.buffer[head:head])
	if err != nil {
		return nil, err
	}
	if cap(s.buffer) < head+len(body) {
		s.buffer = make([]byte, head+len(body))
	}
	s.buffer = s.buffer[:head+len(body)]
	copy(s.buffer[head:], body) // it is there already unless it was too long for the buffer
	s.buffer[0] = 0
	binary.BigEndian.PutUint32(s.buffer[1:head], uint32(len(body))) //nolint:gosec // it is far below 4 GiB
	return s.buffer, nil
}

// Close ends the stream. It may be called from any goroutine, and while Next waits.
func (s *Stream) Close() { _ = s.conn.Close() }

// Begin publishes the frame with which a feed server's stream of a workflow begins, to a baseline.
func Begin(ctx context.Context, baseline *Process, format Format, workflow string) error {
	frame, err := format.upToDate()
	if err != nil {
		return err
	}
	return Publish(ctx, baseline, workflow, frame)
}

// Publish publishes a frame of a workflow to a baseline, which sends it to all its streams of that workflow.
func Publish(ctx context.Context, baseline *Process, workflow string, frame []byte) error {
	return publishFrames(ctx, baseline, appendFrame(nil, workflow, frame))
}
