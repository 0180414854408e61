package rpc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"

	"connectrpc.com/connect"
)

const (
	// MaxStreams is how many streams one connection may have. A further stream is refused with an explanation. The limit
	// is below HTTP/2's own, beyond which clients queue requests silently.
	MaxStreams = 1000
	// MaxRequests is how many requests of any kind a server should let one HTTP/2 connection have at once
	// ([http.HTTP2Config.MaxConcurrentStreams]), to leave room for refusing streams and for other requests.
	MaxRequests = MaxStreams + 250
)

// ConnContext is for [http.Server.ConnContext]. Without it, streams are not counted and MaxStreams has no effect.
func ConnContext(ctx context.Context, _ net.Conn) context.Context {
	return context.WithValue(ctx, streamsKey{}, new(atomic.Int64))
}

// streamsKey is the context key of the count of a connection's streams.
type streamsKey struct{}

// errTooManyStreams is the error of a stream on a connection that already has MaxStreams.
var errTooManyStreams = errors.New("too many streams on one connection")

// countStream counts a stream on the request's connection until leave is called.
func countStream(ctx context.Context) (leave func(), err error) {
	streams, ok := ctx.Value(streamsKey{}).(*atomic.Int64)
	if !ok {
		return func() {}, nil
	}
	if streams.Add(1) > MaxStreams {
		streams.Add(-1)
		return nil, errTooManyStreams
	}
	return func() { streams.Add(-1) }, nil
}

func tooManyStreams() *connect.Error {
	return connect.NewError(connect.CodeResourceExhausted, fmt.Errorf("this connection has %d streams, the maximum; "+
		"follow several workflows in one stream, or open another connection", MaxStreams))
}
