package rpc

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"connectrpc.com/connect"
)

// limitReads sets a deadline for the body of each request. Reading a body that has not ended by then fails with an error for
// the client. The response may take longer: the deadline is for the body only.
func limitReads(next http.Handler, timeout time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body == nil || r.Body == http.NoBody {
			next.ServeHTTP(w, r)
			return
		}
		body := &limitedBody{ReadCloser: r.Body, control: http.NewResponseController(w), timeout: timeout}
		_ = body.control.SetReadDeadline(time.Now().Add(timeout)) // a server without deadlines waits as it would anyway
		limited := r.WithContext(r.Context())
		limited.Body = body
		if r.ProtoMajor == 1 {
			w = &drainingWriter{ResponseWriter: w, body: body}
		}
		next.ServeHTTP(w, limited)
	})
}

// limitedBody is a body with a deadline, which is removed when the body ends: from then on the HTTP/1 server reads the
// connection only to detect that the client has disconnected, and an expired deadline would look like that.
type limitedBody struct {
	io.ReadCloser
	control *http.ResponseController
	timeout time.Duration
	ended   bool // no deadline is needed any more
}

func (b *limitedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	switch {
	case errors.Is(err, io.EOF):
		b.end()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return n, connect.NewError(connect.CodeDeadlineExceeded, fmt.Errorf("the request has not ended within %v", b.timeout))
	}
	return n, err
}

// Close implements [io.Closer]. The server reads what is left of a small body, and nothing after that.
func (b *limitedBody) Close() error {
	err := b.ReadCloser.Close()
	b.end()
	return err
}

func (b *limitedBody) end() {
	if !b.ended {
		b.ended = true
		_ = b.control.SetReadDeadline(time.Time{})
	}
}

// maxUnread is how much of an unread body is discarded so that the connection can be reused: the same as in net/http.
const maxUnread = 256 << 10

// finish reads the rest of the body. It reports false if that is too long or does not arrive in time.
func (b *limitedBody) finish() bool {
	if !b.ended {
		_, _ = io.CopyN(io.Discard, b, maxUnread)
	}
	return b.ended
}

// drainingWriter reads the rest of the body before a response over HTTP/1 begins. The server does the same, but bypasses
// limitedBody, whose deadline would then stay set.
type drainingWriter struct {
	http.ResponseWriter
	body  *limitedBody
	begun bool
}

func (w *drainingWriter) begin() {
	if w.begun {
		return
	}
	w.begun = true
	if !w.body.finish() {
		w.Header().Set("Connection", "close") // the server then leaves the body alone
	}
}

// WriteHeader implements [http.ResponseWriter].
func (w *drainingWriter) WriteHeader(status int) {
	if status >= http.StatusOK {
		w.begin()
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements [io.Writer].
func (w *drainingWriter) Write(b []byte) (int, error) {
	w.begin()
	return w.ResponseWriter.Write(b)
}

// FlushError is for [http.ResponseController].
func (w *drainingWriter) FlushError() error {
	w.begin()
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Unwrap is for [http.ResponseController].
func (w *drainingWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
