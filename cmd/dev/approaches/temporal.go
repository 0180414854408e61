package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"sync"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"chatfeed/cmd/internal/program"
)

// calls counts the calls of a process to Temporal, and keeps why Temporal has refused some.
type calls struct {
	mu      sync.Mutex
	Made    map[string]int `json:"made"`    // by the name of the method
	Refused map[string]int `json:"refused"` // by the reason
}

func newCalls() *calls { return &calls{Made: make(map[string]int), Refused: make(map[string]int)} }

// connect returns a client whose calls are counted, each attempt as one.
func (c *calls) connect(ctx context.Context, address string) (client.Client, error) {
	options, err := program.Temporal{TemporalAddress: address, Local: true}.ClientOptions(slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	options.ConnectionOptions.DialOptions = append(options.ConnectionOptions.DialOptions, grpc.WithChainUnaryInterceptor(c.count))
	connected, err := client.DialContext(ctx, options)
	if err != nil {
		return nil, fmt.Errorf("connect to Temporal: %w", err)
	}
	return connected, nil
}

func (c *calls) count(
	ctx context.Context, method string, request, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption,
) error {
	err := invoke(ctx, method, request, reply, conn, options...)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Made[path.Base(method)]++
	if refused := status.Convert(err); refused.Code() == codes.ResourceExhausted {
		c.Refused[refused.Message()]++
	}
	return err
}

// total returns the number of calls.
func (c *calls) total() int {
	all := 0
	for _, n := range c.Made {
		all += n
	}
	return all
}

// reason is what an error from Temporal says.
func reason(err error) string {
	if _, late := errors.AsType[*serviceerror.DeadlineExceeded](err); late || errors.Is(err, context.DeadlineExceeded) {
		return "Temporal did not answer within " + answerTime.String()
	}
	if applied, ok := errors.AsType[interface {
		error
		Message() string
	}](err); ok { // of an Update's validator
		return applied.Message()
	}
	return err.Error()
}
