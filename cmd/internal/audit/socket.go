package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/coder/websocket"
)

// socket follows by a WebSocket.
func socket(ctx context.Context, at *endpoint, workflow string, after int64, take func(frame)) error {
	conn, response, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(at.server, "http")+"/socket", //nolint:bodyclose // it is the connection's
		&websocket.DialOptions{HTTPClient: at.http, Subprotocols: []string{"chatfeed.v1.json"}})
	if err != nil {
		if response != nil && response.StatusCode != http.StatusSwitchingProtocols {
			return fmt.Errorf("open a socket: %s: %w", response.Status, err)
		}
		return fmt.Errorf("open a socket: %w", err)
	}
	defer func() { _ = conn.CloseNow() }()
	conn.SetReadLimit(-1)
	command, err := json.Marshal(map[string]any{
		"types":     kinds(),
		"subscribe": []map[string]any{{"workflow": workflow, "after": json.Number(seconds(after))}},
	})
	if err != nil {
		return err
	}
	if err := conn.Write(ctx, websocket.MessageText, command); err != nil {
		return fmt.Errorf("subscribe on a socket: %w", err)
	}
	for {
		_, text, err := conn.Read(ctx)
		if err != nil {
			return fmt.Errorf("read a socket: %w", err)
		}
		f, err := at.sums.socketFrame(text)
		if err != nil {
			return fmt.Errorf("read a socket: %w", err)
		}
		take(f)
	}
}

// socketFrame parses a message of a socket.
func (s sums) socketFrame(text []byte) (f frame, err error) {
	var message struct {
		Error json.RawMessage
		Gone  []json.RawMessage
		Anew  []string
	}
	if err := json.Unmarshal(text, &message); err != nil {
		return f, err
	}
	if message.Error != nil {
		return f, fmt.Errorf("the command was refused: %.200s", message.Error)
	}
	f.anew = message.Anew
	for _, data := range message.Gone {
		one, err := goneItem(data)
		if err != nil {
			return f, err
		}
		f.gone = append(f.gone, one)
	}
	f.items, err = s.restItems(text)
	return f, err
}
