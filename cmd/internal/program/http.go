package program

import (
	"crypto/tls"
	"net/http"
	"time"

	"chatfeed/rpc"
)

// stuckTimeout is how long a client may read nothing of what it is sent, or not answer a ping.
const stuckTimeout = 30 * time.Second

// newServer makes a server for both versions of HTTP. An HTTP/2 client may open a large window and then read nothing. A
// stream's deadline cannot end that, because the reset of the stream waits behind the unread data. So the connection is
// closed when the client has read nothing for that long, or does not answer a ping.
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
