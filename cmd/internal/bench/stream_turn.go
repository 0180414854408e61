package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"chatfeed/db"
	"chatfeed/feed"
	"chatfeed/feed/fold"
	v1 "chatfeed/rpc/chatfeedv1"
)

// streamTurn opens clients, has the models write on schedule, and returns when every client has folded every token. The periods
// divide the turn.
func (l *Lab) streamTurn(ctx context.Context, server *Process, way streamWay, load streamLoad, period time.Duration) (streamTurn, error) {
	workflows := make([]string, load.streams)
	for i := range workflows {
		workflows[i] = fmt.Sprintf("wf_stream_%s_%d_%d", way, time.Now().UnixNano(), i)
	}
	periods := int(load.length / period)
	turn := streamTurn{latency: newHistogram()}
	for range periods {
		turn.perPeriod = append(turn.perPeriod, newHistogram())
	}
	clients := &streamClients{load: load, turn: &turn, period: period, complete: make(chan struct{}), states: make([]streamClient, load.streams)}
	for i := range clients.states {
		clients.states[i].missing = load.tokens(i)
		turn.tokens += load.tokens(i)
	}
	if turn.tokens == 0 {
		return turn, errors.New("no token is due in a turn")
	}
	clients.unfinished.Store(int64(load.streams))
	following, err := openFollower(ctx, server.URL, []string{"message", "delta"}, workflows, clients.take)
	if err != nil {
		return turn, err
	}
	defer following.close()
	writer := db.NewWriter(l.Pool)
	defer writer.Close()
	before, err := l.walPosition(ctx)
	if err != nil {
		return turn, err
	}

	writing, writes := errgroup.WithContext(ctx)
	counting := &countingWriter{writer: writer}
	clients.start = time.Now().Add(50 * time.Millisecond)
	for i, workflow := range workflows {
		writing.Go(func() error {
			return model{load, i, clients.start}.write(writes, way.writer(writes, counting, workflow))
		})
	}
	writing.Go(func() error {
		var at alarm
		for i := range periods {
			if err := at.waitUntil(writes, clients.start.Add(time.Duration(i+1)*period)); err != nil {
				return err
			}
			kib, err := server.Resident()
			if err != nil {
				return err
			}
			turn.residentAfter = append(turn.residentAfter, kib)
		}
		return nil
	})
	if err := writing.Wait(); err != nil {
		return turn, err
	}
	turn.rows = counting.rows.Load()
	if err := clients.await(ctx, following.failed); err != nil {
		return turn, err
	}
	err = l.Pool.QueryRow(ctx, `select pg_wal_lsn_diff(pg_current_wal_lsn(), $1::pg_lsn)::float8`, before).Scan(&turn.walBytes)
	return turn, err
}

func (l *Lab) walPosition(ctx context.Context) (at string, err error) {
	err = l.Pool.QueryRow(ctx, `select pg_current_wal_lsn()::text`).Scan(&at)
	return at, err
}

// streamClients is the clients of a turn. They share the histograms, and each has a state that only its stream's goroutine uses.
type streamClients struct {
	load       streamLoad
	turn       *streamTurn
	period     time.Duration
	start      time.Time // set before anything is written
	states     []streamClient
	unfinished atomic.Int64
	complete   chan struct{} // closed when every client has every token
}

// streamClient folds what it receives and counts the tokens in it.
type streamClient struct {
	chat    fold.Chat
	answer  string // the id of the last message
	before  int    // tokens of the messages before it
	shown   int    // tokens of it
	missing int
}

// take folds the items of a frame. A token counts when the client's text of its message has it.
func (c *streamClients) take(stream int, items []*v1.Item) error {
	client := &c.states[stream]
	for _, item := range items {
		message, err := client.fold(item)
		if err != nil {
			return err
		}
		if message.ID != client.answer {
			client.answer, client.before, client.shown = message.ID, client.before+client.shown, 0
		}
		shown := len(message.Text()) / len(tokenText)
		if shown < client.shown {
			return fmt.Errorf("message %s: had %d tokens and now has %d", message.ID, client.shown, shown)
		}
		now := time.Since(c.start)
		for ; client.shown < shown; client.shown++ {
			due := c.load.due(stream, client.before+client.shown)
			c.turn.latency.record(now - due)
			c.turn.perPeriod[min(int(due/c.period), len(c.turn.perPeriod)-1)].record(now - due)
			client.missing--
		}
	}
	if len(items) > 0 && client.missing == 0 {
		client.missing = -1
		if c.unfinished.Add(-1) == 0 {
			close(c.complete)
		}
	}
	return nil
}

// fold adds an item and returns the message that it belongs to.
func (c *streamClient) fold(item *v1.Item) (*fold.Message, error) {
	added := feed.Item{ID: item.GetId(), Type: "message", CreatedAt: feed.Cursor(item.GetCreatedAt().AsTime().UnixMicro())}
	id, body := item.GetId(), any(item.GetMessage())
	if delta := item.GetDelta(); delta != nil {
		added.Type, id = "delta", delta.GetMessageId()
		body = deltaBody{id, delta.GetAttempt(), delta.GetPart(), delta.GetKind(), delta.GetAt(), delta.GetDelta()}
	}
	var err error
	if added.Body, err = json.Marshal(body); err != nil {
		return nil, err
	}
	err = c.chat.Add(&added)
	return c.chat.Message(id), err
}

// deltaBody is the JSON of a delta. A message's generated type has the same names in JSON as its item has.
type deltaBody struct {
	MessageID string `json:"messageId"`
	Attempt   int32  `json:"attempt"`
	Part      int32  `json:"part"`
	Kind      string `json:"kind"`
	At        int32  `json:"at"`
	Delta     string `json:"delta"`
}

// await blocks until every client has every token.
func (c *streamClients) await(ctx context.Context, failed <-chan error) error {
	select {
	case <-c.complete:
		return nil
	case err := <-failed:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(2 * time.Minute):
		return fmt.Errorf("%d of %d clients have not received all tokens", c.unfinished.Load(), c.load.streams)
	}
}

// alarm waits for one time after another. It is used by one goroutine.
type alarm struct{ timer *time.Timer }

// waitUntil blocks until a time, or until ctx ends.
func (a *alarm) waitUntil(ctx context.Context, at time.Time) error {
	if a.timer == nil {
		a.timer = time.NewTimer(time.Until(at))
	} else {
		a.timer.Reset(time.Until(at))
	}
	select {
	case <-a.timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
