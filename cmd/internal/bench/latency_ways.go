package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"chatfeed/db"
	"chatfeed/feed"
	v1 "chatfeed/rpc/chatfeedv1"
	"chatfeed/rpc/chatfeedv1/chatfeedv1connect"
)

// follower is Connect clients with a stream for each workflow.
type follower struct {
	failed  chan error // of one stream or more
	end     context.CancelFunc
	reading sync.WaitGroup
	idle    func()
}

// openFollower opens the streams, over HTTP/1.1, and returns when each is up to date. No types means the server's default. take is
// called with the items of each frame and the number of the workflow, by the goroutine of that workflow's stream; its error ends
// the stream. The caller must close the follower.
func openFollower(
	ctx context.Context, server string, types, workflows []string, take func(workflow int, items []*v1.Item) error,
) (*follower, error) {
	transport := &http.Transport{DisableCompression: true}
	client := chatfeedv1connect.NewFeedServiceClient(&http.Client{Transport: transport}, server)
	ctx, end := context.WithCancel(ctx)
	f := &follower{failed: make(chan error, len(workflows)), end: end, idle: transport.CloseIdleConnections}
	opened := make(chan error, len(workflows))
	for i, workflow := range workflows {
		f.reading.Go(func() {
			stream, err := client.Subscribe(ctx, &v1.SubscribeRequest{Cursors: []*v1.Cursor{{WorkflowId: workflow}}, Types: types})
			if err != nil {
				opened <- err
				return
			}
			defer func() { _ = stream.Close() }()
			if err := awaitUpToDate(stream); err != nil {
				opened <- err
				return
			}
			opened <- nil
			for err == nil && stream.Receive() {
				err = take(i, stream.Msg().GetItems())
			}
			f.failed <- fmt.Errorf("a stream has ended: %w", errors.Join(err, stream.Err(), ctx.Err()))
		})
	}
	for range workflows {
		if err := <-opened; err != nil {
			f.close()
			return nil, fmt.Errorf("open a stream: %w", err)
		}
	}
	return f, nil
}

func awaitUpToDate(stream *connect.ServerStreamForClient[v1.SubscribeResponse]) error {
	for stream.Receive() {
		if stream.Msg().GetUpToDate() {
			return nil
		}
	}
	return errors.Join(stream.Err(), errors.New("it has ended before it was up to date"))
}

func (f *follower) close() {
	f.end()
	f.reading.Wait()
	f.idle()
}

// floor is the baseline: the minimum needed to be notified of an item and to read it. Its methods are called by one goroutine.
type floor struct {
	failed chan error

	pool    *pgxpool.Pool
	source  *db.Source
	arrived arrivals
	readers []floorReader
	seed    maphash.Seed // distributes workflows to the readers

	conn    *pgx.Conn // that listens
	silence context.CancelFunc
	hearing sync.WaitGroup
}

// floorReader reads the workflows with one hash value.
type floorReader struct {
	cursors map[string]feed.Cursor
	heard   chan feed.Position
}

// openFloor listens for and reads the items that are committed to some workflows from now on. One workflow is read by the
// listening goroutine; several are distributed to four readers, so that they do not wait for each other. The caller must close
// the floor.
func (l *Lab) openFloor(ctx context.Context, workflows []string, arrived arrivals) (*floor, error) {
	pool, err := l.pool(ctx, 4)
	if err != nil {
		return nil, err
	}
	f := &floor{failed: make(chan error, 8), pool: pool, arrived: arrived, seed: maphash.MakeSeed()}
	for range min(len(workflows), 4) {
		f.readers = append(f.readers, floorReader{cursors: make(map[string]feed.Cursor), heard: make(chan feed.Position, 1024)})
	}
	for _, workflow := range workflows {
		f.readerOf(workflow).cursors[workflow] = 0
	}
	if f.source, err = db.NewSource(pool, db.SourceConfig{}); err != nil {
		pool.Close()
		return nil, err
	}
	if err := f.listen(ctx); err != nil {
		f.close(ctx)
		return nil, err
	}
	return f, nil
}

// readerOf returns the reader of a workflow.
func (f *floor) readerOf(workflow string) *floorReader {
	return &f.readers[maphash.String(f.seed, workflow)%uint64(len(f.readers))]
}

func (f *floor) listen(ctx context.Context) (err error) {
	if f.conn, err = pgx.ConnectConfig(ctx, f.pool.Config().ConnConfig); err != nil {
		return fmt.Errorf("connect to listen: %w", err)
	}
	if _, err := f.conn.Exec(ctx, "listen chatfeed"); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	ctx, f.silence = context.WithCancel(ctx)
	for i := range f.readers {
		f.hearing.Go(func() {
			for at := range f.readers[i].heard {
				f.read(ctx, &f.readers[i], at)
			}
		})
	}
	f.hearing.Go(func() { f.hear(ctx) })
	return nil
}

// close ends the floor, also when ctx has ended, and returns when all its goroutines have ended.
func (f *floor) close(ctx context.Context) {
	if f.silence != nil {
		f.silence()
	}
	f.hearing.Wait()
	if f.conn != nil {
		_ = f.conn.Close(context.WithoutCancel(ctx))
	}
	f.pool.Close()
}

func (f *floor) hear(ctx context.Context) {
	defer func() {
		for _, reader := range f.readers {
			close(reader.heard)
		}
	}()
	for {
		n, err := f.conn.WaitForNotification(ctx)
		if err != nil {
			f.fail(ctx, err)
			return
		}
		micros, workflow, _ := strings.Cut(n.Payload, " ")
		head, _ := strconv.ParseInt(micros, 10, 64)
		at := feed.Position{WorkflowID: workflow, Cursor: feed.Cursor(head)}
		if len(f.readers) == 1 {
			f.read(ctx, &f.readers[0], at)
		} else {
			f.readerOf(workflow).heard <- at
		}
	}
}

// read reads the new items of a workflow up to a notified head, unless they have been read already or the workflow is not one
// of the floor's.
func (f *floor) read(ctx context.Context, reader *floorReader, head feed.Position) {
	cursor, followed := reader.cursors[head.WorkflowID]
	at := feed.Position{WorkflowID: head.WorkflowID, Cursor: cursor}
	if !followed || at.Cursor >= head.Cursor {
		return
	}
	pages, err := f.source.After(ctx, []feed.Position{at}, feed.Window{Items: 256, Bytes: 256 << 10})
	if err != nil {
		f.fail(ctx, err)
		return
	}
	for _, item := range pages[0].Items {
		reader.cursors[at.WorkflowID] = item.CreatedAt
		var body struct {
			Message string `json:"message"`
		}
		if err := json.Unmarshal(item.Body, &body); err != nil {
			f.fail(ctx, err)
			return
		}
		f.arrived(body.Message)
	}
}

// fail reports the error that has ended the floor, unless it was closed.
func (f *floor) fail(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	select {
	case f.failed <- fmt.Errorf("the floor: %w", err):
	default: // there is an error already
	}
}
