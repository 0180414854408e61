package bench

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	v1 "chatfeed/rpc/chatfeedv1"
)

// A stamp is a number in the text of an item, of a fixed width after a mark, so that a receiver finds it in any format
// without decoding.
const (
	stampMark   = "stamp="
	stampDigits = 16
)

// Stamped returns a text of textSize bytes with a number that is not negative.
func Stamped(number int64) string {
	text := fmt.Sprintf("%s%0*d ", stampMark, stampDigits, number)
	const words = "the quick brown fox jumps over the lazy dog "
	return (text + strings.Repeat(words, textSize/len(words)+1))[:textSize]
}

// Stamps calls give with the numbers in a frame's texts.
func Stamps(frame []byte, give func(int64)) {
	for {
		_, rest, found := bytes.Cut(frame, []byte(stampMark))
		if !found || len(rest) < stampDigits {
			return
		}
		if number, err := strconv.ParseInt(string(rest[:stampDigits]), 10, 64); err == nil {
			give(number)
		}
		frame = rest[stampDigits:]
	}
}

// streamSet is open streams of one server, each on a connection of its own with a goroutine that reads it. It uses as
// little processor time as possible, to leave it to the server.
type streamSet struct {
	began   time.Time // stamps are nanoseconds since then
	conns   []net.Conn
	reading sync.WaitGroup

	mu       sync.Mutex
	ages     *histogram // from stamp to receipt
	received int
	arrived  chan struct{} // of capacity one: received has grown, or failed is set
	failed   error
	closing  bool
}

// listenTo opens streams, one for each of the workflows, and waits until each has its first frame. The caller must close
// the streamSet.
func listenTo(ctx context.Context, server *Process, began time.Time, format Format, workflows []string) (*streamSet, error) {
	a := &streamSet{
		began:   began,
		conns:   make([]net.Conn, len(workflows)),
		ages:    newHistogram(),
		arrived: make(chan struct{}, 1),
	}
	opening, ctx := errgroup.WithContext(ctx)
	opening.SetLimit(32)
	for i, workflow := range workflows {
		opening.Go(func() error {
			conn, stream, err := openStream(ctx, server.URL, format, &v1.Cursor{WorkflowId: workflow}, workflow)
			if err != nil {
				return err
			}
			a.conns[i] = conn
			if _, err := format.next(stream, nil); err != nil {
				return err
			}
			a.reading.Go(func() { a.read(format, stream) })
			return nil
		})
	}
	if err := opening.Wait(); err != nil {
		a.close()
		return nil, fmt.Errorf("open streams: %w", err)
	}
	return a, nil
}

// openStream requests a stream and returns when the server has sent its headers. A feed server uses the cursor, a baseline the
// topic.
func openStream(
	ctx context.Context, server string, format Format, cursor *v1.Cursor, topic string,
) (conn net.Conn, stream io.Reader, err error) {
	conn, err = new(net.Dialer).DialContext(ctx, "tcp", strings.TrimPrefix(server, "http://"))
	if err != nil {
		return nil, nil, err
	}
	if stream, err = askForStream(ctx, conn, server, format, cursor, topic); err != nil {
		_ = conn.Close()
		return nil, nil, err
	}
	return conn, stream, nil
}

func askForStream(
	ctx context.Context, conn net.Conn, server string, format Format, cursor *v1.Cursor, topic string,
) (io.Reader, error) {
	request, err := format.request(server, cursor, topic)
	if err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })()
	if err := request.Write(conn); err != nil {
		return nil, err
	}
	received := bufio.NewReaderSize(conn, 1<<10)
	response, err := http.ReadResponse(received, request) //nolint:bodyclose // it ends with conn
	switch {
	case err != nil:
		return nil, err
	case format == AsMessages && response.StatusCode == http.StatusSwitchingProtocols:
		return received, askToFollow(conn, topic)
	case response.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("the server answers %s", response.Status)
	case format == AsEvents:
		return bufio.NewReaderSize(response.Body, 1<<10), nil
	}
	return response.Body, nil
}

// request makes the request that opens a stream.
func (f Format) request(server string, cursor *v1.Cursor, topic string) (*http.Request, error) {
	if f == AsEvents || f == AsMessages {
		return f.get(server, topic)
	}
	asked, err := f.frame(&v1.SubscribeRequest{Cursors: []*v1.Cursor{cursor}})
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequest(http.MethodPost, server+subscribePath+"?topic="+url.QueryEscape(topic), bytes.NewReader(asked))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", f.contentType())
	request.Header.Set("Connect-Protocol-Version", "1")
	return request, nil
}

func (a *streamSet) read(format Format, stream io.Reader) {
	buffer := make([]byte, 512)
	for {
		frame, err := format.next(stream, buffer)
		if err != nil {
			a.fail(err)
			return
		}
		a.take(frame)
	}
}

func (a *streamSet) take(frame []byte) {
	now := time.Since(a.began)
	a.mu.Lock()
	defer a.mu.Unlock()
	Stamps(frame, func(sent int64) {
		a.ages.record(now - time.Duration(sent))
		a.received++
	})
	a.signal()
}

func (a *streamSet) fail(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.closing && a.failed == nil {
		a.failed = err
	}
	a.signal()
}

func (a *streamSet) signal() {
	select {
	case a.arrived <- struct{}{}:
	default:
	}
}

// await blocks until the given total number of deliveries has arrived.
func (a *streamSet) await(ctx context.Context, deliveries int) error {
	recoveryTimeout := time.NewTimer(time.Minute)
	defer recoveryTimeout.Stop()
	for {
		a.mu.Lock()
		received, failed := a.received, a.failed
		a.mu.Unlock()
		switch {
		case failed != nil:
			return fmt.Errorf("a stream has broken: %w", failed)
		case received > deliveries:
			return fmt.Errorf("%d deliveries came where %d were due", received, deliveries)
		case received == deliveries:
			return nil
		}
		select {
		case <-a.arrived:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-recoveryTimeout.C:
			return fmt.Errorf("%d of %d deliveries came", received, deliveries)
		}
	}
}

// forget drops the measured times.
func (a *streamSet) forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ages = newHistogram()
}

func (a *streamSet) close() {
	a.mu.Lock()
	a.closing = true
	a.mu.Unlock()
	for _, conn := range a.conns {
		if conn != nil {
			_ = conn.Close()
		}
	}
	a.reading.Wait()
}
