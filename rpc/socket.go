package rpc

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/coder/websocket"

	"chatfeed/feed"
)

const (
	// socketProtocol is the subprotocol of sockets.
	socketProtocol = "chatfeed.v1.json"
	// maxSocketMessage is how long a client's message may be: room for 1,000 workflows with long ids.
	maxSocketMessage = 4 << 20
	// compressedFrom is how long a message is that is worth compressing for each client again: a page, not a live item.
	compressedFrom = 8 << 10
)

// statusUnauthorized is the status code, registered by IANA, of a socket whose viewer has expired.
const statusUnauthorized = websocket.StatusCode(3000)

// socket serves GET /socket: a stream of which the client changes the workflows and the types while it is open. See
// docs/protocol.md for the messages and the status codes.
func (s *feedService) socket(w http.ResponseWriter, r *http.Request) {
	leave, err := countStream(r.Context())
	if err == nil {
		defer leave()
		err = checkSocket(r)
	}
	if err != nil {
		writeError(w, public(r.Context(), s.Log, err))
		return
	}
	var conn *websocket.Conn
	err = onOwnStack(func() (err error) {
		conn, err = websocket.Accept(w, r, &websocket.AcceptOptions{
			Subprotocols:         []string{socketProtocol},
			OriginPatterns:       s.Origins,
			CompressionMode:      websocket.CompressionNoContextTakeover,
			CompressionThreshold: compressedFrom,
		})
		return err
	})
	if err != nil {
		return // it has been answered
	}
	defer func() { _ = conn.CloseNow() }()
	conn.SetReadLimit(maxSocketMessage)
	err = newSocketConn(s, conn, s.viewer(r.Context())).run(r.Context())
	if code, reason := socketStatus(err); code != 0 {
		_ = conn.Close(code, reason)
	}
}

// checkSocket says what is wrong with a request that does not ask for a socket as this server has it.
func checkSocket(r *http.Request) error {
	offered := strings.Join(r.Header.Values("Sec-WebSocket-Protocol"), ",")
	names := strings.Split(strings.ReplaceAll(offered, " ", ""), ",")
	switch {
	case r.ProtoMajor != 1:
		return invalid("protocol", "is %s; a WebSocket begins with a request of HTTP/1.1", r.Proto)
	case !strings.EqualFold(r.Header.Get("Upgrade"), "websocket"):
		return invalid("Upgrade", "is %.100q; this address is for WebSockets", r.Header.Get("Upgrade"))
	case !slices.Contains(names, socketProtocol):
		return invalid("Sec-WebSocket-Protocol", "is %.100q; %s is accepted", offered, socketProtocol)
	}
	return nil
}

// socketStatus is the status code and the reason with which a socket is closed after an error. The code is zero if the client
// has gone, or has been told already.
func socketStatus(err error) (websocket.StatusCode, string) {
	switch {
	case errors.Is(err, feed.ErrDraining):
		return websocket.StatusServiceRestart, "the server is stopping; subscribe again from your cursors"
	case errors.Is(err, errExpired):
		return statusUnauthorized, "your access has expired; come back with a new token"
	case errors.Is(err, errNotText):
		return websocket.StatusUnsupportedData, "the message is binary; JSON as text is accepted"
	case errors.Is(err, errNoPong):
		return websocket.StatusPolicyViolation, "a ping was not answered in time"
	}
	return 0, ""
}

var (
	errNotText = errors.New("the message is not text")
	errNoPong  = errors.New("the client does not answer pings")
)

// command is what a client's message asks for.
type command struct {
	ID          string        `json:"id"`
	Subscribe   []socketStart `json:"subscribe"`
	Unsubscribe []string      `json:"unsubscribe"`
	Types       *[]string     `json:"types"`

	err error // of the message
}

// socketStart is where a client begins in a workflow.
type socketStart struct {
	Workflow string       `json:"workflow"`
	After    *cursorValue `json:"after"`
	Last     *int         `json:"last"`
}

// cursorValue is a cursor in JSON: a number or a string.
type cursorValue feed.Cursor

// UnmarshalJSON reads Unix seconds with up to six decimals, or RFC 3339.
func (c *cursorValue) UnmarshalJSON(text []byte) error {
	at, ok := parseTimestamp(strings.Trim(string(text), `"`))
	if !ok {
		return fmt.Errorf("after: %.100s is not a cursor; Unix seconds with up to six decimals and RFC 3339 are accepted", text)
	}
	*c = cursorValue(at)
	return nil
}

// request is what a command subscribes to.
func (c *command) request() request {
	q := request{from: make([]start, len(c.Subscribe))}
	for i, s := range c.Subscribe {
		q.from[i] = start{workflowID: s.Workflow, after: (*feed.Cursor)(s.After), last: s.Last}
	}
	return q
}

var socketForm = form{
	workflows: "subscribe", workflowID: "subscribe[i].workflow", after: "subscribe[i].after", last: "subscribe[i].last",
	types: "types", maxWorkflows: maxCursors,
}

// acknowledgement is the answer to a command.
func acknowledgement(ctx context.Context, s *feedService, id string, err error) []byte {
	b := appendString([]byte(`{"ack": `), validText(id))
	if err != nil {
		b = append(append(b, `, "error": `...), errorText(public(ctx, s.Log, err))...)
	}
	return append(b, '}')
}
