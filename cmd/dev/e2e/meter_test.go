package e2e

import (
	"net"
	"path"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// meter stands in front of Temporal, counts the calls that it passes on, and may break them.
type meter struct {
	address string

	mu    sync.Mutex
	calls map[string]int // by method
	fails error          // instead of passing on; nil passes
	hangs bool
	to    *grpc.ClientConn
}

func startMeter(t *testing.T) *meter {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	to, err := grpc.NewClient(shared.Temporal, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(frames{}), grpc.MaxCallRecvMsgSize(64<<20)))
	require.NoError(t, err)
	m := &meter{address: listener.Addr().String(), calls: make(map[string]int), to: to}
	server := grpc.NewServer(grpc.ForceServerCodec(frames{}), grpc.UnknownServiceHandler(m.pass))
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		require.NoError(t, <-ended)
		require.NoError(t, to.Close())
	})
	return m
}

func (m *meter) pass(_ any, stream grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(stream)
	var request, answer frame
	if err := stream.RecvMsg(&request); err != nil {
		return err
	}
	m.mu.Lock()
	m.calls[path.Base(method)]++
	fails, hangs := m.fails, m.hangs
	m.mu.Unlock()
	if hangs {
		<-stream.Context().Done()
		return stream.Context().Err()
	}
	if fails != nil {
		return fails
	}
	headers, _ := metadata.FromIncomingContext(stream.Context())
	if err := m.to.Invoke(metadata.NewOutgoingContext(stream.Context(), headers), method, &request, &answer); err != nil {
		return err
	}
	return stream.SendMsg(&answer)
}

// count returns how often a method has been called, "" for all of them.
func (m *meter) count(method string) (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for called, times := range m.calls {
		if method == "" || method == called {
			n += times
		}
	}
	return n
}

func (m *meter) fail(away bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fails = nil
	if away {
		m.fails = status.Error(codes.Unavailable, "it is away")
	}
}

func (m *meter) hang(hangs bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hangs = hangs
}

// frame is a message as it is on the wire.
type frame []byte

// frames is a codec that leaves messages as they are.
type frames struct{}

// Marshal implements [encoding.Codec].
func (frames) Marshal(v any) ([]byte, error) { return *v.(*frame), nil }

// Unmarshal implements [encoding.Codec].
func (frames) Unmarshal(data []byte, v any) error {
	*v.(*frame) = slices.Clone(data)
	return nil
}

// Name implements [encoding.Codec].
func (frames) Name() string { return "proto" }
