package activities_test

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/log"

	"chatfeed/activities"
	"chatfeed/db"
	"chatfeed/internal/host"
)

// slowWriter takes a while for each write, and remembers when each began.
type slowWriter struct {
	took  time.Duration
	start time.Time
	begun []time.Duration
}

func (w *slowWriter) Write(ctx context.Context, items ...db.Item) ([]db.Written, error) {
	w.begun = append(w.begun, time.Since(w.start))
	<-expiry(ctx, w.took)
	return make([]db.Written, len(items)), nil
}

// expiry is closed after a while, of a bubble's time.
func expiry(ctx context.Context, after time.Duration) <-chan struct{} {
	ctx, cancel := context.WithTimeout(ctx, after)
	context.AfterFunc(ctx, cancel)
	return ctx.Done()
}

func TestATextWaitsNoLongerForMoreBecauseAnotherWasBeingWritten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &slowWriter{took: 40 * time.Millisecond, start: time.Now()}
		r := activities.NewRecorder(host.With(t.Context(), host.Host{
			Info: activity.Info{Attempt: 1}, Logger: log.NewStructuredLogger(slog.Default()), Heartbeat: func() {},
		}), w)
		m := r.Message("")
		for range 20 { // the first is written at once
			_, err := m.WriteString("word ")
			require.NoError(t, err)
			<-expiry(t.Context(), 7*time.Millisecond)
		}
		require.NoError(t, r.End(nil))
		require.Equal(t, []time.Duration{0, 57 * time.Millisecond, 113 * time.Millisecond}, w.begun[:3],
			"50 ms after the texts of 7 ms and 63 ms, which came during the writes before")
	})
}
