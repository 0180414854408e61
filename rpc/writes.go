package rpc

import (
	"net/http"
	"time"
)

// limitWrites gives each write of a response, and each flush, so much time. A client that does not take what it is sent
// is disconnected; a stream that has nothing to send may be silent for as long as it likes.
func limitWrites(next http.Handler, timeout time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		limited := &limitedWriter{ResponseWriter: w, control: http.NewResponseController(w), timeout: timeout}
		defer limited.clear()
		next.ServeHTTP(limited, r)
	})
}

type limitedWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration
}

// Write sets the deadline anew. It stays for the flush that follows.
func (w *limitedWriter) Write(b []byte) (int, error) {
	_ = w.control.SetWriteDeadline(time.Now().Add(w.timeout)) // a writer without deadlines blocks as it would anyway
	return w.ResponseWriter.Write(b)
}

// Flush implements [http.Flusher], which Connect asks for.
func (w *limitedWriter) Flush() {
	_ = w.control.Flush()
	w.clear()
}

// clear takes the deadline away: HTTP/2 resets a stream when it passes, even where nothing is being written.
func (w *limitedWriter) clear() {
	_ = w.control.SetWriteDeadline(time.Time{})
}

// Unwrap is for [http.ResponseController].
func (w *limitedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
