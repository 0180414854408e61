package program_test

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	"chatfeed/internal/dbtest"
	"chatfeed/rpc"
	v1 "chatfeed/rpc/chatfeedv1"
	"chatfeed/rpc/chatfeedv1/chatfeedv1connect"
)

// oneConnection makes a client that has one HTTP/2 connection, on which it waits for room as gRPC's clients do.
func oneConnection(t *testing.T) *http.Client {
	t.Helper()
	var dialed atomic.Int32
	transport := &http2.Transport{
		AllowHTTP:                  true,
		StrictMaxConcurrentStreams: true,
		DialTLSContext: func(ctx context.Context, network, address string, _ *tls.Config) (net.Conn, error) {
			dialed.Add(1)
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		require.EqualValues(t, 1, dialed.Load(), "connections")
	})
	return &http.Client{Transport: transport}
}

func TestOneConnectionCarriesTheMaximumOfStreamsAndOtherCalls(t *testing.T) {
	t.Parallel()
	server := serve(t, dbtest.URL(t))
	for name, options := range map[string][]connect.ClientOption{"Connect": nil, "gRPC": {connect.WithGRPC()}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			one := oneConnection(t)
			client := chatfeedv1connect.NewFeedServiceClient(one, server, options...)
			follow := func(ctx context.Context) (*connect.ServerStreamForClient[v1.SubscribeResponse], error) {
				return client.Subscribe(ctx, &v1.SubscribeRequest{Cursors: []*v1.Cursor{{WorkflowId: "wf"}}})
			}

			streams := make([]*connect.ServerStreamForClient[v1.SubscribeResponse], rpc.MaxStreams)
			_, err := client.ListWorkflows(ctx, &v1.ListWorkflowsRequest{}) // the connection is there
			require.NoError(t, err)
			var opening sync.WaitGroup
			for i := range streams {
				opening.Go(func() {
					stream, err := follow(ctx)
					if err == nil && stream.Receive() {
						streams[i] = stream
					} else {
						t.Errorf("stream %d does not open: %v", i, err)
					}
				})
			}
			opening.Wait()
			require.False(t, t.Failed())

			_, err = client.GetChatData(ctx, &v1.GetChatDataRequest{WorkflowId: "wf"})
			require.NoError(t, err)
			response, err := one.Get(server + "/workflows/wf/events")
			require.NoError(t, err)
			require.NoError(t, response.Body.Close())
			require.Equal(t, http.StatusTooManyRequests, response.StatusCode)

			stream, err := follow(ctx)
			require.NoError(t, err)
			require.False(t, stream.Receive())
			require.Equal(t, connect.CodeResourceExhausted, connect.CodeOf(stream.Err()))
			require.True(t, strings.HasSuffix(stream.Err().Error(), "this connection has 1000 streams, the maximum; "+
				"follow several workflows in one stream, or open another connection"), stream.Err())
			require.NoError(t, stream.Close())

			require.NoError(t, streams[0].Close()) // which makes room for another
			require.Eventually(t, func() bool {
				stream, err := follow(ctx)
				return err == nil && stream.Receive()
			}, time.Minute, 20*time.Millisecond)
			cancel()
		})
	}
}
