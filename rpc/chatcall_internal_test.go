package rpc

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"

	v1 "chatfeed/rpc/chatfeedv1"
)

// deaf is a workflow that never answers.
type deaf struct{ noSource }

func (*deaf) Update(ctx context.Context, _ string, _ Call) (json.RawMessage, error) {
	<-ctx.Done()
	return nil, fmt.Errorf("%w: %w", ErrNoAnswer, ctx.Err())
}

func (d *deaf) Query(ctx context.Context, id string, call Call) (json.RawMessage, error) {
	return d.Update(ctx, id, call)
}

func (*deaf) Signal(ctx context.Context, _ string, _ Call) (string, error) {
	<-ctx.Done()
	return "", ctx.Err()
}

func TestAWorkflowThatDoesNotAnswerIsADeadline(t *testing.T) {
	t.Parallel()
	for patience, want := range map[time.Duration]time.Duration{time.Hour: 10 * time.Second, 3 * time.Second: 3 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			s := &chatService{Config{
				Chat: &deaf{}, Log: slog.New(slog.DiscardHandler), Allowed: Allowed{Signals: []string{"s"}, Updates: []string{"u"}, Queries: []string{"q"}},
			}}
			for _, call := range []func(context.Context) error{
				func(ctx context.Context) error {
					_, err := s.UpdateWorkflow(ctx, &v1.UpdateWorkflowRequest{WorkflowId: "wf", Name: "u"})
					return err
				},
				func(ctx context.Context) error {
					_, err := s.QueryWorkflow(ctx, &v1.QueryWorkflowRequest{WorkflowId: "wf", Name: "q"})
					return err
				},
			} {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				began := time.Now()
				err := call(ctx)
				require.Equal(t, want, time.Since(began))
				require.Equal(t, connect.CodeDeadlineExceeded, connect.CodeOf(err))
				require.ErrorContains(t, err, "the workflow has not answered in time")
			}
			began := time.Now()
			_, err := s.SignalWorkflow(t.Context(), &v1.SignalWorkflowRequest{WorkflowId: "wf", Name: "s"})
			require.Equal(t, 10*time.Second, time.Since(began))
			require.Equal(t, connect.CodeUnavailable, connect.CodeOf(err), "it is not the workflow that is waited for")
		})
	}
}
