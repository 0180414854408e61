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
	// MaxStreams is how many streams one connection may have. One more is refused with words. A connection is so bounded because
	// clients queue in silence what is beyond the bound of HTTP/2.
	MaxStreams = 1000
	// MaxRequests is how many requests of any kind a server should let one HTTP/2 connection have at once
	// ([http.HTTP2Config.MaxConcurrentStreams]), so that there is room to refuse streams, and for what is no stream.
	MaxRequests = MaxStreams + 250
)

// ConnContext is for [http.Server.ConnContext]. Without it, streams are not counted and MaxStreams is no bound.
func ConnContext(ctx context.Context, _ net.Conn) context.Context {
	return context.WithValue(ctx, streamsKey{}, new(atomic.Int64))
}

// streamsKey is where ConnContext leaves the count of a connection's streams.
type streamsKey struct{}

// errTooManyStreams is the error of a stream on a connection that has MaxStreams.
var errTooManyStreams = errors.New("too many streams on one connection")

// occupy counts a stream of a request's connection until leave is called.
func occupy(ctx context.Context) (leave func(), err error) {
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
	return connect.NewError(connect.CodeResourceExhausted, fmt.Errorf("this connection has %d streams, as many as one may have; "+
		"follow several workflows in one stream, or open another connection", MaxStreams))
}
