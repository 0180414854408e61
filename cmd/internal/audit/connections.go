package audit

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"golang.org/x/net/http2"
)

// connections are the connections of one transport. They are closed explicitly at the end, because the HTTP client keeps a
// connection open while its last stream is being cancelled.
type connections struct {
	transport interface {
		http.RoundTripper
		CloseIdleConnections()
	}
	dialer net.Dialer

	mu     sync.Mutex
	open   map[*connection]struct{}
	closed bool
}

func newConnections(server *url.URL, version2 bool, silence time.Duration) *connections {
	c := &connections{dialer: net.Dialer{Timeout: 10 * time.Second}, open: make(map[*connection]struct{})}
	if !version2 {
		c.transport = &http.Transport{
			DialContext:         c.dial,
			MaxIdleConnsPerHost: 1 << 20, // each poll must be able to reuse its connection
			TLSHandshakeTimeout: 10 * time.Second,
		}
		return c
	}
	// net/http's transport would open a connection for each of the streams that are opened at the same time.
	c.transport = &http2.Transport{
		AllowHTTP: true,
		// Without these, a dead connection would be used for every stream that is opened again.
		ReadIdleTimeout: silence / 3,
		PingTimeout:     silence / 3,
		DialTLSContext: func(ctx context.Context, network, address string, cfg *tls.Config) (net.Conn, error) {
			conn, err := c.dial(ctx, network, address)
			if err != nil || server.Scheme == "http" {
				return conn, err
			}
			secured := tls.Client(conn, cfg)
			if err := secured.HandshakeContext(ctx); err != nil {
				_ = conn.Close()
				return nil, err
			}
			return secured, nil
		},
	}
	return c
}

func (c *connections) client() *http.Client { return &http.Client{Transport: c.transport} }

func (c *connections) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := c.dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		_ = conn.Close()
		return nil, net.ErrClosed
	}
	counted := &connection{conn, c}
	c.open[counted] = struct{}{}
	return counted, nil
}

func (c *connections) close() {
	c.mu.Lock()
	c.closed = true
	open := c.open
	c.open = nil
	c.mu.Unlock()
	for conn := range open {
		_ = conn.Conn.Close()
	}
	c.transport.CloseIdleConnections()
}

type connection struct {
	net.Conn
	of *connections
}

// Close implements [net.Conn].
func (c *connection) Close() error {
	c.of.mu.Lock()
	delete(c.of.open, c)
	c.of.mu.Unlock()
	return c.Conn.Close()
}
