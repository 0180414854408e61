package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	v1 "chatfeed/rpc/chatfeedv1"
)

// herdClient is one of the clients. It belongs to one goroutine.
type herdClient struct {
	workflow  string
	topic     string
	cursor    *timestamppb.Timestamp // of its last item; nil when it has none
	next, end int                    // the numbers of the item that must come next, and of the first that does not exist
	conn      net.Conn
}

// start is where the client's stream begins.
func (c *herdClient) start() *v1.Cursor {
	from := &v1.Cursor{WorkflowId: c.workflow}
	if c.cursor != nil {
		from.Start = &v1.Cursor_After{After: c.cursor}
	}
	return from
}

func (c *herdClient) leave() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}

// recovery is how the clients reconnected after the restart.
type recovery struct {
	mu       sync.Mutex
	began    time.Time   // when the new server's process was started
	upToDate []time.Time // when each stream was, in order
	times    *histogram  // from began until then
	items    int
	queries  int // for items, made by the new server
}

func newRecovery() *recovery { return &recovery{began: time.Now(), times: newHistogram()} }

func (r *recovery) seconds() float64 { return r.times.ms(100) / 1000 }

func (r *recovery) quantiles() []float64 {
	return []float64{r.times.ms(50) / 1000, r.times.ms(90) / 1000, r.times.ms(99) / 1000, r.seconds()}
}

// recoveryTimeout is how long a herd may take.
const recoveryTimeout = time.Minute

// await reconnects clients whose streams have broken and returns when all are up to date; then it closes their streams.
func (r *recovery) await(ctx context.Context, server string, clients []*herdClient) error {
	ctx, cancel := context.WithTimeoutCause(ctx, recoveryTimeout, errors.New("not every stream is up to date again"))
	defer cancel()
	defer func() {
		for _, c := range clients {
			c.leave()
		}
	}()
	returning, ctx := errgroup.WithContext(ctx)
	for _, c := range clients {
		returning.Go(func() error { return r.bring(ctx, server, c) })
	}
	if err := returning.Wait(); err != nil {
		return err
	}
	for _, at := range r.upToDate {
		r.times.record(at.Sub(r.began))
	}
	return nil
}

// bring reconnects one client until it is up to date. Its stream stays open.
func (r *recovery) bring(ctx context.Context, server string, c *herdClient) error {
	for tries := 0; ; tries++ {
		c.leave()
		pause := time.NewTimer(rand.N(100 * time.Millisecond << min(tries, 3)))
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return context.Cause(ctx)
		}
		err := r.catchUp(ctx, server, c)
		if err == nil || errors.As(err, new(*strayError)) {
			return err
		}
	}
}

// catchUp reads one stream until it is up to date.
func (r *recovery) catchUp(ctx context.Context, server string, c *herdClient) error {
	conn, stream, err := openStream(ctx, server, AsProtobuf, c.start(), c.topic)
	if err != nil {
		return err
	}
	c.conn = conn
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	return r.read(stream, c)
}

func (r *recovery) read(stream io.Reader, c *herdClient) error {
	var buffer []byte
	for {
		var err error
		if buffer, err = nextFrame(stream, buffer); err != nil {
			return err
		}
		response := &v1.SubscribeResponse{}
		if err := proto.Unmarshal(buffer, response); err != nil {
			return fmt.Errorf("decode a frame: %w", err)
		}
		if err := c.take(response.GetItems()); err != nil {
			return err
		}
		r.mu.Lock()
		r.items += len(response.GetItems())
		done := response.GetUpToDate() && c.next == c.end
		if done {
			r.upToDate = append(r.upToDate, time.Now())
		}
		r.mu.Unlock()
		if done {
			return nil
		}
	}
}

// strayError reports an unexpected item: one was lost or repeated.
type strayError struct{ workflow, got, want string }

func (e *strayError) Error() string {
	return fmt.Sprintf("workflow %s: item %s came where %s was due", e.workflow, e.got, e.want)
}

// take moves the client past items, each of which must be the next.
func (c *herdClient) take(items []*v1.Item) error {
	for _, item := range items {
		if want := itemID(c.next); item.GetId() != want || item.GetWorkflowId() != c.workflow || c.next >= c.end {
			return &strayError{c.workflow, item.GetId(), want}
		}
		c.next++
		c.cursor = item.GetCreatedAt()
	}
	return nil
}
