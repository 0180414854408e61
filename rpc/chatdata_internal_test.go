package rpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"chatfeed/feed"
)

// busySource has ten items, one on each page, and is busy for so many reads of those after the first.
type busySource struct{ busy int }

func (s *busySource) After(_ context.Context, at []feed.Position, _ feed.Window) ([]feed.Page, error) {
	return s.read(at, 1)
}

func (s *busySource) Before(_ context.Context, at []feed.Position, _ feed.Window) ([]feed.Page, error) {
	return s.read(at, -1)
}

func (s *busySource) read(at []feed.Position, step feed.Cursor) ([]feed.Page, error) {
	next := min(at[0].Cursor, 11) + step
	if next > 1 && next < 10 && s.busy > 0 {
		s.busy--
		return nil, fmt.Errorf("read: %w", feed.ErrBusy)
	}
	if next < 1 || next > 10 {
		return []feed.Page{{}}, nil
	}
	item := &feed.Item{WorkflowID: at[0].WorkflowID, ID: fmt.Sprint(next), Type: "log", CreatedAt: next, Body: []byte(`{}`)}
	return []feed.Page{{Items: []*feed.Item{item}, More: next+step >= 1 && next+step <= 10}}, nil
}

func (s *busySource) Listen(ctx context.Context, connected func(), _ func(string, feed.Cursor)) error {
	connected()
	<-ctx.Done()
	return ctx.Err()
}

func (s *busySource) Heads(context.Context, []string) (map[string]feed.Head, error) { return nil, nil }

func (s *busySource) Erased(context.Context, string, int64, int) ([]feed.Gone, error) {
	return nil, nil
}

// ask is the ids of what a query gives.
func (s *busySource) ask(ctx context.Context, t *testing.T, query request) (ids []string, err error) {
	t.Helper()
	f, err := feed.New(s, s, feed.Config{Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	running, stop := context.WithCancel(t.Context())
	defer stop()
	go func() { _ = f.Run(running) }()
	query.from[0].workflowID = "wf"
	_, err = query.read(ctx, f, func(items []*feed.Item) error {
		for _, item := range items {
			ids = append(ids, item.ID)
		}
		return nil
	})
	return ids, err
}

func TestAPartialAnswerWaitsForABusyFeed(t *testing.T) {
	t.Parallel()
	ten := 10
	for _, query := range []request{{from: []start{{}}}, {from: []start{{last: &ten}}}} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			ids, err := (&busySource{busy: 3}).ask(t.Context(), t, query)
			require.NoError(t, err)
			require.Equal(t, []string{"1", "2", "3", "4", "5", "6", "7", "8", "9", "10"}, ids)
			require.GreaterOrEqual(t, time.Since(began), 3*busyPause)
		})
	}
}

func TestAPartialAnswerWaitsNoLongerThanItsClient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*busyPause+busyPause/2)
		defer cancel()
		ids, err := (&busySource{busy: 1000}).ask(ctx, t, request{from: []start{{}}})
		require.Error(t, err)
		require.True(t, errors.Is(err, feed.ErrBusy) || errors.Is(err, context.DeadlineExceeded), err)
		require.Equal(t, []string{"1"}, ids)
	})
}
