package rpc

import (
	"net/http"
	"time"
)

// limitWrites disconnects a client that does not take what it is sent: each piece of a write, each flush, and what is left
// to send when the handler returns, has so much time. A slow client that keeps reading is left alone, and a stream that
// has nothing to send may be silent for as long as it likes.
func limitWrites(next http.Handler, timeout time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		limited := &limitedWriter{ResponseWriter: w, control: http.NewResponseController(w), timeout: timeout}
		limited.clear() // HTTP/1.1 has kept that of the request before
		defer limited.limit()
		next.ServeHTTP(limited, r)
	})
}

// piece is how much of a write has to be taken before its deadline is moved.
const piece = 16 << 10

type limitedWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration
}

// Write writes piece by piece. The last piece's deadline stays for the flush that follows.
func (w *limitedWriter) Write(b []byte) (written int, err error) {
	for {
		w.limit()
		n, err := w.ResponseWriter.Write(b[written:min(len(b), written+piece)])
		written += n
		if err != nil || written == len(b) {
			return written, err
		}
	}
}

// Flush implements [http.Flusher], which Connect asks for.
func (w *limitedWriter) Flush() {
	_ = w.control.Flush()
	w.clear()
}

func (w *limitedWriter) limit() {
	_ = w.control.SetWriteDeadline(time.Now().Add(w.timeout)) // a writer without deadlines blocks as it would anyway
}

// clear takes the deadline away: HTTP/2 resets a stream when it passes, even where nothing is being written.
func (w *limitedWriter) clear() {
	_ = w.control.SetWriteDeadline(time.Time{})
}

// Unwrap is for [http.ResponseController].
func (w *limitedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
