package program

import (
	"context"
	"log/slog"
	"strings"

	"go.temporal.io/sdk/client"
	temporallog "go.temporal.io/sdk/log"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"chatfeed/activities"
)

// Temporal is the flags of all that connect to Temporal.
type Temporal struct {
	TemporalAddress   string `help:"Temporal's frontend." default:"127.0.0.1:7233"`
	TemporalNamespace string `help:"Temporal namespace." default:"default"`
}

// ClientOptions returns what a client connects with.
func (c Temporal) ClientOptions(log *slog.Logger) client.Options {
	return client.Options{
		HostPort:  c.TemporalAddress,
		Namespace: c.TemporalNamespace,
		Logger:    temporallog.NewStructuredLogger(log),

		DataConverter:     activities.DataConverter(),
		ConnectionOptions: client.ConnectionOptions{DialOptions: []grpc.DialOption{grpc.WithChainUnaryInterceptor(anyScript)}},
	}
}

// lazyClient connects when it is first used, so that Temporal may be away until then.
func (c Temporal) lazyClient(log *slog.Logger) (client.Client, error) {
	return client.NewLazyClient(c.ClientOptions(log))
}

// resourceHeader is where the SDK puts a workflow's id, for proxies to route by.
const resourceHeader = "temporal-resource-id"

// anyScript leaves the header out that gRPC would not send, which has printable ASCII characters only: a workflow's id may be
// in any script, and is in the request anyway.
func anyScript(ctx context.Context, method string, request, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption) error {
	if headers, ok := metadata.FromOutgoingContext(ctx); ok {
		unsendable := func(r rune) bool { return r < ' ' || r > '~' }
		if strings.ContainsFunc(strings.Join(headers.Get(resourceHeader), ""), unsendable) {
			headers.Delete(resourceHeader)
			ctx = metadata.NewOutgoingContext(ctx, headers)
		}
	}
	return invoke(ctx, method, request, reply, conn, options...)
}
