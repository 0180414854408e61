package rpc_test

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"net/http"
	"strings"

	"connectrpc.com/connect"
	"github.com/coder/websocket"
)

// dial opens a socket.
func dial(ctx context.Context, s *server, options websocket.DialOptions) (*websocket.Conn, *http.Response, error) {
	options.HTTPClient = s.h1
	if options.Subprotocols == nil {
		options.Subprotocols = []string{"chatfeed.v1.json"}
	}
	conn, response, err := websocket.Dial(ctx, strings.Replace(s.url, "http", "ws", 1)+"/socket", &options)
	if err == nil {
		conn.SetReadLimit(-1)
	}
	return conn, response, err
}

// said is a message of a socket.
type said struct {
	frame

	ack   *string
	error *connect.Error
}

func hear(ctx context.Context, conn *websocket.Conn) (said, error) {
	_, text, err := conn.Read(ctx)
	if err != nil {
		return said{}, closed(err)
	}
	var raw struct {
		Ack   *string
		Error *struct {
			Code    connect.Code
			Message string
		}
		Final bool
		Anew  []string
		Gone  []json.RawMessage
	}
	if err := json.Unmarshal(text, &raw); err != nil {
		return said{}, err
	}
	got := said{ack: raw.Ack}
	if raw.Error != nil {
		got.error = connect.NewError(raw.Error.Code, errors.New(raw.Error.Message))
	}
	if got.frame, err = readREST(text); err != nil {
		return got, err
	}
	got.final, got.anew = raw.Final, raw.Anew
	for _, text := range raw.Gone {
		one, err := event{name: "gone", data: string(text)}.frame(new(bool))
		if err != nil {
			return got, err
		}
		got.gone = append(got.gone, one.gone...)
	}
	return got, nil
}

// closed is the end of a socket as the error that other transports end with.
func closed(err error) error {
	var end websocket.CloseError
	if !errors.As(err, &end) {
		return err
	}
	code := map[websocket.StatusCode]connect.Code{
		websocket.StatusServiceRestart: connect.CodeUnavailable, 3000: connect.CodeUnauthenticated,
	}[end.Code]
	return connect.NewError(code, errors.New(end.Reason))
}

// overSocket follows by a socket. The client ends it when everything is final.
func overSocket(ctx context.Context, s *server, f follow) iter.Seq2[frame, error] {
	return func(yield func(frame, error) bool) {
		conn, response, err := dial(ctx, s, websocket.DialOptions{})
		if err != nil {
			if response != nil && response.StatusCode == http.StatusUnauthorized {
				err = connect.NewError(connect.CodeUnauthenticated, err)
			}
			yield(frame{}, err)
			return
		}
		defer context.AfterFunc(ctx, func() { _ = conn.CloseNow() })()
		defer func() { _ = conn.CloseNow() }()
		command := map[string]any{"id": "s"}
		if f.types != nil {
			command["types"] = f.types
		}
		var starts []any
		for _, from := range f.from {
			start := map[string]any{"workflow": from.workflow}
			if from.last > 0 {
				start["last"] = from.last
			} else if from.after > 0 {
				start["after"] = json.Number(seconds(from.after))
			}
			starts = append(starts, start)
		}
		command["subscribe"] = starts
		text, err := json.Marshal(command)
		if err == nil {
			err = conn.Write(ctx, websocket.MessageText, text)
		}
		begun := false
		for err == nil {
			var got said
			if got, err = hear(ctx, conn); err != nil {
				break
			}
			switch {
			case got.ack != nil && got.error != nil:
				err = got.error
			case got.ack != nil:
				begun = true
			case begun && !yield(got.frame, nil):
				return
			case got.final:
				yield(frame{}, nil)
				return
			}
		}
		yield(frame{}, err)
	}
}
