package rpc

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"

	v1 "chatfeed/rpc/chatfeedv1"
)

// hanging is a recorder of a database that does not answer.
type hanging struct{ called, release chan struct{} }

func (h hanging) Record(ctx context.Context, _ string, _ []NewItem) ([]Recorded, error) {
	select {
	case h.called <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case <-h.release:
	case <-ctx.Done():
	}
	return nil, ctx.Err()
}

func TestItemsBeyondWhatMayWaitForTheDatabaseAreRefusedUntilThereIsRoom(t *testing.T) {
	t.Parallel()
	database := hanging{make(chan struct{}, 1), make(chan struct{})}
	service := &recordService{Config: Config{Recorder: database, Log: slog.New(slog.DiscardHandler)}}
	call := func(size int64) error {
		c := &recordCall{size: size}
		c.message.WorkflowId, c.message.Items = "wf", []*v1.Item{{Item: &v1.Item_Log{Log: &v1.Log{}}}}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second) // where it is not refused
		defer cancel()
		_, err := service.record(ctx, connect.NewRequest(c))
		return err
	}
	first := make(chan error, 1)
	go func() { first <- call(maxRecording - 10) }()
	<-database.called
	for range 3 { // a refused request takes no room
		err := call(11)
		require.Equal(t, connect.CodeResourceExhausted, connect.CodeOf(err), "%v", err)
		require.ErrorContains(t, err, "too many items to write; try again in 2 seconds")
		said := new(connect.Error)
		require.ErrorAs(t, err, &said)
		require.Equal(t, "2", said.Meta().Get("Retry-After"))
	}
	close(database.release)
	require.NoError(t, call(10))
	require.NoError(t, <-first)
	<-database.called
	require.NoError(t, call(maxRecording))
	require.Zero(t, service.recording.Load())
}
