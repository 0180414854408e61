package program

import (
	"crypto/tls"
	"net/http"
	"time"

	"chatfeed/rpc"
)

// stuckTimeout is how long a connection may take nothing of what it is sent, or be silent when it is asked for a sign of life.
const stuckTimeout = 30 * time.Second

// newServer makes a server for both versions of HTTP. One that speaks HTTP/2 may have opened a large window and then read
// nothing: a stream's deadline cannot end it, as what would reset the stream waits behind what is not read. So the connection
// is closed when nothing of what is sent has been taken for that long, or when a ping of it has no answer.
func newServer(handler http.Handler, stuck time.Duration) *http.Server {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:           handler,
		Protocols:         &protocols,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		TLSConfig:         &tls.Config{MinVersion: tls.VersionTLS12},
		ConnContext:       rpc.ConnContext,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: rpc.MaxRequests,
			WriteByteTimeout:     stuck, SendPingTimeout: stuck, PingTimeout: stuck,
		},
	}
}
