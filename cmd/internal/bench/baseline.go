package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// Baseline is the command that runs the server that a feed server is compared with: the minimum that net/http, or a library for
// sockets, needs to stream to many clients. It receives finished frames, and each stream writes and flushes the same bytes. It has no deadlines, no
// heartbeats and no database.
type Baseline struct {
	Listen string `help:"Address to serve on." default:"127.0.0.1:0"`
	Frames string `help:"File with frames to have from the start, as /publish takes them." type:"existingfile"`
}

// Run serves until ctx ends.
func (c *Baseline) Run(ctx context.Context, log *slog.Logger) error {
	b := &baseline{topics: make(map[string]*baselineTopic)}
	if err := b.load(c.Frames); err != nil {
		return fmt.Errorf("--frames %s: %w", c.Frames, err)
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("--listen %s: %w", c.Listen, err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+subscribePath, b.subscribe)
	mux.HandleFunc("GET /workflows/{id}/events", b.events)
	mux.HandleFunc("GET "+socketPath, b.socket)
	mux.HandleFunc("POST /publish", b.publish)
	mux.HandleFunc("GET /readyz", func(http.ResponseWriter, *http.Request) {})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	log.InfoContext(ctx, "serving", "address", listener.Addr().String())
	select {
	case err := <-ended:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	_ = server.Close() // the streams do not end by themselves
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}

// baseline is topics by name.
type baseline struct {
	mu     sync.Mutex
	topics map[string]*baselineTopic
}

// baselineTopic is a topic's frames so far, and the next one.
type baselineTopic struct {
	mu    sync.Mutex
	first *baselineFrame
	next  *baselineFrame
}

// baselineFrame is filled in when it is published, and then links to the next.
type baselineFrame struct {
	published chan struct{} // closed when the fields below are set
	bytes     []byte
	next      *baselineFrame
}

func newBaselineFrame() *baselineFrame { return &baselineFrame{published: make(chan struct{})} }

func (b *baseline) topic(name string) *baselineTopic {
	b.mu.Lock()
	defer b.mu.Unlock()
	t, ok := b.topics[name]
	if !ok {
		first := newBaselineFrame()
		t = &baselineTopic{first: first, next: first}
		b.topics[name] = t
	}
	return t
}

func (t *baselineTopic) publish(frame []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	published := t.next
	t.next = newBaselineFrame()
	published.bytes, published.next = frame, t.next
	close(published.published)
}

// subscribe streams a topic from its first frame on, ignoring the request's body.
func (b *baseline) subscribe(w http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return
	}
	w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
	b.stream(w, r, r.URL.Query().Get("topic"))
}

// events streams a topic as server-sent events.
func (b *baseline) events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	b.stream(w, r, r.PathValue("id"))
}

func (b *baseline) stream(w http.ResponseWriter, r *http.Request, topic string) {
	control := http.NewResponseController(w)
	b.follow(r.Context(), topic, func(frame []byte) error {
		if _, err := w.Write(frame); err != nil {
			return err
		}
		return control.Flush()
	})
}

// socket streams a topic as messages of a WebSocket, ignoring those of the client.
func (b *baseline) socket(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{socketProtocol}})
	if err != nil {
		return // it has been answered
	}
	defer func() { _ = conn.CloseNow() }()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	go func() {
		defer cancel()
		for {
			if _, _, err := conn.Read(ctx); err != nil {
				return
			}
		}
	}()
	b.follow(ctx, r.URL.Query().Get("topic"), func(frame []byte) error {
		return conn.Write(ctx, websocket.MessageText, frame)
	})
}

// follow writes a topic's frames from the first one on until ctx ends or write fails.
func (b *baseline) follow(ctx context.Context, topic string, write func(frame []byte) error) {
	frame := b.topic(topic).first
	for {
		select {
		case <-frame.published:
		case <-ctx.Done():
			return
		}
		if err := write(frame.bytes); err != nil {
			return
		}
		frame = frame.next
	}
}

func (b *baseline) publish(w http.ResponseWriter, r *http.Request) {
	if err := b.take(r.Body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
	}
}

func (b *baseline) load(name string) (err error) {
	if name == "" {
		return nil
	}
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return b.take(file)
}

// take publishes frames in the format of [appendFrame].
func (b *baseline) take(from io.Reader) error {
	frames := bufio.NewReader(from)
	for {
		line, err := frames.ReadString('\n')
		if errors.Is(err, io.EOF) && line == "" {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read a frame: %w", err)
		}
		topic, length, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		size, err := strconv.Atoi(length)
		if err != nil {
			return fmt.Errorf("read a frame: its length: %w", err)
		}
		frame := make([]byte, size)
		if _, err := io.ReadFull(frames, frame); err != nil {
			return fmt.Errorf("read a frame: %w", err)
		}
		b.topic(topic).publish(frame)
	}
}

// appendFrame appends a frame for a topic in the baseline's format: a line with the topic and the frame's length, then the
// frame. A topic's name has no spaces.
func appendFrame(to []byte, topic string, frame []byte) []byte {
	to = append(to, topic...)
	to = append(to, ' ')
	to = strconv.AppendInt(to, int64(len(frame)), 10)
	to = append(to, '\n')
	return append(to, frame...)
}
