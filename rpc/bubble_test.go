package rpc_test

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"chatfeed/feed"
	"chatfeed/rpc"
)

// pipes is a listener for a bubble of synctest: what waits for a real network is not idle there.
type pipes struct {
	conns chan net.Conn
	ended chan struct{}
	end   sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.ended:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.end.Do(func() { close(p.ended) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "bubble", Net: "unix"} }

func (p *pipes) dial(ctx context.Context) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p.conns <- server:
		return client, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// serveInBubble serves a source within a bubble until the test ends.
func serveInBubble(t *testing.T, source *source, cfg rpc.Config) *pipes {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	f, err := feed.New(source, source, feed.Config{Log: log})
	require.NoError(t, err)
	cfg.Feed, cfg.Workflows, cfg.Log = f, source, log
	handler, err := rpc.NewHandler(cfg)
	require.NoError(t, err)
	listener := &pipes{conns: make(chan net.Conn), ended: make(chan struct{})}
	web := &http.Server{
		Handler: handler, Protocols: protocols(true, true), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = f.Run(ctx) })
	running.Go(func() { _ = web.Serve(listener) })
	t.Cleanup(func() {
		cancel()
		_ = web.Close()
		running.Wait()
	})
	return listener
}

// elapse lets time pass in a bubble, where it takes none.
func elapse(d time.Duration) {
	passed := time.NewTimer(d)
	<-passed.C
	synctest.Wait()
}
