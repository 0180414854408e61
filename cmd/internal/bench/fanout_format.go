package bench

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	v1 "chatfeed/rpc/chatfeedv1"
)

// socketPath is the path of sockets on both servers.
const socketPath = "/socket"

// item is a frame with one item, with the bytes that a feed server sends.
func (f Format) item(workflow, text string) ([]byte, error) {
	if f == AsProtobuf || f == AsJSON {
		return f.frame(&v1.SubscribeResponse{Items: []*v1.Item{message(workflow, sampleID, text)}, UpToDate: true})
	}
	at := fmt.Sprintf("%.6f", float64(time.Now().UnixMicro())/1e6)
	element := fmt.Sprintf(`{"type": "message", "createdAt": %s, "item": {"id": %q, "workflowId": %q, "message": %q, "role": "assistant", `+
		`"status": "", "_createdAt": %s}}`, at, sampleID, workflow, text, at)
	if f == AsEvents {
		return fmt.Appendf(nil, "event: message\nid: %s\ndata: %s\n\n", at, element), nil
	}
	return fmt.Appendf(nil, `{"items": [%s], "upToDate": true}`, element), nil
}

// upToDate is a frame without items, with which a stream begins.
func (f Format) upToDate() ([]byte, error) {
	switch f {
	case AsEvents:
		return []byte("event: up-to-date\ndata: true\n\n"), nil
	case AsMessages:
		return []byte(`{"upToDate": true}`), nil
	}
	return f.frame(&v1.SubscribeResponse{UpToDate: true})
}

// get makes the request that opens a stream of events or a socket.
func (f Format) get(server, topic string) (*http.Request, error) {
	if f == AsEvents {
		return http.NewRequest(http.MethodGet, server+"/workflows/"+url.PathEscape(topic)+"/events", nil)
	}
	request, err := http.NewRequest(http.MethodGet, server+socketPath+"?topic="+url.QueryEscape(topic), nil)
	if err != nil {
		return nil, err
	}
	request.Header = http.Header{
		"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"},
		"Sec-Websocket-Key": {"Y2hhdGZlZWQgYnkgaGFuZA=="}, "Sec-Websocket-Protocol": {socketProtocol},
	}
	return request, nil
}

const socketProtocol = "chatfeed.v1.json"

// askToFollow sends the message of a socket that subscribes to a workflow.
func askToFollow(conn net.Conn, workflow string) error {
	text := fmt.Appendf(nil, `{"subscribe": [{"workflow": %q}]}`, workflow)
	if len(text) > 125 {
		return errors.New("the name of the workflow is too long for a short message")
	}
	const final, asText, masked = 0x80, 0x1, 0x80
	head := []byte{final | asText, masked | byte(len(text)), 0, 0, 0, 0} //nolint:gosec // the length is checked; a mask of zeros changes nothing
	_, err := conn.Write(append(head, text...))
	return err
}

// next reads a frame into buffer, growing it if it is too small, and returns it.
func (f Format) next(stream io.Reader, buffer []byte) ([]byte, error) {
	switch f {
	case AsEvents:
		return nextEvent(stream.(*bufio.Reader), buffer) //nolint:forcetypeassert // openStream makes it one
	case AsMessages:
		return nextMessage(stream, buffer)
	}
	return nextFrame(stream, buffer)
}

// nextEvent reads an event: lines up to an empty one.
func nextEvent(stream *bufio.Reader, buffer []byte) ([]byte, error) {
	buffer = buffer[:0]
	for {
		line, err := stream.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return nil, fmt.Errorf("read an event: %w", err)
		}
		buffer = append(buffer, line...)
		if len(line) == 1 {
			if bytes.HasPrefix(buffer, []byte("event: end")) {
				return nil, fmt.Errorf("the server has ended a stream: %s", buffer)
			}
			return buffer, nil
		}
	}
}

// nextMessage reads a message of a socket: a server sends each in one frame without a mask.
func nextMessage(stream io.Reader, buffer []byte) ([]byte, error) {
	const (
		asText            = 0x81 // final, and text
		ping              = 0x89
		isShort, isLonger = 125, 126
	)
	for {
		var head [4]byte
		if _, err := io.ReadFull(stream, head[:2]); err != nil {
			return nil, fmt.Errorf("read a message: %w", err)
		}
		size := int(head[1])
		switch {
		case size == isLonger:
			if _, err := io.ReadFull(stream, head[2:]); err != nil {
				return nil, fmt.Errorf("read a message: %w", err)
			}
			size = int(binary.BigEndian.Uint16(head[2:]))
		case size > isShort:
			return nil, errors.New("the server has sent a message of 64 KiB or more")
		}
		if cap(buffer) < size {
			buffer = make([]byte, size)
		}
		buffer = buffer[:size]
		if _, err := io.ReadFull(stream, buffer); err != nil {
			return nil, fmt.Errorf("read a message: %w", err)
		}
		switch head[0] {
		case asText:
			return buffer, nil
		case ping: // the run is shorter than the server waits for an answer
		default:
			return nil, fmt.Errorf("the server has ended a socket: %q", buffer)
		}
	}
}
