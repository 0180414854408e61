package program

import (
	"context"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// A client over HTTP/2 that opens the largest window and reads nothing, or vanishes silently, is disconnected.
func TestAClientOverHTTP2ThatDoesNotReadOrAnswerIsDisconnected(t *testing.T) {
	t.Parallel()
	for name, send := range map[string][]byte{"reads nothing": make([]byte, 16<<10), "is silent": nil} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			begun, gone := make(chan struct{}), make(chan struct{})
			server := newServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				defer close(gone)
				w.WriteHeader(http.StatusOK)
				close(begun)
				for send != nil && r.Context().Err() == nil {
					if _, err := w.Write(send); err != nil {
						return
					}
				}
				<-r.Context().Done()
			}), time.Second)
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			ended := make(chan error, 1)
			go func() { ended <- server.Serve(listener) }()
			t.Cleanup(func() { _ = server.Close(); require.ErrorIs(t, <-ended, http.ErrServerClosed) })

			conn := openWide(t, listener.Addr().String(), "/")
			t.Cleanup(func() { _ = conn.Close() })
			within(t, begun)
			within(t, gone)
		})
	}
}

func within(t *testing.T, done <-chan struct{}) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	select {
	case <-done:
	case <-ctx.Done():
		require.FailNow(t, "it does not happen in time")
	}
}

// openWide asks for a path over h2c, with the largest windows, and does not read the answer.
func openWide(t *testing.T, address, path string) net.Conn {
	t.Helper()
	dialer := net.Dialer{}
	conn, err := dialer.DialContext(t.Context(), "tcp", address)
	require.NoError(t, err)
	_, err = conn.Write([]byte(http2.ClientPreface))
	require.NoError(t, err)
	framer := http2.NewFramer(conn, conn)
	require.NoError(t, framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1<<31 - 1}))
	require.NoError(t, framer.WriteWindowUpdate(0, 1<<31-1-65535))
	require.NoError(t, framer.WriteHeaders(http2.HeadersFrameParam{
		StreamID: 1, BlockFragment: headers(t, "GET", path), EndHeaders: true, EndStream: true,
	}))
	return conn
}

func headers(t *testing.T, method, path string) []byte {
	t.Helper()
	var block blockBuffer
	encoder := hpack.NewEncoder(&block)
	for _, field := range [][2]string{
		{":method", method}, {":scheme", "http"}, {":authority", "server"}, {":path", path}, {"content-type", "application/json"},
	} {
		require.NoError(t, encoder.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]}))
	}
	return block
}

type blockBuffer []byte

func (b *blockBuffer) Write(p []byte) (int, error) { *b = append(*b, p...); return len(p), nil }
