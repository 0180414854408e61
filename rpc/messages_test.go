package rpc_test

import (
	"fmt"
	"testing"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	"chatfeed/db"
	v1 "chatfeed/rpc/chatfeedv1"
)

func TestMessagesAreCountedForListsOfUnreadOnes(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := serve(t, d.source(t), config{})
	for i := range 3 {
		d.append(t, db.Message{WorkflowID: "few", ID: fmt.Sprint(i)}, db.Log{WorkflowID: "few", ID: fmt.Sprint("log", i)})
	}
	for i := range 120 {
		d.append(t, db.Message{WorkflowID: "many", ID: fmt.Sprint(i)})
	}
	after := &timestamppb.Timestamp{Seconds: d.cursors(t, "few")["0"] / 1e6, Nanos: int32(d.cursors(t, "few")["0"]%1e6) * 1000}
	got, err := s.rpc().CountMessages(limited(t), &v1.CountMessagesRequest{Cursors: []*v1.Cursor{
		{WorkflowId: "many"}, {WorkflowId: "none"}, {WorkflowId: "few", Start: &v1.Cursor_After{After: after}},
	}})
	require.NoError(t, err)
	require.Equal(t, []int32{100, 0, 2}, got.GetMessages())

	_, err = serve(t, &source{}, config{}).rpc().CountMessages(limited(t), &v1.CountMessagesRequest{Cursors: []*v1.Cursor{{WorkflowId: "a"}}})
	require.Equal(t, connect.CodeUnimplemented, connect.CodeOf(err))
}
