package rpc

import (
	"context"
	"net/http"
	"time"
)

// limitWrites disconnects a client that does not take what it is sent: each piece of a write, with the flush that follows
// it, and what is left to send when the handler returns, has three quarters of that time at the least. A slow client that
// keeps reading is left alone, and a stream that has nothing to send may be silent for as long as it likes.
func limitWrites(next http.Handler, timeout time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		limited := &limitedWriter{
			ResponseWriter: w, control: http.NewResponseController(w), timeout: timeout, lasting: r.ProtoMajor == 1,
		}
		limited.clear() // the server may have one of its own for a whole response, which is not for streams
		defer limited.limit()
		next.ServeHTTP(limited, r.WithContext(context.WithValue(r.Context(), responseKey{}, limited)))
	})
}

// unbuffered has nginx, and proxies that do as it does, hand on what a stream writes at once. Otherwise they keep it until they
// have a buffer full. Every stream's headers need it.
func unbuffered(headers http.Header) { headers.Set("X-Accel-Buffering", "no") }

// piece is how much of a write has to be taken before its deadline is moved.
const piece = 16 << 10

type limitedWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration
	lasting bool      // a deadline may pass while nothing is written, so it need not be taken away
	until   time.Time // the deadline; zero when there is none
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
	if w.until.IsZero() {
		w.limit() // it sends headers that nothing was written after
	}
	_ = w.control.Flush()
	if !w.lasting {
		w.clear()
	}
}

// limit gives what is written next its time, up to a quarter less: moving the deadline costs more than many a write, so it
// is moved for all writes of a while at once.
func (w *limitedWriter) limit() {
	now := time.Now()
	if w.until.Sub(now) < w.timeout-w.timeout/4 {
		w.set(now.Add(w.timeout))
	}
}

// clear takes the deadline away: HTTP/2 resets a stream when it passes, even where nothing is being written.
func (w *limitedWriter) clear() { w.set(time.Time{}) }

func (w *limitedWriter) set(until time.Time) {
	w.until = until
	_ = w.control.SetWriteDeadline(until) // a writer without deadlines blocks as it would anyway
}

// Unwrap is for [http.ResponseController].
func (w *limitedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
