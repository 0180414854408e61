package durable

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5/pgxpool"

	"chatfeed/db"
)

// shim lets the conformance tests write what they read. The server itself has no writes of the protocol, and its streams are
// JSON; so a message is written here for each value or text that a test sends, and the answers to reads, which are the
// server's with all their headers and statuses, have each item replaced by what was sent.
type shim struct {
	pool   *pgxpool.Pool
	server http.Handler

	mu      sync.Mutex
	streams map[string]*scratch
}

// scratch is a stream that a test has created.
type scratch struct {
	workflow, kind string
	items          int
	closed         bool
}

// maxSent is the most that a test may send.
const maxSent = 1 << 20

func (s *shim) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, ok := strings.CutPrefix(r.URL.Path, "/v1/stream/")
	if !ok {
		http.NotFound(w, r)
		return
	}
	s.mu.Lock()
	if s.streams == nil {
		s.streams = map[string]*scratch{}
	}
	stream := s.streams[name]
	s.mu.Unlock()
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		s.read(w, r, name, stream)
	case http.MethodPut, http.MethodPost, http.MethodDelete:
		w.Header().Set("X-Content-Type-Options", "nosniff")
		s.mu.Lock()
		defer s.mu.Unlock()
		s.write(w, r, name, s.streams[name])
	default:
		s.server.ServeHTTP(w, s.request(r, name))
	}
}

// request is the same request for the workflow that a stream is kept in.
func (s *shim) request(r *http.Request, name string) *http.Request {
	to := r.Clone(r.Context())
	to.URL.Path, to.URL.RawPath = "/v1/stream/workflows/"+strings.ReplaceAll(name, "/", "_"), ""
	to.URL.RawQuery = strings.TrimPrefix(to.URL.RawQuery+"&types=message", "&")
	to.Header.Del("Accept-Encoding") // what is sent is put together from what comes
	return to
}

func (s *shim) write(w http.ResponseWriter, r *http.Request, name string, stream *scratch) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxSent+1))
	kind := r.Header.Get("Content-Type")
	closes := strings.EqualFold(r.Header.Get("Stream-Closed"), "true")
	created := stream == nil
	switch {
	case err != nil:
		w.WriteHeader(http.StatusBadRequest)
	case len(body) > maxSent:
		w.WriteHeader(http.StatusRequestEntityTooLarge)
	case r.Method == http.MethodPut && !created:
		if kind == "" {
			kind = stream.kind
		}
		if !strings.EqualFold(essence(kind), essence(stream.kind)) || closes != stream.closed {
			w.WriteHeader(http.StatusConflict)
			return
		}
		s.done(w, r, name, http.StatusOK)
	case r.Method == http.MethodPut:
		if kind == "" {
			kind = "application/octet-stream"
		}
		stream = &scratch{workflow: strings.ReplaceAll(name, "/", "_"), kind: kind}
		if s.append(w, r, stream, body, true, closes) {
			s.streams[name] = stream
			s.done(w, r, name, http.StatusCreated)
		}
	case created:
		w.WriteHeader(http.StatusNotFound)
	case r.Method == http.MethodDelete:
		for _, table := range []string{"messages", "logs", "progress"} {
			if _, err := s.pool.Exec(r.Context(), "delete from chatfeed."+table+" where workflow_id = $1", stream.workflow); err != nil {
				panic(err)
			}
		}
		delete(s.streams, name)
		w.WriteHeader(http.StatusNoContent)
	case stream.closed && (len(body) > 0 || !closes):
		w.Header().Set("Stream-Closed", "true")
		s.done(w, r, name, http.StatusConflict)
	case len(body) > 0 && !strings.EqualFold(essence(kind), essence(stream.kind)):
		w.WriteHeader(http.StatusConflict)
	case len(body) == 0 && !closes:
		w.WriteHeader(http.StatusBadRequest)
	case stream.closed || s.append(w, r, stream, body, false, closes):
		s.done(w, r, name, http.StatusNoContent)
	}
}

// done answers a write. Its headers are those of the server for the stream as it is then.
func (s *shim) done(w http.ResponseWriter, r *http.Request, name string, status int) {
	head := s.request(r, name)
	head.Method, head.Body = http.MethodHead, http.NoBody
	answer := httptest.NewRecorder()
	s.server.ServeHTTP(answer, head)
	for _, field := range []string{"Stream-Next-Offset", "Stream-Closed"} {
		if value := answer.Header().Get(field); value != "" {
			w.Header().Set(field, value)
		}
	}
	if r.Method == http.MethodPut {
		w.Header().Set("Content-Type", s.streams[name].kind)
		w.Header().Set("Location", "http://"+r.Host+r.URL.Path)
	}
	w.WriteHeader(status)
}

// append writes what a test has sent. A stream without anything in it is a workflow with a log, which is not read.
func (s *shim) append(w http.ResponseWriter, r *http.Request, stream *scratch, body []byte, creates, closes bool) bool {
	values, ok := [][]byte{body}, true
	if essence(stream.kind) == "application/json" && len(body) > 0 {
		values, ok = elements(body)
	}
	if !ok || len(values) == 0 && !creates {
		w.WriteHeader(http.StatusBadRequest)
		return false
	}
	var items []db.Item
	if creates {
		items = append(items, db.Log{WorkflowID: stream.workflow, ID: "created", Level: "info"})
	}
	for _, value := range values {
		if len(value) > 0 {
			stream.items++
			items = append(items, db.Message{
				WorkflowID: stream.workflow, ID: fmt.Sprint(stream.items), Message: base64.StdEncoding.EncodeToString(value), Role: "test",
			})
		}
	}
	if closes {
		stream.closed = true
		items = append(items, db.Progress{WorkflowID: stream.workflow, ID: "closed", Final: true})
	}
	if err := write(r.Context(), s.pool, items...); err != nil {
		panic(err)
	}
	return true
}

// elements are the values that one write of JSON adds: those of an array, one level deep, or the one.
func elements(body []byte) (values [][]byte, ok bool) {
	var array []json.RawMessage
	if json.Unmarshal(body, &array) != nil {
		return [][]byte{body}, json.Valid(body)
	}
	for _, value := range array {
		values = append(values, value)
	}
	return values, true
}

func essence(kind string) string {
	name, _, err := mime.ParseMediaType(kind)
	if err != nil {
		return kind
	}
	return name
}

// read answers with what the server answers, in the type of the stream.
func (s *shim) read(w http.ResponseWriter, r *http.Request, name string, stream *scratch) {
	if stream == nil {
		s.server.ServeHTTP(w, s.request(r, name))
		return
	}
	if r.URL.Query().Get("live") == "sse" && r.Method == http.MethodGet {
		s.server.ServeHTTP(&events{ResponseWriter: w, stream: stream}, s.request(r, name))
		return
	}
	answer := httptest.NewRecorder()
	s.server.ServeHTTP(answer, s.request(r, name))
	maps.Copy(w.Header(), answer.Header())
	if answer.Code != http.StatusOK {
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes())
		return
	}
	w.Header().Set("Content-Type", stream.kind)
	if r.Method == http.MethodGet {
		_, _ = w.Write(stream.sent(answer.Body.Bytes()))
	}
}

// sent is what the tests have sent of an array of items.
func (s *scratch) sent(array []byte) []byte {
	var items []struct{ Item struct{ Message []byte } }
	if err := json.Unmarshal(array, &items); err != nil {
		panic(err)
	}
	var values [][]byte
	for _, one := range items {
		values = append(values, one.Item.Message)
	}
	if essence(s.kind) == "application/json" {
		return append(append([]byte{'['}, bytes.Join(values, []byte{','})...), ']')
	}
	return bytes.Join(values, nil)
}

// events is a response whose events of data have what the tests have sent. The server writes whole events.
type events struct {
	http.ResponseWriter
	stream *scratch
}

func (e *events) Write(b []byte) (int, error) {
	written := new(bytes.Buffer)
	for event := range strings.SplitAfterSeq(string(b), "\n\n") {
		array, ok := strings.CutPrefix(event, "event: data\ndata: ")
		if !ok {
			// The tests look into a control event only if there is no space.
			_, _ = written.WriteString(strings.Replace(event, "event: control\ndata: ", "event: control\ndata:", 1))
			continue
		}
		text := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(e.stream.sent([]byte(array))))
		_, _ = fmt.Fprintf(written, "event: data\ndata:%s\n\n", strings.ReplaceAll(text, "\n", "\ndata:"))
	}
	if _, err := written.WriteTo(e.ResponseWriter); err != nil {
		return 0, err
	}
	return len(b), nil
}

// Flush is for the server, which flushes each batch.
func (e *events) Flush() { e.ResponseWriter.(http.Flusher).Flush() } //nolint:forcetypeassert // net/http's is one

// Unwrap is for [http.ResponseController].
func (e *events) Unwrap() http.ResponseWriter { return e.ResponseWriter }
