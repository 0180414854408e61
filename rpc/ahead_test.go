package rpc_test

import (
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	"chatfeed/feed"
	v1 "chatfeed/rpc/chatfeedv1"
)

// after asks each service for what comes after a time, and returns the two errors.
func (s *server) after(t *testing.T, at time.Time) []error {
	t.Helper()
	after := timestamppb.New(at)
	subscribing := func() error {
		stream, err := s.rpc().Subscribe(limited(t), &v1.SubscribeRequest{Cursors: []*v1.Cursor{
			{WorkflowId: "another"}, {WorkflowId: "wf", Start: &v1.Cursor_After{After: after}},
		}})
		if err != nil {
			return err
		}
		defer func() { _ = stream.Close() }()
		if stream.Receive() {
			return nil
		}
		return stream.Err()
	}
	return []error{subscribing(), s.call(limited(t), &v1.GetChatDataRequest{WorkflowId: "wf", After: after})}
}

func TestACursorOfNoDeliveredItemIsRefused(t *testing.T) {
	t.Parallel()
	for _, source := range []*source{{}, fixed(complete(&feed.Item{}, 5))} {
		s := serve(t, source, config{})
		for _, at := range []time.Time{time.Now().Add(2 * time.Minute), time.UnixMicro(lastStamp)} {
			for i, field := range []string{"cursors[1].after:", "after:"} {
				err := s.after(t, at)[i]
				require.Equal(t, connect.CodeInvalidArgument, connect.CodeOf(err), "%v", err)
				require.ErrorContains(t, err, field)
				require.ErrorContains(t, err, at.UTC().Format("2006-01-02T15:04"))
				require.ErrorContains(t, err, "created_at")
				requirePublic(t, err.Error())
			}
		}
		s.followed(t, 0)
		for _, at := range []time.Time{time.Now(), time.Now().Add(50 * time.Second), time.UnixMicro(-5)} {
			for _, err := range s.after(t, at) { // the two clocks may differ
				require.NoError(t, err, at)
			}
		}
		items := len(s.rest(t, "wf").items)
		for after, want := range map[time.Duration]int{50 * time.Second: 0, 2 * time.Minute: items, 10 * 365 * 24 * time.Hour: items} {
			got := s.rest(t, "wf", "afterTimestamp", seconds(time.Now().Add(after).UnixMicro()))
			require.Len(t, got.items, want, after)
			require.True(t, got.upToDate)
		}
	}
}

// The database's clock was an hour ahead and was set back: items go on from the stamps that were given.
func TestACursorAheadOfTheClockOfADeliveredItemIsAccepted(t *testing.T) {
	t.Parallel()
	hour := time.Now().Add(time.Hour)
	first, second := feed.Cursor(hour.UnixMicro()), feed.Cursor(hour.UnixMicro()+1)
	s := serve(t, fixed(complete(&feed.Item{ID: "one"}, first), complete(&feed.Item{ID: "two"}, second)), config{})
	for _, tr := range transports {
		if tr.tls {
			continue
		}
		r := tr.follow(t, s, follow{from: []from{{workflow: "wf", after: int64(first)}}})
		requireSame(t, []string{"two"}, ids(r.history(t)), tr.name)
		r = tr.follow(t, s, follow{from: []from{{workflow: "wf", after: int64(second)}}})
		require.Empty(t, r.history(t), tr.name)
	}
	for _, err := range s.after(t, hour.Add(time.Second)) {
		require.Equal(t, connect.CodeInvalidArgument, connect.CodeOf(err), "%v", err)
	}
}

// If the newest items cannot be read, the cursor is accepted.
func TestACursorAheadOfTheClockIsAcceptedWhileTheDatabaseIsUnavailable(t *testing.T) {
	t.Parallel()
	many := cursors(1000) // which are not waited for one by one
	for _, cursor := range many {
		cursor.Start = &v1.Cursor_After{After: timestamppb.New(time.Now().Add(time.Hour))}
	}
	for _, source := range []*source{failing(), {hangs: true}} {
		s := serve(t, source, config{})
		stream, err := s.rpc().Subscribe(limited(t), &v1.SubscribeRequest{Cursors: many})
		require.NoError(t, err)
		require.NotEmpty(t, stream.ResponseHeader())
		s.followed(t, 1)
		require.NoError(t, stream.Close())
	}
}
