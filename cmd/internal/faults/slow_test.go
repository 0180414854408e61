package faults_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"chatfeed/cmd/internal/audit"
	"chatfeed/db"
	v1 "chatfeed/rpc/chatfeedv1"
	"chatfeed/rpc/chatfeedv1/chatfeedv1connect"
)

// A slow reader reads this many bytes at this interval.
const (
	sip      = 64
	sipEvery = 250 * time.Millisecond
)

// slowReader follows a workflow over Connect with minimal buffers, slowly until it is released.
type slowReader struct {
	server   string
	workflow string
	letGo    <-chan struct{}
	after    *timestamppb.Timestamp // its cursor
	ids      []string
	had      atomic.Int64 // how many ids
	streams  int
}

// run follows until ctx ends, and reconnects with its cursor when it was disconnected.
func (s *slowReader) run(ctx context.Context) {
	for ctx.Err() == nil {
		s.streams++
		if err := s.stream(ctx); err != nil && ctx.Err() == nil {
			<-time.After(100 * time.Millisecond) //nolint:forbidigo // as a client does before it reconnects
		}
	}
}

func (s *slowReader) stream(ctx context.Context) error {
	dialer := net.Dialer{Control: narrow}
	conn, err := dialer.DialContext(ctx, "tcp", s.server)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	defer conn.Close()
	slow := &slowBody{TCPConn: conn.(*net.TCPConn), letGo: s.letGo}
	cursor := &v1.Cursor{WorkflowId: s.workflow}
	if s.after != nil {
		cursor.Start = &v1.Cursor_After{After: s.after}
	}
	message, err := proto.Marshal(&v1.SubscribeRequest{Cursors: []*v1.Cursor{cursor}})
	if err != nil {
		return err
	}
	body := append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
	url := "http://" + s.server + chatfeedv1connect.FeedServiceSubscribeProcedure
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/connect+proto")
	if err := request.Write(conn); err != nil {
		return err
	}
	pace := time.NewTicker(sipEvery)
	defer pace.Stop()
	slow.pace = pace.C
	response, err := http.ReadResponse(bufio.NewReaderSize(slow, 4<<10), request)
	if err != nil {
		return err
	}
	return s.take(response.Body)
}

// narrow limits the unread data of a connection, at both ends: the server's buffer grows with the size of segments.
func narrow(_, _ string, conn syscall.RawConn) error {
	var segment, buffer error
	err := conn.Control(func(fd uintptr) {
		segment = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_MAXSEG, 536)
		buffer = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4<<10)
	})
	return errors.Join(err, segment, buffer)
}

// slowBody reads little at a time until it is released.
type slowBody struct {
	*net.TCPConn
	pace  <-chan time.Time
	letGo <-chan struct{} // nil when it has been released
}

// Read implements [io.Reader].
func (s *slowBody) Read(b []byte) (int, error) {
	if s.letGo == nil {
		return s.TCPConn.Read(b)
	}
	select {
	case <-s.letGo:
		s.letGo = nil
		if err := s.SetReadBuffer(256 << 10); err != nil {
			return 0, err
		}
		return s.TCPConn.Read(b)
	case <-s.pace:
		return s.TCPConn.Read(b[:min(len(b), sip)])
	}
}

// take reads frames until the stream ends.
func (s *slowReader) take(body io.Reader) error {
	for {
		var head [5]byte // flags and length
		if _, err := io.ReadFull(body, head[:]); err != nil {
			return err
		}
		message := make([]byte, binary.BigEndian.Uint32(head[1:]))
		if _, err := io.ReadFull(body, message); err != nil {
			return err
		}
		if head[0] != 0 {
			return fmt.Errorf("the stream has ended: %s", message)
		}
		var frame v1.SubscribeResponse
		if err := proto.Unmarshal(message, &frame); err != nil {
			return err
		}
		for _, item := range frame.GetItems() {
			s.ids, s.after = append(s.ids, item.GetId()), item.GetCreatedAt()
		}
		s.had.Store(int64(len(s.ids)))
	}
}

func TestSlowReadersDelayNobodyAndMissNothing(t *testing.T) {
	t.Parallel()
	const workflow, bulk, bulkSize = "wf_0", 64, 8 << 10
	readers := rounds(100, 1000)
	w := newWorld(t, setup{audit: audit.Config{Workflows: workflows(1), Rate: 20}})
	server := w.replicas[0]
	w.live()
	writer := db.NewWriter(w.control)
	t.Cleanup(writer.Close)
	p := w.newProbe(writer, workflow)
	alone, idle := p.delay(20), server.holds(t)

	ctx, cancel := context.WithCancel(t.Context())
	letGo := make(chan struct{})
	slow := make([]*slowReader, readers)
	var reading sync.WaitGroup
	t.Cleanup(func() { cancel(); reading.Wait() })
	for i := range slow {
		slow[i] = &slowReader{server: server.address, workflow: workflow, letGo: letGo}
		reading.Go(func() { slow[i].run(ctx) })
	}
	until(t, "every slow reader is served", func() bool {
		return server.holds(t).Goroutines >= idle.Goroutines+readers
	})
	text := strings.Repeat("word ", bulkSize/5)
	for range bulk {
		_, err := writer.Write(ctx, db.Message{WorkflowID: workflow, Message: text})
		require.NoError(t, err)
	}
	until(t, "the server is stuck in writing to the slow readers", func() bool {
		return strings.Count(server.goroutines(t), "net.(*conn).Write(") >= readers*9/10
	})
	beside := p.delay(rounds(20, 200))
	loaded := server.holds(t)
	each := (int64(loaded.Heap) - int64(idle.Heap)) / int64(readers)
	t.Logf("%d slow readers: a fast one hears after %v, %v without them; %d KB of heap for each", readers, beside, alone, each/1024)
	require.Less(t, beside, 5*alone+2*time.Second)
	require.Less(t, each, int64(400<<10), "bytes of heap for each: it is to have a frame at the most")

	w.finish()
	close(letGo)
	rows, err := w.control.Query(ctx, `select id from chatfeed.items
		where workflow_id = $1 and type in ('message', 'log', 'stat', 'progress') order by "_createdAt"`, workflow)
	require.NoError(t, err)
	want, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	for _, s := range slow {
		until(t, "the slow readers have everything", func() bool { return s.had.Load() >= int64(len(want)) })
	}
	cancel()
	reading.Wait()
	streams := 0
	for i, s := range slow {
		require.True(t, slices.Equal(want, s.ids), "slow reader %d has had other items than the table has", i)
		streams += s.streams
	}
	t.Logf("%d streams of %d slow readers", streams, readers)
}

// probe measures how soon a client that reads at full speed receives new items.
type probe struct {
	t        *testing.T
	writer   *db.Writer
	workflow string
	received chan string // the ids of probes as they are delivered
	sent     int
}

func (w *world) newProbe(writer *db.Writer, workflow string) *probe {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	p := &probe{t: w.t, writer: writer, workflow: workflow, received: make(chan string, 1000)}
	transport := &http.Transport{}
	client := chatfeedv1connect.NewFeedServiceClient(&http.Client{Transport: transport}, "http://"+w.replicas[0].address)
	stream, err := client.Subscribe(ctx, &v1.SubscribeRequest{Cursors: []*v1.Cursor{
		{WorkflowId: workflow, Start: &v1.Cursor_Last{Last: 0}},
	}})
	require.NoError(w.t, err)
	require.True(w.t, stream.Receive(), stream.Err())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for stream.Receive() {
			for _, item := range stream.Msg().GetItems() {
				if strings.HasPrefix(item.GetId(), "probe_") {
					p.received <- item.GetId()
				}
			}
		}
	}()
	w.t.Cleanup(func() { cancel(); <-ended; _ = stream.Close(); transport.CloseIdleConnections() })
	return p
}

// delay returns the median of how long it takes from the beginning of a write to its delivery.
func (p *probe) delay(times int) time.Duration {
	p.t.Helper()
	var took []time.Duration
	ctx, cancel := context.WithTimeout(p.t.Context(), time.Duration(times)*timeout)
	defer cancel()
	for range times {
		p.sent++
		id := fmt.Sprintf("probe_%d", p.sent)
		start := time.Now()
		_, err := p.writer.Write(p.t.Context(), db.Log{WorkflowID: p.workflow, ID: id})
		require.NoError(p.t, err)
		select {
		case received := <-p.received:
			require.Equal(p.t, id, received)
		case <-ctx.Done():
			require.FailNow(p.t, "the fast reader hears nothing")
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	return took[len(took)/2]
}
