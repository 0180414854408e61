package rpc

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/coder/websocket"

	"chatfeed/feed"
)

// socketConn is an open socket. One goroutine writes and has the subscription, another reads the commands; the first carries
// them out between two batches, so an answer to a command is in order with the items around it.
type socketConn struct {
	service      *feedService
	conn         *websocket.Conn
	viewer       Viewer
	commands     chan command
	subscription *feed.Subscription
	follows      map[string]bool // the workflows, by the client's ids
	frame        []byte          // memory for the next one
}

func newSocketConn(s *feedService, conn *websocket.Conn, viewer Viewer) *socketConn {
	return &socketConn{service: s, conn: conn, viewer: viewer, commands: make(chan command, 4), follows: make(map[string]bool)}
}

// run follows until the client leaves, the viewer expires or the feed drains; the error says which.
func (c *socketConn) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	types, err := wanted(socketForm.types, nil)
	if err != nil {
		return err
	}
	c.subscription, err = c.service.Feed.Subscribe(ctx, feed.Options{Types: types, Idle: c.service.Heartbeat})
	if err != nil {
		return err
	}
	defer c.subscription.Close()
	go func() { cancel(c.read(ctx)) }()
	stop := c.ping(ctx, cancel)
	defer stop()
	for {
		batch, err := c.subscription.Next()
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			return err
		}
		reveal(&batch)
		if err := c.send(batch); err != nil { //nolint:contextcheck // see write
			return err
		}
		for more := true; more; {
			select {
			case next := <-c.commands:
				if err := c.write(acknowledgement(ctx, c.service, next.ID, c.do(ctx, next))); err != nil { //nolint:contextcheck // see write
					return err
				}
			default:
				more = false
			}
		}
	}
}

// read reads commands until the client leaves.
func (c *socketConn) read(ctx context.Context) error {
	for {
		kind, message, err := c.conn.Reader(context.Background()) //nolint:contextcheck // see write
		if err != nil {
			return err
		}
		if kind != websocket.MessageText {
			return errNotText
		}
		next, err := readCommand(message)
		if err != nil {
			return err
		}
		select {
		case c.commands <- next:
			c.subscription.Interrupt()
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// readCommand reads a message. What is wrong with its contents is an error of the command.
func readCommand(message io.Reader) (next command, err error) {
	text, err := io.ReadAll(message)
	if err != nil {
		return next, err
	}
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&next); err != nil {
		next.err = invalid("message", `%s; a JSON object with "id" and "subscribe", "unsubscribe" or "types" is accepted`, strings.TrimPrefix(err.Error(), "json: "))
	}
	return next, nil
}

// ping pings the client with each heartbeat until stop is called, so that one that has gone without a word is found.
func (c *socketConn) ping(ctx context.Context, cancel context.CancelCauseFunc) (stop func()) {
	var timer *time.Timer
	timer = time.AfterFunc(c.service.Heartbeat, func() {
		waiting, done := context.WithTimeout(context.Background(), c.service.WriteTimeout)
		defer done()
		if err := c.conn.Ping(waiting); err != nil { //nolint:contextcheck // see write
			cancel(errNoPong)
			return
		}
		if ctx.Err() == nil {
			timer.Reset(c.service.Heartbeat)
		}
	})
	return func() { timer.Stop() }
}

// do carries out a command, all of it or nothing.
func (c *socketConn) do(ctx context.Context, next command) error {
	if next.err != nil {
		return next.err
	}
	q := next.request()
	if err := c.check(ctx, next, q); err != nil {
		return err
	}
	if next.Types != nil {
		types, err := wanted(socketForm.types, *next.Types)
		if err != nil {
			return err
		}
		c.subscription.Retype(types)
	}
	for _, id := range next.Unsubscribe {
		delete(c.follows, id)
		c.subscription.Drop(hide(c.viewer, id))
	}
	q.hide(c.viewer)
	for i := range q.from {
		c.follows[next.Subscribe[i].Workflow] = true
		if err := c.subscription.Add(q.from[i].feedStart()); err != nil {
			return err
		}
	}
	return nil
}

func (c *socketConn) check(ctx context.Context, next command, q request) error {
	switch {
	case len(next.ID) > maxMessageID:
		return invalid("id", "is %d bytes long; at most %d bytes are accepted", len(next.ID), maxMessageID)
	case next.Subscribe == nil && next.Unsubscribe == nil && next.Types == nil:
		return invalid("message", `asks for nothing; "subscribe", "unsubscribe" or "types" is accepted`)
	}
	leaving := make(map[string]bool, len(next.Unsubscribe))
	for i, id := range next.Unsubscribe {
		if !c.follows[id] || leaving[id] {
			return invalid(fmt.Sprintf("unsubscribe[%d]", i), "%.100q is not subscribed to", id)
		}
		leaving[id] = true
	}
	if len(q.from) == 0 {
		return nil
	}
	if err := q.check(socketForm); err != nil {
		return err
	}
	if n := len(c.follows) - len(leaving) + len(q.from); n > maxCursors {
		return invalid("subscribe", "makes it %d workflows; at most %d are accepted on a socket", n, maxCursors)
	}
	for i, s := range q.from {
		if c.follows[s.workflowID] && !leaving[s.workflowID] {
			return invalid(socketForm.at(socketForm.workflowID, i), "%.100q is subscribed to already", s.workflowID)
		}
	}
	q.hide(c.viewer)
	return c.service.refuseFutureCursors(ctx, q, socketForm)
}

// send writes a batch. It blocks while the client does not read it, up to the write timeout.
func (c *socketConn) send(batch feed.Batch) error {
	if len(batch.Items) == 1 && batch.UpToDate && !batch.Final && len(batch.Gone)+len(batch.Anew) == 0 {
		b, err := batch.Items[0].Encoded(c.service.encoder.socket.whole)
		if err != nil {
			return err
		}
		return c.write(b[envelopeSize:])
	}
	b := append(c.frame[:0], '{')
	for i, gone := range batch.Gone {
		b = append(b, separator(i, `"gone": [`, `, `)...)
		b = append(b, goneText(gone)...)
	}
	if len(batch.Gone) > 0 {
		b = append(b, `], `...)
	}
	for i, id := range batch.Anew {
		b = append(b, separator(i, `"anew": [`, `, `)...)
		b = appendString(b, validText(id))
	}
	if len(batch.Anew) > 0 {
		b = append(b, `], `...)
	}
	if len(batch.Items) > 0 {
		var err error
		if b, err = appendElements(append(b, `"items": [`...), batch.Items, c.service.encoder.rest); err != nil {
			return err
		}
		b = append(b, `], `...)
	}
	b = fmt.Appendf(b, `"upToDate": %t`, batch.UpToDate)
	if batch.Final {
		b = append(b, `, "final": true`...)
	}
	b = append(b, '}')
	if c.frame = b; cap(b) > maxBuffer {
		c.frame = nil
	}
	return c.write(b)
}

// write writes a message. A write that a context ends closes the connection, so that of the request is not passed: who is
// disconnected is to be told why.
func (c *socketConn) write(message []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), c.service.WriteTimeout)
	defer cancel()
	return c.conn.Write(ctx, websocket.MessageText, message)
}
