package rpc_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"chatfeed/db"
	"chatfeed/feed"
	v1 "chatfeed/rpc/chatfeedv1"
)

func stamp(micros int64) *timestamppb.Timestamp { return timestamppb.New(time.UnixMicro(micros)) }

func TestGetChatDataReadsAsChatDataDoes(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := serve(t, d.source(t), config{feed: feed.Config{Window: feed.Bounds{Items: 4}}})
	d.append(t, varied("wf", "")...)
	at := d.cursors(t, "wf")
	for _, c := range []struct {
		request  *v1.GetChatDataRequest
		want     string
		upToDate bool
	}{
		{&v1.GetChatDataRequest{}, "1 2 3 4", false},
		{&v1.GetChatDataRequest{Limit: 6}, "1 2 3 4 5 6", false},
		{&v1.GetChatDataRequest{Limit: 1000}, "1 2 3 4 5 6 7 8 9", true},
		{&v1.GetChatDataRequest{After: stamp(at["7"])}, "8 9", true},
		{&v1.GetChatDataRequest{After: stamp(at["9"])}, "", true},
		{&v1.GetChatDataRequest{Last: 6}, "4 5 6 7 8 9", false},
		{&v1.GetChatDataRequest{Last: 6, Limit: 1}, "9", false},
		{&v1.GetChatDataRequest{Before: stamp(at["9"])}, "5 6 7 8", false},
		{&v1.GetChatDataRequest{Before: stamp(at["3"])}, "1 2", true},
		{&v1.GetChatDataRequest{Before: stamp(at["9"]), Last: 5}, "4 5 6 7 8", false},
		{&v1.GetChatDataRequest{Types: []string{"stat", "log"}}, "2 3 6 7", true},
		{&v1.GetChatDataRequest{Types: []string{"stat"}}, "3 7", true},
	} {
		c.request.WorkflowId = "wf"
		got, err := s.rpc().GetChatData(limited(t), c.request)
		require.NoError(t, err)
		read, err := itemsOf(got.GetItems())
		require.NoError(t, err)
		require.Equal(t, c.want, strings.Join(ids(read), " "), "%v", c.request)
		require.Equal(t, c.upToDate, got.GetUpToDate(), "%v", c.request)
	}
	nothing, err := s.rpc().GetChatData(limited(t), &v1.GetChatDataRequest{WorkflowId: "unknown"})
	require.NoError(t, err)
	require.Empty(t, nothing.GetItems())
	require.True(t, nothing.GetUpToDate())
}

func TestGetChatDataWaitsForTheFirstItem(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := serve(t, d.source(t), config{})
	got := make(chan *v1.GetChatDataResponse, 1)
	go func() {
		defer close(got)
		response, err := s.rpc().GetChatData(limited(t), &v1.GetChatDataRequest{WorkflowId: "wf", Wait: durationpb.New(time.Minute)})
		if err == nil {
			got <- response
		}
	}()
	s.followed(t, 1)
	d.append(t, db.Message{WorkflowID: "wf", ID: "one"})
	response := <-got
	require.Len(t, response.GetItems(), 1)
	require.True(t, response.GetUpToDate())
}
