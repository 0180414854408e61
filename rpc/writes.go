package rpc

import (
	"context"
	"net/http"
	"time"
)

// limitWrites disconnects a client that does not read: each chunk of a write, with the flush that follows it, and the rest
// that is sent when the handler returns, has at least three quarters of the timeout. A slow client that keeps reading is not
// disconnected, and a stream may be idle for any time.
func limitWrites(next http.Handler, timeout time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		limited := &limitedWriter{
			ResponseWriter: w, control: http.NewResponseController(w), timeout: timeout, keepDeadline: r.ProtoMajor == 1,
		}
		limited.clear() // the server may have set a deadline for the whole response, which does not suit streams
		defer limited.limit()
		next.ServeHTTP(limited, r.WithContext(context.WithValue(r.Context(), responseKey{}, limited)))
	})
}

// disableBuffering makes nginx, and proxies that understand its header, forward a stream's output at once instead of filling
// a buffer first. Every stream's headers need it.
func disableBuffering(headers http.Header) { headers.Set("X-Accel-Buffering", "no") }

// chunkSize is how much of a write is sent before its deadline is extended.
const chunkSize = 16 << 10

type limitedWriter struct {
	http.ResponseWriter
	control      *http.ResponseController
	timeout      time.Duration
	keepDeadline bool      // an expired deadline has no effect while nothing is written, so it need not be cleared
	until        time.Time // the deadline; zero when there is none
}

// Write writes in chunks. The last chunk's deadline stays for the flush that follows.
func (w *limitedWriter) Write(b []byte) (written int, err error) {
	for {
		w.limit()
		n, err := w.ResponseWriter.Write(b[written:min(len(b), written+chunkSize)])
		written += n
		if err != nil || written == len(b) {
			return written, err
		}
	}
}

// Flush implements [http.Flusher], which Connect asks for.
func (w *limitedWriter) Flush() {
	if w.until.IsZero() {
		w.limit() // only headers are sent
	}
	_ = w.control.Flush()
	if !w.keepDeadline {
		w.clear()
	}
}

// limit extends the deadline for the next write. Setting it can cost more than the write itself, so it is set only when a
// quarter of the timeout has passed.
func (w *limitedWriter) limit() {
	now := time.Now()
	if w.until.Sub(now) < w.timeout-w.timeout/4 {
		w.set(now.Add(w.timeout))
	}
}

// clear removes the deadline: HTTP/2 resets a stream when it expires, even if nothing is being written.
func (w *limitedWriter) clear() { w.set(time.Time{}) }

func (w *limitedWriter) set(until time.Time) {
	w.until = until
	_ = w.control.SetWriteDeadline(until) // a writer without deadlines blocks as it would anyway
}

// Unwrap is for [http.ResponseController].
func (w *limitedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
